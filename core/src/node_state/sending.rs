//! Messages to a target: its link, or first its address.

use super::registry_link::Ask;
use super::{Action, CallId, LinkId, NodeState, Outcome, Sent};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::time::Now;
use crate::wire::peer::Payload;
use crate::wire::pmd::NodeInfo;

impl NodeState {
    /// Sends and waits: for the target's address, the connection, or room in the queue.
    /// `Ok(None)` means that the message is in the queue already.
    pub fn send(&mut self, now: Now, target: &str, payload: &Payload) -> Result<Option<CallId>> {
        self.send_link(now, target, payload, true)
    }

    /// Sends without waiting. `busy` when the queue is full, `resolve_failed` when the target
    /// is not known.
    pub fn try_send(&mut self, now: Now, target: &str, payload: &Payload) -> Result<()> {
        self.send_link(now, target, payload, false).map(drop)
    }

    pub(super) fn send_link(
        &mut self,
        now: Now,
        target: &str,
        payload: &Payload,
        wait: bool,
    ) -> Result<Option<CallId>> {
        self.check_running()?;
        let link = match &self.last_target {
            Some((name, link)) if name == target => *link,
            _ => match self.find_link(target)? {
                Some(link) => link,
                None => return self.send_unresolved(now, target, payload, wait).map(Some),
            },
        };
        let call = wait.then_some(self.next_call);
        let sent = self.outbound.send(link, payload, now, call)?;
        if !self.outbound.outputs.is_empty() {
            self.drain_outbound();
        }
        match (sent, call) {
            (Sent::Waits, Some(call)) => {
                self.next_call += 1;
                Ok(Some(call))
            }
            _ => Ok(None),
        }
    }

    /// The link to a target in the table, and makes one if there is none.
    pub(super) fn find_link(&mut self, target: &str) -> Result<Option<LinkId>> {
        let link = match (self.peers.link(target), self.peers.lookup(target).cloned()) {
            (Some(link), _) => link,
            (None, Some(info)) => self.add_link(&info)?,
            (None, None) => return Ok(None),
        };
        self.last_target = Some((target.to_owned(), link));
        Ok(Some(link))
    }

    pub(super) fn add_link(&mut self, info: &NodeInfo) -> Result<LinkId> {
        let link = self.outbound.add(info)?;
        self.peers.set_link(&info.node_id, Some(link));
        Ok(link)
    }

    /// The table does not know the target. It may have registered this instant, so the PMD is
    /// asked; later messages to the same target queue up behind.
    pub(super) fn send_unresolved(
        &mut self,
        now: Now,
        target: &str,
        payload: &Payload,
        wait: bool,
    ) -> Result<CallId> {
        if !wait {
            let cause = Error::new(ErrorKind::NodeNotFound, "Node not found");
            return Err(Error::resolve_failed(target, cause));
        }
        if self.resolving_count >= limits::SENDS_WAITING_MAX
            || self.resolving_bytes + payload.len() > limits::SENDS_WAITING_BYTES_MAX
        {
            return Err(Error::new(
                ErrorKind::Busy,
                "too many sends wait for their target's address",
            ));
        }
        if !self.resolving.contains_key(target) {
            self.registry
                .ask(now, Ask::Resolve(target.to_owned()))
                .map_err(|cause| Error::resolve_failed(target, cause))?;
            self.actions.push_back(Action::PmdFlush);
        }
        let call = self.call();
        self.resolving_count += 1;
        self.resolving_bytes += payload.len();
        self.resolving
            .entry(target.to_owned())
            .or_default()
            .push_back((call, payload.clone()));
        Ok(call)
    }

    /// Sends what waited for a target, or fails it.
    pub(super) fn resolved(&mut self, now: Now, target: &str, found: Result<()>) {
        let Some(waiting) = self.resolving.remove(target) else {
            return;
        };
        for (call, payload) in waiting {
            self.resolving_count -= 1;
            self.resolving_bytes -= payload.len();
            let sent = found.clone().and_then(|()| {
                let info = self
                    .peers
                    .lookup(target)
                    .cloned()
                    .ok_or_else(|| Error::new(ErrorKind::NodeNotFound, "Node not found"))?;
                let link = match self.peers.link(target) {
                    Some(link) => link,
                    None => self.add_link(&info)?,
                };
                self.outbound.send(link, &payload, now, Some(call))
            });
            let outcome = match sent {
                Ok(Sent::Waits) => continue,
                Ok(Sent::Queued) => Ok(()),
                Err(cause) => Err(Error::resolve_failed(target, cause)),
            };
            self.actions
                .push_back(Action::Ended(call, Outcome::Done(outcome)));
        }
        self.drain_outbound();
    }
}
