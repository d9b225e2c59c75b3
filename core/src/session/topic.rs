//! The topics of a session (mqtt-session.md 1).

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{SESSION_ID_BYTES_MAX, SESSION_PLAYER_BYTES_MAX};

/// The part before a session's id where announcements are.
pub const DISCOVERY: &str = "session_discovery";
/// The name of the document's topic, before or behind the session's id.
pub const STATE: &str = "session_state";

/// What a message is, by its topic. Sessions, players and names of the game's messages are levels of
/// it: as they travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The session document; under the name of the first plans.
    PlannedState {
        session: &'a str,
    },
    /// The session document; under the name that ran.
    State {
        session: &'a str,
    },
    Discovery {
        session: &'a str,
    },
    Seed {
        session: &'a str,
    },
    /// Presence of an instance.
    Ready {
        session: &'a str,
        instance: &'a str,
    },
    Registration {
        session: &'a str,
        player: &'a str,
    },
    /// The last level is an instance, or a player's name.
    Disconnect {
        session: &'a str,
        who: &'a str,
    },
    Reservation {
        session: &'a str,
        player: &'a str,
    },
    GameStart {
        session: &'a str,
    },
    AllSelected {
        session: &'a str,
    },
    /// Who continues the session as its creator, as a candidate says it; see the module `session`.
    Claim {
        session: &'a str,
    },
    /// What the game says, by the name behind `game_`.
    Game {
        session: &'a str,
        name: &'a str,
    },
}

impl<'a> Topic<'a> {
    /// What a topic means; `None` for one of something else.
    pub fn parse(topic: &'a str) -> Option<Self> {
        let (first, rest) = topic.split_once('/')?;
        if rest.is_empty() || first.is_empty() {
            return None;
        }
        let is_one_level = !rest.contains('/');
        match first {
            DISCOVERY if is_one_level => return Some(Self::Discovery { session: rest }),
            STATE if is_one_level => return Some(Self::PlannedState { session: rest }),
            _ => {}
        }
        let session = first;
        if let Some(name) = rest.strip_prefix("game_") {
            return is_one_level.then_some(Self::Game { session, name });
        }
        let (name, last) = match rest.strip_prefix("session_")?.split_once('/') {
            Some((name, last)) if !last.is_empty() && !last.contains('/') => (name, Some(last)),
            Some(_) => return None,
            None => (rest.strip_prefix("session_")?, None),
        };
        Some(match (name, last) {
            ("state", None) => Self::State { session },
            ("seed_sync", None) => Self::Seed { session },
            ("game_start", None) => Self::GameStart { session },
            ("all_players_selected", None) => Self::AllSelected { session },
            ("creator_claim", None) => Self::Claim { session },
            ("instance_ready", Some(instance)) => Self::Ready { session, instance },
            ("player_registration", Some(player)) => Self::Registration { session, player },
            ("player_disconnect", Some(who)) => Self::Disconnect { session, who },
            ("player_reservation", Some(player)) => Self::Reservation { session, player },
            _ => return None,
        })
    }
}

/// The topics of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    name: String,
    /// The session's id as a level of its topics.
    session: String,
}

impl Topics {
    /// Those of a session that one of ours has created, by its id.
    ///
    /// Error: `invalid_argument` for an id that is none.
    pub fn new(session: &str) -> Result<Self> {
        check_id(session, "the session's id")?;
        Ok(Self {
            name: session.to_owned(),
            session: encode(session).into_owned(),
        })
    }

    /// Those of a session whose id is a level of a topic as it is, as originals write it.
    ///
    /// Error: `invalid_argument` for what can't be one.
    pub fn of_level(level: &str) -> Result<Self> {
        check_level(level, "the session's id")?;
        Ok(Self {
            name: name_of(level),
            session: level.to_owned(),
        })
    }

    /// The session's id, for programs and people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The session's id as it travels: a level of its topics, and in the document.
    pub fn session(&self) -> &str {
        &self.session
    }

    pub fn planned_state(&self) -> String {
        format!("{STATE}/{}", self.session)
    }

    pub fn state(&self) -> String {
        format!("{}/{STATE}", self.session)
    }

    pub fn discovery(&self) -> String {
        format!("{DISCOVERY}/{}", self.session)
    }

    pub fn seed(&self) -> String {
        self.of("seed_sync")
    }

    pub fn game_start(&self) -> String {
        self.of("game_start")
    }

    pub fn all_selected(&self) -> String {
        self.of("all_players_selected")
    }

    pub fn claim(&self) -> String {
        self.of("creator_claim")
    }

    pub fn ready(&self, instance: &str) -> String {
        format!("{}/{instance}", self.of("instance_ready"))
    }

    /// By the level that stands for a player.
    pub fn registration(&self, level: &str) -> String {
        format!("{}/{level}", self.of("player_registration"))
    }

    pub fn disconnect(&self, who: &str) -> String {
        format!("{}/{}", self.of("player_disconnect"), encode(who))
    }

    /// By the level that stands for a player.
    pub fn reservation(&self, level: &str) -> String {
        format!("{}/{level}", self.of("player_reservation"))
    }

    /// All of the topics of this name that have another level behind it.
    pub fn every(&self, name: &str) -> String {
        format!("{}/+", self.of(name))
    }

    /// A topic of the game.
    #[cfg(any(feature = "mqtt", test))]
    pub fn game(&self, name: &str) -> String {
        format!("{}/game_{}", self.session, encode(name))
    }

    fn of(&self, name: &str) -> String {
        format!("{}/session_{name}", self.session)
    }
}

/// Whether a text can be one level of a topic as it is, and in a log.
///
/// Error: `invalid_argument`, which says what is wrong with it.
pub fn check_id(id: &str, what: &str) -> Result<()> {
    let problem = if id.is_empty() {
        "is empty".to_owned()
    } else if id.len() > SESSION_ID_BYTES_MAX {
        format!(
            "is {} bytes long, at most {SESSION_ID_BYTES_MAX} are allowed",
            id.len()
        )
    } else if let Some(wrong) = id
        .chars()
        .find(|c| matches!(c, '/' | '+' | '#') || c.is_control())
    {
        format!("holds {wrong:?}; '/', '+', '#' and control characters are not allowed")
    } else if matches!(id, DISCOVERY | STATE) || id.starts_with('$') {
        "is the name of another topic".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!("{what} {problem}"),
    ))
}

/// Whether a text can be one level of a topic as it is.
pub fn is_level(text: &str) -> bool {
    let is_wrong = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
    !text.is_empty() && !text.contains(is_wrong)
}

/// Whether a text can be an id as it travels: in percent encoding a character takes three bytes for one.
///
/// Error: `invalid_argument`, which says what is wrong with it.
pub fn check_level(level: &str, what: &str) -> Result<()> {
    if level.len() > 3 * SESSION_ID_BYTES_MAX {
        let text = format!("{what} is {} bytes long in its topics", level.len());
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let most = level.floor_char_boundary(SESSION_ID_BYTES_MAX);
    check_id(&level[..most], what)?;
    match is_level(&level[most..]) || most == level.len() {
        true => Ok(()),
        false => check_id(&level[most..], what),
    }
}

/// Whether a text can be a player's name: anything but nothing and control characters.
///
/// Error: `invalid_argument`.
pub fn check_player(name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > SESSION_PLAYER_BYTES_MAX {
        format!(
            "is {} bytes long, at most {SESSION_PLAYER_BYTES_MAX} are allowed",
            name.len()
        )
    } else if name.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!("the player's name {problem}"),
    ))
}

/// A name as a level of a topic: everything but ASCII letters, digits, `_` and `-` in percent encoding
/// (RFC 3986). The rest are letters of the language of one broker or another: dots, blanks, `*`, `>`.
pub fn encode(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| crate::plant::active("letters_as_they_are") && c == '.';
    let is_special =
        |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_') && !is_plain(c);
    if !name.contains(is_special) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if is_special(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// The name that a level of a topic stands for: what is not in our encoding is as an original wrote it.
pub fn name_of(level: &str) -> String {
    let name = decode(level);
    match encode(&name) == level {
        true => name,
        false => level.to_owned(),
    }
}

/// The reverse of [`encode`]. What is no percent encoding stays as it is: originals do not encode.
pub fn decode(level: &str) -> String {
    if !level.contains('%') {
        return level.to_owned();
    }
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let bytes = level.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let encoded = match bytes[at..] {
            [b'%', high, low, ..] => digit(high).zip(digit(low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| level.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn topics_are_read_as_they_are_written() {
        let topics = Topics::new("s-1").unwrap();
        let session = "s-1";
        let player = "R%2FD%20%25";
        assert_eq!(
            (encode("R/D %").as_ref(), name_of(player).as_str()),
            (player, "R/D %")
        );
        for (topic, meaning) in [
            (topics.planned_state(), Topic::PlannedState { session }),
            (topics.state(), Topic::State { session }),
            (topics.discovery(), Topic::Discovery { session }),
            (topics.seed(), Topic::Seed { session }),
            (topics.game_start(), Topic::GameStart { session }),
            (topics.all_selected(), Topic::AllSelected { session }),
            (topics.claim(), Topic::Claim { session }),
            (
                topics.ready("ab12"),
                Topic::Ready {
                    session,
                    instance: "ab12",
                },
            ),
            (
                topics.registration(player),
                Topic::Registration { session, player },
            ),
            (
                topics.disconnect("R/D %"),
                Topic::Disconnect {
                    session,
                    who: player,
                },
            ),
            (
                topics.reservation(player),
                Topic::Reservation { session, player },
            ),
            (
                topics.game("nextTurn"),
                Topic::Game {
                    session,
                    name: "nextTurn",
                },
            ),
        ] {
            assert_eq!(Topic::parse(&topic), Some(meaning), "{topic}");
        }
        assert_eq!(topics.ready("ab12"), "s-1/session_instance_ready/ab12");
        assert_eq!(
            topics.every("instance_ready"),
            "s-1/session_instance_ready/+"
        );
        let topics = Topics::new("Forest game. 2").unwrap();
        assert_eq!(topics.state(), "Forest%20game%2E%202/session_state");
        assert_eq!(
            topics.game("next turn"),
            "Forest%20game%2E%202/game_next%20turn"
        );
        assert_eq!(Topics::of_level(topics.session()).unwrap(), topics);
        // As originals write them, they stay.
        for level in ["Forest game. 2", "50%25 off", "50%", "a%2Fb c"] {
            assert_eq!(Topics::of_level(level).unwrap().name(), level);
        }
        for level in ["a/b", "+", "session_state", ""] {
            assert!(Topics::of_level(level).is_err(), "{level}");
        }
        assert!(Topics::of_level(&"%20".repeat(128)).is_ok());
        assert!(Topics::of_level(&"%20".repeat(129)).is_err());
    }

    #[test]
    fn other_topics_are_none() {
        for topic in [
            "",
            "/",
            "s/",
            "/session_state",
            "s",
            "s/session_",
            "s/session_other",
            "s/session_instance_ready",
            "s/session_instance_ready/",
            "s/session_instance_ready/a/b",
            "s/session_state/a",
            "session_state/a/b",
            "s/game_a/b",
            "$SYS/broker/uptime",
        ] {
            assert_eq!(Topic::parse(topic), None, "{topic}");
        }
    }

    #[test]
    fn ids_that_would_be_other_topics_are_refused() {
        for (id, text) in [
            ("", "is empty"),
            ("a/b", "holds '/'"),
            ("a+", "holds '+'"),
            ("#", "holds '#'"),
            ("a\n", "holds '\\n'"),
            ("session_state", "another topic"),
            ("$SYS", "another topic"),
        ] {
            let error = Topics::new(id).unwrap_err();
            assert!(error.message().contains(text), "{id}: {error}");
        }
        assert!(Topics::new(&"x".repeat(129)).is_err());
        assert!(Topics::new("Forest game, group 2").is_ok());
    }

    proptest! {
        #[test]
        fn names_come_back(name in "\\PC{1,20}") {
            prop_assert_eq!(decode(&encode(&name)), name.clone());
            prop_assert_eq!(name_of(&encode(&name)), name.clone());
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_%".contains(c);
            prop_assert!(encode(&name).chars().all(is_plain));
        }

        #[test]
        fn any_topic_is_something_or_nothing(topic in "[a-z_/+#%0-9]{0,40}") {
            let _ = Topic::parse(&topic);
        }
    }
}
