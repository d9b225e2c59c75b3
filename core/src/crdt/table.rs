//! Named entries in the order in which they were added.

use std::collections::HashMap;

use crate::crdt::text::Text;

/// Up to so many entries are looked through; for more there is an index.
const SMALL: usize = 8;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    entries: Vec<(Text, T)>,
    #[allow(
        clippy::box_collection,
        reason = "a map is 48 bytes even in those many tables that have none"
    )]
    index: Option<Box<HashMap<Text, u32>>>,
    /// What was found last: mostly it is looked for once more, to be written.
    last: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            index: None,
            last: 0,
        }
    }
}

impl<T> Table<T> {
    fn find(&mut self, name: &Text) -> Option<usize> {
        let found = match &self.index {
            Some(index) => {
                let last = self.entries.get(self.last as usize);
                if last.is_some_and(|(known, _)| known == name) {
                    return Some(self.last as usize);
                }
                index.get(name).map(|&at| at as usize)
            }
            None => self.entries.iter().position(|(known, _)| known == name),
        };
        self.last = found.unwrap_or(0) as u32;
        found
    }

    pub fn get_mut(&mut self, name: &Text) -> Option<&mut T> {
        let at = self.find(name)?;
        self.entries.get_mut(at).map(|(_, entry)| entry)
    }

    /// The entry of a name; whether it was added now.
    pub fn get_or_add(&mut self, name: &Text, make: impl FnOnce() -> T) -> (&mut T, bool) {
        let found = self.find(name);
        let at = found.unwrap_or(self.entries.len());
        if found.is_none() {
            if self.entries.len() < SMALL {
                // Most tables stay small, and there are many.
                self.entries.reserve_exact(1);
            }
            self.entries.push((name.clone(), make()));
            match &mut self.index {
                Some(index) => drop(index.insert(name.clone(), at as u32)),
                None if self.entries.len() > SMALL => self.make_index(),
                None => {}
            }
        }
        (&mut self.entries[at].1, found.is_none())
    }

    fn make_index(&mut self) {
        self.index = (self.entries.len() > SMALL).then(|| {
            let names = self.entries.iter().enumerate();
            Box::new(
                names
                    .map(|(at, (name, _))| (name.clone(), at as u32))
                    .collect(),
            )
        });
    }

    /// Gives back memory that was taken for more entries.
    pub fn fit(&mut self) {
        self.entries.shrink_to_fit();
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn each_mut(&mut self, look: &mut dyn FnMut(&mut T)) {
        self.entries.iter_mut().for_each(|(_, entry)| look(entry));
    }

    pub fn into_entries(self) -> impl Iterator<Item = (Text, T)> {
        self.entries.into_iter()
    }

    /// Looks at every entry; those for which the function gives false go.
    pub fn retain(&mut self, mut look: impl FnMut(&Text, &mut T) -> bool) {
        let before = self.entries.len();
        self.entries.retain_mut(|(name, entry)| look(name, entry));
        if self.entries.len() != before {
            self.entries.shrink_to(2 * self.entries.len());
            self.make_index();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_in_small_and_in_large_tables() {
        let mut table = Table::default();
        let name = |at: usize| Text::from(at.to_string());
        for at in 0..100 {
            assert!(table.get_or_add(&name(at), || at).1);
            assert!(!table.get_or_add(&name(at / 2), || 1_000).1);
            assert_eq!(table.get_mut(&name(at)), Some(&mut at.clone()));
            assert_eq!(table.get_mut(&"none".into()), None);
        }
        table.retain(|_, at| *at % 10 == 3);
        assert_eq!(table.len(), 10);
        assert_eq!(table.get_mut(&"33".into()), Some(&mut 33));
        assert_eq!(table.get_mut(&"34".into()), None);
        table.retain(|_, at| *at > 60);
        let left: Vec<_> = table
            .into_entries()
            .map(|(name, at)| format!("{name}{at}"))
            .collect();
        assert_eq!(left, ["6363", "7373", "8383", "9393"]);
    }
}
