//! All stamps of a tree.

use super::{Node, Tree};
use crate::crdt::stamp::Stamp;

impl Tree {
    /// Looks at every stamp, and may write another replica's number into it.
    pub(in crate::crdt) fn each_stamp(&mut self, look: &mut impl FnMut(&mut Stamp)) {
        self.root.each_stamp(look);
    }
}

impl Node {
    fn each_stamp(&mut self, look: &mut impl FnMut(&mut Stamp)) {
        look(&mut self.stamp);
        let Some(below) = &mut self.below else {
            return;
        };
        for stamp in [
            &mut below.through_key,
            &mut below.through_index,
            &mut below.latest,
        ] {
            look(stamp);
        }
        below.folded_from.iter_mut().for_each(&mut *look);
        if let Some(elements) = &mut below.elements {
            for element in &mut elements.writes {
                look(&mut element.stamp);
            }
            if let Some(replayed) = &mut elements.replayed {
                look(&mut replayed.base);
                look(&mut replayed.since);
            }
        }
        below
            .members
            .each_mut(&mut |member| member.each_stamp(look));
    }
}
