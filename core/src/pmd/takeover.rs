//! Taking the port over from a PMD that a node brought into being.
//!
//! A PMD that is a service and is started again finds the port taken as a rule: some node was
//! quicker, and launched another one. That one hands over its table and shares its port; only
//! when the new one listens does it end. So nobody is refused in between, and the nodes, which
//! come back at once, find themselves known.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::names::{Alias, Host, NodeId};
use crate::net;
use crate::pmd::client::PmdClient;
use crate::pmd::options::PmdOptions;
use crate::pmd::server::Server;
use crate::wire::pmd::{NodeInfo, Register};

impl Server {
    /// As [`Server::bind`], but a PMD that a node brought into being and that holds the port gives
    /// way. Says on `displaced` how many nodes it handed over. Blocks up to 10 s.
    ///
    /// Errors: those of [`Server::bind`]; `address_in_use` when who holds the port does not give
    /// way, with the reason.
    pub fn take_over(options: &PmdOptions, mut displaced: impl FnMut(usize)) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_millis(limits::TAKEOVER_MS);
        let mut handed_over = Vec::new();
        let mut strangers = 0;
        loop {
            let taken = match Self::bind(options.clone()) {
                Err(error) if error.kind() == ErrorKind::AddressInUse => error,
                bound => {
                    let mut server = bound?;
                    server.expect(handed_over);
                    return Ok(server);
                }
            };
            match displace(options, &mut displaced) {
                Ok(Displaced::By(server)) => return Ok(*server),
                Ok(Displaced::Gone(nodes)) => handed_over = nodes,
                // It may have ended this very moment, or not listen yet.
                Err(error) if error.kind() == ErrorKind::PmdUnavailable => {}
                // One that is just ending looks like a stranger, once.
                Err(error) if error.kind() == ErrorKind::NotPmd && strangers < 2 => strangers += 1,
                Err(error) => {
                    let text = format!("{taken}, and was not given up: {error}");
                    return Err(Error::new(ErrorKind::AddressInUse, text).because(error));
                }
            }
            if Instant::now() >= deadline {
                return Err(taken);
            }
            std::thread::sleep(Duration::from_millis(limits::TAKEOVER_LOOK_MS));
        }
    }
}

enum Displaced {
    /// This one listens already.
    By(Box<Server>),
    /// The port is about to be free; its nodes are these.
    Gone(Vec<Register>),
}

fn displace(options: &PmdOptions, displaced: &mut impl FnMut(usize)) -> Result<Displaced> {
    let host = net::reached_at(&options.host);
    let mut pmd = PmdClient::connect(host, options.port)?;
    let nodes = pmd.take_over(false).map_err(|error| {
        if error.message() == "Unknown message type" {
            return Error::new(
                ErrorKind::Refused,
                "that PMD is of another kind or of an earlier version; end it with `distflow pmd kill`",
            );
        }
        error
    })?;
    let nodes: Vec<Register> = nodes
        .iter()
        .filter_map(|node| registered(node).ok())
        .collect();
    displaced(nodes.len());
    match Server::bind_shared(options.clone()) {
        Ok(mut server) => {
            server.expect(nodes);
            // It may have died instead, which is as good.
            let _ = pmd.take_over(true);
            // Its listeners are closed when it closes the connection.
            let _ = pmd.next_event(Duration::from_millis(limits::PMD_FLUSH_MS * 2));
            server.keep_port();
            Ok(Displaced::By(Box::new(server)))
        }
        // Ports are shared within a user only.
        Err(error) if error.kind() == ErrorKind::AddressInUse => {
            pmd.take_over(true)?;
            let _ = pmd.next_event(Duration::from_millis(limits::PMD_FLUSH_MS * 2));
            Ok(Displaced::Gone(nodes))
        }
        Err(error) => Err(error),
    }
}

/// A node as it registered, from how it was described.
fn registered(node: &NodeInfo) -> Result<Register> {
    let caps = serde_json::to_string(&node.caps)
        .map_err(|error| Error::new(ErrorKind::InvalidMessage, error.to_string()))?;
    Ok(Register {
        node_id: NodeId::new(&node.node_id)?,
        alias: node.alias.as_deref().map(Alias::new).transpose()?,
        host: Host::new(&node.host)?,
        port: node.port,
        caps: (!node.caps.is_empty()).then(|| caps.into()),
        meta: node.meta.as_ref().map(|meta| meta.get().into()),
        session: None,
    })
}
