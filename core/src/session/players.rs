//! Who plays whom: players are reserved, and then registered.

use std::collections::BTreeMap;

use crate::limits::SESSION_PLAYERS_MAX;

/// Players by name, with the instances that have them.
#[derive(Debug, Clone, Default)]
pub(super) struct Players {
    pub reserved: BTreeMap<String, String>,
    pub registered: BTreeMap<String, String>,
    pub are_all_selected: bool,
}

impl Players {
    /// Whether there is room for this one.
    pub fn has_room(&self, player: &str) -> bool {
        let has = |map: &BTreeMap<String, String>| {
            map.contains_key(player) || map.len() < SESSION_PLAYERS_MAX
        };
        has(&self.reserved) && has(&self.registered)
    }

    /// Whether the player may be registered by an instance: nobody else has it.
    pub fn may_register(&self, player: &str, instance: &str) -> bool {
        let is_free = |map: &BTreeMap<String, String>| {
            map.get(player).is_none_or(|holder| holder == instance)
        };
        is_free(&self.reserved) && is_free(&self.registered)
    }

    /// Takes away all that an instance has; the names of the players it had reserved.
    pub fn remove_instance(&mut self, instance: &str) -> Vec<String> {
        self.registered.retain(|_, holder| holder != instance);
        let mut released = Vec::new();
        self.reserved.retain(|player, holder| {
            let is_kept = holder != instance;
            if !is_kept {
                released.push(player.clone());
            }
            is_kept
        });
        released
    }
}
