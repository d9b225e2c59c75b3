//! Promises that are checked the moment something happens.

use std::sync::Arc;

use distflow_core::error::{Error, ErrorKind};
use distflow_core::registry::Notice;
use distflow_core::wire::pmd::{LeaveCause, NodeInfo};

use crate::env::Env;
use crate::network::ConnIx;
use crate::node_process::NodeProcess;
use crate::pmd_process::PmdProcess;
use crate::queue::{MS, Pid, SECOND};

/// A promise to be looked at later; `since_us` is when its cause happened.
#[derive(Debug, Clone)]
pub enum Check {
    /// R1, R2, R3: a registration is gone, and every watcher knows.
    Gone {
        promise: &'static str,
        id: String,
        port: u16,
        pid: Pid,
        since_us: u64,
    },
    /// R4: everyone who was there is registered again.
    Back { since_us: u64 },
    /// A frozen process that went on is registered again.
    Rejoined { pid: Pid, since_us: u64 },
    /// F2: a process that was asked to end has ended.
    Ended { pid: Pid, since_us: u64 },
}

/// The slot of a node's id; none for the ids of raw clients.
pub fn slot_of(id: &str) -> Option<usize> {
    let digits = id.strip_prefix('s')?;
    digits.split('x').next()?.parse().ok()
}

/// M5: the bound holds after every step, and every drop is counted.
pub fn mailbox(env: &mut Env, node: &NodeProcess) {
    let (mailbox, config) = (&node.mailbox, &node.setup.mailbox);
    if mailbox.len() > config.messages_max
        || mailbox.bytes() > config.bytes_max && mailbox.len() > 1
    {
        env.fail(|| format!("M5: process {} holds too much", node.pid));
    }
    if mailbox.dropped() != node.dropped {
        let counted = mailbox.dropped();
        env.fail(|| format!("M2: {} messages dropped, {counted} counted", node.dropped));
    }
}

/// A link was opened towards a node, which learned how many messages it missed.
pub fn opened(env: &mut Env, node: &NodeProcess, from: &str, next: u64, lost: u64) {
    let sender = slot_of(from).and_then(|slot| env.current[slot]);
    if let (Some(sender), Some(slot)) = (sender, slot_of(&node.id)) {
        env.ledger.opened((sender, slot), node.pid, next);
        env.ledger.lost_by_receiver((sender, slot), lost);
    }
}

/// A node gives its connection to the PMD up: not without something that was done to either.
pub fn pmd_dropped(env: &mut Env, node: &NodeProcess) {
    let since = env.now_us.saturating_sub(12 * SECOND);
    let site = env.meta[node.pid].site;
    if node.started && !node.stopping && env.is_quiet(site, since) && env.is_quiet(0, since) {
        env.fail(|| format!("process {} drops a healthy PMD connection", node.pid));
    }
}

/// R5: the successor of a killed process gets its names, however early it asks.
pub fn refused(env: &mut Env, node: &NodeProcess, error: &Error) {
    let in_use = matches!(error.kind(), ErrorKind::AliasInUse | ErrorKind::NodeIdInUse);
    let since = env.now_us.saturating_sub(8 * SECOND);
    let quiet = env.is_quiet(env.meta[node.pid].site, since) && env.is_quiet(0, since);
    if in_use && quiet && env.haunted_until_us[node.setup.slot] < env.now_us {
        env.fail(|| {
            format!(
                "R5: process {} ({}) was refused: {error}",
                node.pid, node.id
            )
        });
    }
}

pub fn peer_joined(env: &mut Env, node: &mut NodeProcess, info: &Arc<NodeInfo>) {
    let known = node.view.insert(info.node_id.clone(), info.clone());
    if known.is_some() {
        env.fail(|| format!("R7: process {} saw {} join twice", node.pid, info.node_id));
    }
}

pub fn peer_left(env: &mut Env, node: &mut NodeProcess, info: &Arc<NodeInfo>, cause: LeaveCause) {
    let own = info.node_id == node.id;
    if node.view.remove(&info.node_id).is_none() && !own {
        env.fail(|| format!("R1: process {} saw {} leave twice", node.pid, info.node_id));
    }
    if env.is_late(env.meta[node.pid].site) {
        return;
    }
    let meta = info.meta.as_ref().map(|meta| meta.get());
    if let Some(pid) = unexpected_leave(env, &info.node_id, meta, info.port) {
        let cause = cause.name();
        env.fail(|| {
            let (watcher, id) = (node.pid, &info.node_id);
            format!("process {watcher} saw a false leave ({cause}) of {id}, process {pid}")
        });
    }
}

/// The live process of an id and metadata, which no two processes share. Where an original does
/// not keep the metadata, the address has to do.
fn process_of(env: &Env, id: &str, meta: Option<&str>, port: u16) -> Option<Pid> {
    let pid = slot_of(id).and_then(|slot| env.current[slot])?;
    let is = match meta {
        Some(meta) => env.meta[pid].says.as_deref() == Some(meta),
        None => env.meta[pid].port == port,
    };
    (env.ids[pid] == id && is).then_some(pid)
}

/// The live process that a leave is about, if nothing can have caused it.
fn unexpected_leave(env: &Env, id: &str, meta: Option<&str>, port: u16) -> Option<Pid> {
    let pid = process_of(env, id, meta, port)?;
    let meta = &env.meta[pid];
    let settled = meta
        .started_us
        .is_some_and(|at| at + 1_500 * MS < env.now_us);
    let expected = !meta.alive || meta.stopping || !settled || env.is_excused(pid);
    (!expected).then_some(pid)
}

/// The registry says that a node joined or left.
pub fn noticed(env: &mut Env, pmd: &PmdProcess, notice: &Notice) {
    env.log(|| format!("PMD {}: {notice:?}", pmd.pid));
    match notice {
        Notice::Joined(node) => {
            let same = |other: &Arc<_>| {
                let other: &distflow_core::wire::pmd::Register = other;
                other.node_id == node.node_id || other.alias.is_some() && other.alias == node.alias
            };
            if pmd.registry.nodes().filter(same).count() != 1 {
                env.fail(|| format!("R5: two owners of {} or {:?}", node.node_id, node.alias));
            }
        }
        Notice::Left(node, cause) => {
            env.note(&[env.now_us, u64::from(node.port)]);
            let id = node.node_id.as_str();
            if let Some(pid) = unexpected_leave(env, id, node.meta.as_deref(), node.port) {
                let cause = cause.name();
                env.fail(|| format!("the registry lost {id}, process {pid}: {cause}"));
            }
            if matches!(cause, LeaveCause::Closed | LeaveCause::Replaced) {
                reconnected(env, id, node.meta.as_deref(), node.port);
            }
        }
        Notice::BadFrame(text) => env.fail(|| format!("the PMD got a bad frame: {text}")),
        _ => {}
    }
}

/// R6: a node that is registered over a connection that holds is not removed because of
/// another one.
fn reconnected(env: &mut Env, id: &str, meta: Option<&str>, port: u16) {
    let Some(pid) = process_of(env, id, meta, port) else {
        return;
    };
    let meta = &env.meta[pid];
    let holds = meta
        .registered_over
        .is_some_and(|conn| env.net.is_whole(conn) && env.meta[env.net.pid(conn, 1)].alive);
    if meta.alive && !meta.stopping && holds {
        env.fail(|| format!("R6: the registry lost {id}, which is registered over process {pid}'s new connection"));
    }
}

/// A watcher did not read its events and is cut off: it leaves, and comes back. Nobody is who
/// runs and has a connection that works.
pub fn cut_off(env: &mut Env, conn: ConnIx) {
    let pid = env.net.pid(conn, 0);
    env.log(|| format!("process {pid} is cut off"));
    let since = env.now_us.saturating_sub(6 * SECOND);
    let meta = &env.meta[pid];
    let reads = meta.alive && !meta.frozen && env.net.is_whole(conn);
    if reads && env.is_quiet(meta.site, since) && env.is_quiet(0, since) {
        env.fail(|| format!("R7: process {pid}, which reads, is cut off"));
    }
    env.excuse(pid, 12 * SECOND);
    let site = env.meta[pid].site;
    env.jolt(site);
}
