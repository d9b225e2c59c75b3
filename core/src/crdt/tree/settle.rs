//! Forgetting what nobody will ask for any more.

use crate::crdt::json::Json;
use crate::crdt::stamp::{Replicas, Stamp, Time};
use crate::crdt::tree::{Kind, Node, Origin, Tree};

/// What [`Tree::settle`] found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Places that were looked at.
    pub nodes: usize,
    /// Writes that are remembered: one for each path, all below arrays.
    pub registers: usize,
    /// Deletes among them.
    pub tombstones: usize,
    /// Deletes that were forgotten.
    pub removed: usize,
    /// The latest time of those: whoever writes there again must be later.
    pub latest: Time,
}

impl Tree {
    /// Forgets deletes that are over, and makes one value of the writes of an array that are
    /// settled: that nothing earlier is still to come for it. Looks at the whole document.
    pub fn settle(
        &mut self,
        replicas: &Replicas,
        is_over: &impl Fn(&Stamp) -> bool,
        is_settled: &impl Fn(&Stamp) -> bool,
    ) -> Settled {
        let mut settled = Settled::default();
        self.root
            .settle(replicas, is_over, is_settled, &mut settled);
        settled
    }
}

impl Node {
    fn settle(
        &mut self,
        replicas: &Replicas,
        is_over: &impl Fn(&Stamp) -> bool,
        is_settled: &impl Fn(&Stamp) -> bool,
        settled: &mut Settled,
    ) {
        settled.nodes += 1;
        self.shed(replicas);
        self.fold(replicas, is_settled);
        if let Some(elements) = self
            .below
            .as_ref()
            .and_then(|below| below.elements.as_ref())
        {
            settled.registers += elements.writes.len();
        }
        settled.registers += usize::from(self.origin != Origin::Inherited);
        settled.tombstones += usize::from(self.origin == Origin::Deleted);
        let Some(below) = &mut self.below else {
            return;
        };
        if below.members.is_empty() {
            return;
        }
        let shape = self.shape(replicas);
        self.each_member(replicas, &shape, |_, member| {
            member.settle(replicas, is_over, is_settled, settled);
            let is_deleted = member.origin == Origin::Deleted && member.below.is_none();
            if is_deleted && is_over(&member.stamp) {
                settled.registers -= 1;
                settled.tombstones -= 1;
                settled.removed += 1;
                settled.latest = settled.latest.max(member.stamp.time);
                return false;
            }
            true
        });
    }

    /// The settled beginning of an array's writes becomes its base.
    fn fold(&mut self, replicas: &Replicas, is_settled: &impl Fn(&Stamp) -> bool) {
        let shape = self.shape(replicas);
        if self.container(&shape) != Some(Kind::Array) {
            return;
        }
        let Some(elements) = self
            .below
            .as_mut()
            .and_then(|below| below.elements.as_mut())
        else {
            return;
        };
        elements
            .writes
            .retain(|element| replicas.is_after(&element.stamp, &shape.since));
        let unsettled = elements
            .writes
            .iter()
            .position(|element| !is_settled(&element.stamp));
        let count = unsettled.unwrap_or(elements.writes.len());
        let Some(last) = count.checked_sub(1).and_then(|at| elements.writes.get(at)) else {
            return;
        };
        let stamp = last.stamp;
        let rest = elements.writes.split_off(count);
        elements.replayed = None;
        let base = Json::from(self.elements(replicas, &shape));
        if let Some(elements) = self
            .below
            .as_mut()
            .and_then(|below| below.elements.as_mut())
        {
            elements.writes = rest;
            elements.replayed = None;
        }
        // From now on this is as if somebody had set the array at the last of these writes.
        let source = self.source();
        self.replace(replicas, stamp, Some(base), Origin::Set);
        self.below().folded_from = Some(source);
    }
}
