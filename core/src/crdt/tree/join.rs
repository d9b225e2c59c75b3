//! Two trees become one: what either has seen is in it.
//!
//! A tree forgets deletes. So what one of them lacks, or has only an older write of, is new to it only
//! if its clock says that it has not seen it; otherwise it has seen it go (as in the observed-remove
//! sets of Bieniusa et al., "An optimized conflict-free replicated set", 2012).

use std::collections::BTreeMap;

use crate::crdt::stamp::{Replicas, Stamp};
use crate::crdt::tree::{Below, Elements, Node, Origin, Tree};

/// What the two sides have seen.
struct Sides<'a, Here, There> {
    replicas: &'a Replicas,
    seen_here: &'a Here,
    seen_there: &'a There,
}

/// Of which side something is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Here,
    There,
    Both,
}

impl<Here: Fn(&Stamp) -> bool, There: Fn(&Stamp) -> bool> Sides<'_, Here, There> {
    /// Of two writes through a place, the later one; unless the other side has seen it and has an older
    /// one nevertheless: then it has forgotten what came after.
    fn later(&self, here: Stamp, there: Stamp) -> Stamp {
        let is_there = self.replicas.is_after(&there, &here);
        let is_forgotten = match is_there {
            true => (self.seen_here)(&there),
            false => (self.seen_there)(&here),
        };
        match is_there != is_forgotten {
            true => there,
            false => here,
        }
    }

    /// The same of two values: but a side that has seen all of the later one may have it as writes of
    /// elements, which have not been made one value there.
    fn side(&self, here: &Node, there: &Node) -> Side {
        if here.stamp == there.stamp {
            return Side::Both;
        }
        let is_there = self.replicas.is_after(&there.stamp, &here.stamp);
        let is_forgotten = match is_there {
            true => there.is_seen(self.seen_here) && !here.has_element(&there.stamp),
            false => here.is_seen(self.seen_there) && !there.has_element(&here.stamp),
        };
        match is_there != is_forgotten {
            true => Side::There,
            false => Side::Here,
        }
    }
}

impl Tree {
    /// Takes another tree in. The functions tell whether this tree, and the other, have seen a write.
    pub fn join(
        &mut self,
        replicas: &Replicas,
        other: Self,
        seen_here: &impl Fn(&Stamp) -> bool,
        seen_there: &impl Fn(&Stamp) -> bool,
    ) {
        let sides = Sides {
            replicas,
            seen_here,
            seen_there,
        };
        self.root.join(&sides, other.root);
    }
}

impl Node {
    fn join<Here, There>(&mut self, sides: &Sides<'_, Here, There>, mut other: Self)
    where
        Here: Fn(&Stamp) -> bool,
        There: Fn(&Stamp) -> bool,
    {
        self.settle_members(sides.replicas);
        other.settle_members(sides.replicas);
        let side = sides.side(self, &other);
        let is_gone = self.base.is_none() || other.base.is_none();
        let theirs = other.below.take().map(|below| *below).unwrap_or_default();
        match side {
            Side::Here => {}
            Side::There => {
                (self.stamp, self.base, self.origin) = (other.stamp, other.base, other.origin);
                let below = self.below();
                below.is_unfolded = theirs.is_unfolded;
                below.folded_from = theirs.folded_from;
            }
            // One write leaves the same value on both sides; only one may have taken it apart. Where it
            // is gone, a delete was forgotten, and the place is there only for what was written below
            // it since.
            Side::Both if is_gone => {
                self.base = None;
                self.below().is_unfolded = false;
            }
            Side::Both => self.below().is_unfolded |= theirs.is_unfolded,
        }
        self.below().join(sides, side, theirs);
        self.shed(sides.replicas);
    }

    /// Whether somebody has seen all writes that the value is made of.
    fn is_seen(&self, seen: &impl Fn(&Stamp) -> bool) -> bool {
        seen(&self.source()) && seen(&self.stamp)
    }

    /// Whether a write is among those of elements.
    fn has_element(&self, stamp: &Stamp) -> bool {
        let elements = self
            .below
            .as_ref()
            .and_then(|below| below.elements.as_ref());
        elements.is_some_and(|elements| elements.writes.iter().any(|known| known.stamp == *stamp))
    }

    /// Puts into every member what hides it, so that members of two trees can be compared.
    fn settle_members(&mut self, replicas: &Replicas) {
        let shape = self.shape(replicas);
        self.unfold(replicas, &shape);
        self.each_member(replicas, &shape, |_, _| true);
    }

    /// What the other side has seen and does not have, it has seen go.
    fn without_seen(&mut self, replicas: &Replicas, seen: &impl Fn(&Stamp) -> bool) {
        self.settle_members(replicas);
        if self.is_seen(seen) {
            self.base = None;
            self.origin = Origin::Inherited;
            if let Some(below) = &mut self.below {
                below.folded_from = None;
            }
        }
        let Some(below) = self.below.as_deref_mut() else {
            return;
        };
        for through in [&mut below.through_key, &mut below.through_index] {
            if seen(through) {
                *through = Stamp::INITIAL;
            }
        }
        below.members.retain(|_, member| {
            member.without_seen(replicas, seen);
            !member.is_nothing()
        });
        if let Some(elements) = &mut below.elements {
            elements.writes.retain(|element| !seen(&element.stamp));
            elements.replayed = None;
        }
        let is_empty = below.folded_from.is_none()
            && below.members.is_empty()
            && below
                .elements
                .as_ref()
                .is_none_or(|elements| elements.writes.is_empty())
            && below.through_key == Stamp::INITIAL
            && below.through_index == Stamp::INITIAL;
        if is_empty {
            self.below = None;
        }
    }
}

impl Below {
    fn join<Here, There>(&mut self, sides: &Sides<'_, Here, There>, side: Side, other: Self)
    where
        Here: Fn(&Stamp) -> bool,
        There: Fn(&Stamp) -> bool,
    {
        let replicas = sides.replicas;
        self.through_key = sides.later(self.through_key, other.through_key);
        self.through_index = sides.later(self.through_index, other.through_index);
        self.latest = replicas.later(self.latest, other.latest);
        let mut theirs: BTreeMap<_, _> = other.members.into_entries().collect();
        self.members.retain(|key, member| match theirs.remove(key) {
            Some(theirs) => {
                member.join(sides, theirs);
                true
            }
            None => {
                member.without_seen(replicas, sides.seen_there);
                !member.is_nothing()
            }
        });
        for (key, mut member) in theirs {
            if !crate::plant::active("merge_brings_back") {
                member.without_seen(replicas, sides.seen_here);
            }
            if !member.is_nothing() {
                self.members.get_or_add(&key, || member);
            }
        }
        let theirs = other.elements.map(|elements| *elements).unwrap_or_default();
        if self.elements.is_some() || !theirs.writes.is_empty() {
            let elements = self.elements.get_or_insert_default();
            elements.join(sides, side, theirs);
        }
    }
}

impl Elements {
    /// The side whose array it is has made one value of some writes; those are not to come again.
    fn join<Here, There>(&mut self, sides: &Sides<'_, Here, There>, side: Side, other: Self)
    where
        Here: Fn(&Stamp) -> bool,
        There: Fn(&Stamp) -> bool,
    {
        let replicas = sides.replicas;
        self.replayed = None;
        if side != Side::Here {
            let has = |stamp: &Stamp| other.writes.iter().any(|known| known.stamp == *stamp);
            self.writes
                .retain(|element| has(&element.stamp) || !(sides.seen_there)(&element.stamp));
        }
        for element in other.writes {
            let at = self
                .writes
                .partition_point(|known| replicas.is_after(&element.stamp, &known.stamp));
            let is_known = self
                .writes
                .get(at)
                .is_some_and(|known| known.stamp == element.stamp);
            if !is_known && (side == Side::There || !(sides.seen_here)(&element.stamp)) {
                self.writes.insert(at, element);
            }
        }
    }
}
