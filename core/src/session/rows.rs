//! How the list of sessions is drawn: texts and hints as the originals have them (mqtt-session.md 6).

use super::document::State;
use super::lobby::Listing;

/// The placeholder of an empty list, as the originals have it.
pub const NO_SESSIONS: &str = "No sessions available";

/// How the list is drawn: texts and hints as the originals have them (mqtt-session.md 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The session's id.
    pub session_id: String,
    /// What the row says.
    pub text: String,
    /// What it says when it is pointed at, in lines.
    pub tooltip: String,
    /// Whether this instance is in it.
    pub is_checked: bool,
    /// Whether there is no room.
    pub is_full: bool,
    /// Colours as `#rrggbb`, where they differ from the usual.
    pub background: Option<&'static str>,
    /// Colour of the text.
    pub foreground: Option<&'static str>,
    /// Whether the text is slanted.
    pub is_italic: bool,
}

impl Listing {
    /// `2/4 instances (Full)` and the like.
    pub fn instances_text(&self) -> String {
        let (count, min, max) = (
            self.members.len() as u32,
            self.players_min,
            self.players_max,
        );
        let is_full = count >= max;
        if min == max {
            let word = if is_full { "Full" } else { "Available" };
            return format!("{count}/{max} instances ({word})");
        }
        match (is_full, count >= min) {
            (true, _) => format!("{count}/{max} instances (Full)"),
            (false, true) => format!("{count}/{min}-{max} instances (Ready)"),
            (false, false) => format!("{count}/{min}-{max} instances (Available)"),
        }
    }

    /// How it is drawn for an instance that is in it or not.
    pub fn row(&self, is_connected: bool) -> Row {
        let is_full = self.members.len() as u32 >= self.players_max;
        let mark = if is_connected { " ✓" } else { "" };
        let instances = self.instances_text();
        let mut tooltip = format!(
            "Session ID: {}\nModel: {}\nInstances: {instances}",
            self.session_id, self.model_name
        );
        if !self.players.is_empty() {
            tooltip.push_str("\nRegistered players: ");
            tooltip.push_str(&self.players.join(", "));
        }
        let is_grey = is_full && !is_connected;
        Row {
            session_id: self.session_id.clone(),
            text: format!("{}{mark} ({instances})", self.model_name),
            tooltip,
            is_checked: is_connected,
            is_full,
            background: is_connected.then_some("#e3f2fd"),
            foreground: is_grey.then_some("#888"),
            is_italic: is_grey,
        }
    }
}

/// The rows of the list: sessions that can be joined or that are full, and the one that this instance
/// is in (mqtt-session.md 6).
pub fn rows(sessions: &[Listing], own: Option<&str>) -> Vec<Row> {
    let is_own = |listing: &Listing| own == Some(listing.session_id.as_str());
    let is_shown = |listing: &&Listing| listing.state == State::Open || is_own(listing);
    let shown = sessions.iter().filter(is_shown);
    shown.map(|listing| listing.row(is_own(listing))).collect()
}

/// `Instances: 2/4 connected ✓` and the like: the counter beside the list.
pub fn count_text(count: u32, min: u32, max: u32) -> String {
    let rest = match count {
        _ if count >= max => " ✓".to_owned(),
        _ if count >= min && min < max => " ✓ (min)".to_owned(),
        _ => format!(
            " (waiting for {} more...)",
            if min < max {
                min.saturating_sub(count)
            } else {
                max - count
            }
        ),
    };
    format!("Instances: {count}/{max} connected{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(count: usize, min: u32, max: u32) -> Listing {
        Listing {
            session_id: "s".into(),
            model_name: "Forest".into(),
            state: State::Open,
            members: (0..count).map(|number| number.to_string()).collect(),
            players_min: min,
            players_max: max,
            creator: "0".into(),
            players: Vec::new(),
            found_at_ms: 0,
            is_joinable: true,
        }
    }

    #[test]
    fn rows_have_the_texts_of_the_originals() {
        for (count, min, max, connected, text) in [
            (1, 4, 4, false, "Forest (1/4 instances (Available))"),
            (4, 4, 4, false, "Forest (4/4 instances (Full))"),
            (1, 2, 4, false, "Forest (1/2-4 instances (Available))"),
            (2, 2, 4, true, "Forest ✓ (2/2-4 instances (Ready))"),
            (4, 2, 4, true, "Forest ✓ (4/4 instances (Full))"),
        ] {
            assert_eq!(listing(count, min, max).row(connected).text, text);
        }
        let full = listing(4, 2, 4).row(false);
        assert_eq!(
            (full.foreground, full.is_italic, full.background),
            (Some("#888"), true, None)
        );
        let own = listing(4, 2, 4).row(true);
        assert_eq!(
            (own.foreground, own.is_italic, own.background),
            (None, false, Some("#e3f2fd"))
        );
        let mut registered = listing(2, 2, 4);
        registered.players = vec!["Farmer".into(), "Hunter".into()];
        assert_eq!(
            registered.row(false).tooltip,
            "Session ID: s\nModel: Forest\nInstances: 2/2-4 instances (Ready)\nRegistered players: Farmer, Hunter"
        );
    }

    #[test]
    fn counts_have_the_texts_of_the_originals() {
        assert_eq!(count_text(4, 2, 4), "Instances: 4/4 connected ✓");
        assert_eq!(count_text(2, 2, 4), "Instances: 2/4 connected ✓ (min)");
        assert_eq!(
            count_text(1, 3, 4),
            "Instances: 1/4 connected (waiting for 2 more...)"
        );
        assert_eq!(
            count_text(1, 4, 4),
            "Instances: 1/4 connected (waiting for 3 more...)"
        );
    }
}
