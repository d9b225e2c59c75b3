//! What travels beside the document (mqtt-session.md 2).

use crate::error::Result;
use crate::limits::{SESSION_MODEL_BYTES_MAX, SESSION_PLAYER_BYTES_MAX};
use crate::session::date::LocalTime;
use crate::session::document::instance;
use crate::session::json::{self, Fields, Writer};

/// An announcement of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub instance: String,
    pub players_min: u32,
    pub players_max: u32,
    pub model_name: String,
}

/// That an instance is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub instance: String,
    /// Milliseconds after which it is gone unless it is said again; originals say it once.
    pub lease_ms: Option<u64>,
    /// Whether it is a creator's: that is no wish to join.
    pub creates: bool,
    /// What its clock showed.
    pub said_at: Option<LocalTime>,
    /// Who is to continue the session, where that is asked.
    pub vote: Option<Vote>,
}

/// That an instance wants another one, or itself, to be the creator of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    pub term: u64,
    pub instance: String,
}

/// A seed, and who drew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    pub instance: String,
    pub seed: u32,
    pub is_leader: bool,
}

/// That an instance plays a player, or leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Player {
    pub instance: String,
    pub player: Option<String>,
    /// Whether its writer says it again to those who ask; originals say it once.
    pub repeats: bool,
}

/// That an instance wants a player for itself, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub instance: String,
    pub player: String,
    pub is_release: bool,
    /// The creator who decided so; a wish has none.
    pub confirmed_by: Option<String>,
}

/// How a start came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartKind {
    /// The creator wanted it.
    Manual,
    /// The session was full.
    Auto,
}

impl StartKind {
    /// The originals' word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Auto => "auto",
        }
    }
}

/// That the game starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameStart {
    pub instance: String,
    pub kind: StartKind,
    pub is_after_countdown: bool,
}

/// That an instance continues the session as its creator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub instance: String,
    pub term: u64,
    /// The creator, when it asks for it; it stays a member.
    pub handed_by: Option<String>,
}

/// Seeds that are drawn, as the originals draw them.
pub const SEED_MAX: u32 = 1_000_000;

fn writer(instance: &str) -> Writer {
    let mut out = Writer::new();
    out.text("clientId", instance);
    out
}

impl Announcement {
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let model = fields.text_or("model_name", "Unknown")?;
        Ok(Self {
            instance: instance(fields.text("clientId")?, "clientId")?,
            players_min: fields.small_or("num_players_min", 1)?,
            players_max: fields.small_or("num_players_max", 4)?,
            model_name: json::cut(model, SESSION_MODEL_BYTES_MAX).to_owned(),
        })
    }

    pub fn write(&self, session: &str, now: LocalTime) -> Vec<u8> {
        let mut out = Writer::new();
        out.text("session_id", session)
            .text("clientId", &self.instance);
        out.count("num_players_min", self.players_min.into());
        out.count("num_players_max", self.players_max.into());
        out.text("model_name", &self.model_name);
        out.text("timestamp", &now.to_string()).end()
    }
}

impl Presence {
    /// Reads presence; its time is converted to that of a host that is `offset_s` ahead of UTC.
    pub fn parse(payload: &[u8], offset_s: i32) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let lease_ms = fields.count_or("lease_ms", 0)?;
        Ok(Self {
            instance: instance(fields.text("clientId")?, "clientId")?,
            lease_ms: (lease_ms > 0).then_some(lease_ms),
            creates: fields.flag_or("creates", false)?,
            said_at: fields.date("timestamp", offset_s),
            vote: match fields.optional_text("vote")? {
                None => None,
                Some(voted) => Some(Vote {
                    term: fields.count_or("vote_term", 0)?,
                    instance: instance(voted, "vote")?,
                }),
            },
        })
    }

    pub fn write(&self, now: LocalTime) -> Vec<u8> {
        let mut out = writer(&self.instance);
        out.text("timestamp", &now.to_string());
        out.flag("seed_synced", true)
            .flag("game_start_subscribed", true);
        if let Some(lease_ms) = self.lease_ms {
            out.count("lease_ms", lease_ms);
        }
        if self.creates {
            out.flag("creates", true);
        }
        if let Some(vote) = &self.vote {
            out.text("vote", &vote.instance);
            out.count("vote_term", vote.term);
        }
        out.end()
    }
}

impl Seed {
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let seed = fields.small_or("seed", 0)?;
        if !(1..=SEED_MAX).contains(&seed) {
            return Err(json::refused(format!("seed must be 1 to {SEED_MAX}")));
        }
        Ok(Self {
            instance: instance(fields.text("clientId")?, "clientId")?,
            seed,
            is_leader: fields.flag_or("is_leader", false)?,
        })
    }

    pub fn write(&self, now: LocalTime) -> Vec<u8> {
        let mut out = writer(&self.instance);
        out.count("seed", self.seed.into())
            .flag("is_leader", self.is_leader);
        out.text("timestamp", &now.to_string()).end()
    }
}

impl Player {
    /// Reads a registration or a notice of leave.
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let player = fields.optional_text("assigned_player_name")?;
        let cut = |player| json::cut(player, SESSION_PLAYER_BYTES_MAX).to_owned();
        Ok(Self {
            instance: instance(fields.text("clientId")?, "clientId")?,
            player: player.map(cut),
            repeats: fields.flag_or("repeats", false)?,
        })
    }

    pub fn write_registration(
        &self,
        players_min: u32,
        players_max: u32,
        now: LocalTime,
    ) -> Vec<u8> {
        let mut out = writer(&self.instance);
        out.optional_text("assigned_player_name", self.player.as_deref());
        out.count("num_players_min", players_min.into());
        out.count("num_players_max", players_max.into());
        out.text("timestamp", &now.to_string());
        if self.repeats {
            out.flag("repeats", true);
        }
        out.end()
    }

    pub fn write_disconnect(&self, now: LocalTime) -> Vec<u8> {
        let mut out = writer(&self.instance);
        out.optional_text("assigned_player_name", self.player.as_deref());
        out.text("timestamp", &now.to_string()).end()
    }
}

impl Reservation {
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let is_release = match fields.text("action")? {
            "reserve" => false,
            "release" => true,
            other => {
                let other = json::cut(other, 32);
                let text = format!("action must be reserve or release, not {other:?}");
                return Err(json::refused(text));
            }
        };
        let confirmed_by = fields.optional_text("confirmed_by")?;
        let player = fields.text("player_name")?;
        Ok(Self {
            instance: instance(fields.text("clientId")?, "clientId")?,
            player: json::cut(player, SESSION_PLAYER_BYTES_MAX).to_owned(),
            is_release,
            confirmed_by: confirmed_by
                .map(|by| instance(by, "confirmed_by"))
                .transpose()?,
        })
    }

    pub fn write(&self, now: LocalTime) -> Vec<u8> {
        let mut out = writer(&self.instance);
        out.text("player_name", &self.player);
        out.text(
            "action",
            if self.is_release {
                "release"
            } else {
                "reserve"
            },
        );
        out.text("timestamp", &now.to_string());
        if let Some(creator) = &self.confirmed_by {
            out.text("confirmed_by", creator);
        }
        out.end()
    }
}

impl GameStart {
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let kind = match fields.text_or("start_type", "manual")? {
            "auto" => StartKind::Auto,
            _ => StartKind::Manual,
        };
        Ok(Self {
            instance: instance(fields.text("clientId")?, "clientId")?,
            kind,
            is_after_countdown: fields.flag_or("countdown_finished", false)?,
        })
    }

    pub fn write(&self, now: LocalTime) -> Vec<u8> {
        let mut out = writer(&self.instance);
        out.text("timestamp", &now.to_string())
            .text("start_type", self.kind.word());
        out.flag("countdown_finished", self.is_after_countdown)
            .end()
    }
}

impl Claim {
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let handed_by = fields.optional_text("handed_by")?;
        Ok(Self {
            instance: instance(fields.text("clientId")?, "clientId")?,
            term: fields.count_or("term", 0)?,
            handed_by: handed_by.map(|by| instance(by, "handed_by")).transpose()?,
        })
    }

    pub fn write(&self, now: LocalTime) -> Vec<u8> {
        let mut out = writer(&self.instance);
        out.count("term", self.term);
        if let Some(creator) = &self.handed_by {
            out.text("handed_by", creator);
        }
        out.text("timestamp", &now.to_string()).end()
    }
}

/// That every player is taken, as an instance found it.
pub fn write_all_selected(instance: &str, now: LocalTime) -> Vec<u8> {
    let mut out = writer(instance);
    out.text("timestamp", &now.to_string())
        .flag("all_players_selected", true)
        .end()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    const NOW: LocalTime = LocalTime(1_795_703_106_000_007);
    const DATE: &str = r#""timestamp": "2026-11-26T14:25:06.000007""#;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap().replace(DATE, "T")
    }

    #[test]
    fn messages_are_written_as_the_originals_write_them() {
        let instance = || "ab".to_owned();
        let player = || Some("Farmer".to_owned());
        let announcement = Announcement {
            instance: instance(),
            players_min: 2,
            players_max: 4,
            model_name: "M".into(),
        };
        let start = GameStart {
            instance: instance(),
            kind: StartKind::Auto,
            is_after_countdown: true,
        };
        let registration = Player {
            instance: instance(),
            player: player(),
            repeats: false,
        };
        let left = Player {
            instance: instance(),
            player: None,
            repeats: false,
        };
        let reservation = Reservation {
            instance: instance(),
            player: "Farmer".into(),
            is_release: false,
            confirmed_by: None,
        };
        let presence = Presence {
            instance: instance(),
            lease_ms: None,
            creates: false,
            said_at: Some(NOW),
            vote: None,
        };
        let seed = Seed {
            instance: instance(),
            seed: 5,
            is_leader: true,
        };
        for (written, wanted) in [
            (
                announcement.write("s", NOW),
                r#"{"session_id": "s", "clientId": "ab", "num_players_min": 2, "num_players_max": 4, "model_name": "M", T}"#,
            ),
            (
                presence.write(NOW),
                r#"{"clientId": "ab", T, "seed_synced": true, "game_start_subscribed": true}"#,
            ),
            (
                seed.write(NOW),
                r#"{"clientId": "ab", "seed": 5, "is_leader": true, T}"#,
            ),
            (
                registration.write_registration(1, 4, NOW),
                r#"{"clientId": "ab", "assigned_player_name": "Farmer", "num_players_min": 1, "num_players_max": 4, T}"#,
            ),
            (
                left.write_disconnect(NOW),
                r#"{"clientId": "ab", "assigned_player_name": null, T}"#,
            ),
            (
                reservation.write(NOW),
                r#"{"clientId": "ab", "player_name": "Farmer", "action": "reserve", T}"#,
            ),
            (
                start.write(NOW),
                r#"{"clientId": "ab", T, "start_type": "auto", "countdown_finished": true}"#,
            ),
            (
                write_all_selected("ab", NOW),
                r#"{"clientId": "ab", T, "all_players_selected": true}"#,
            ),
        ] {
            assert_eq!(text(written), wanted);
        }
    }

    #[test]
    fn messages_are_read() {
        let instance = || "ab".to_owned();
        let seed = Seed {
            instance: instance(),
            seed: 5,
            is_leader: true,
        };
        assert_eq!(Seed::parse(&seed.write(NOW)).unwrap(), seed);
        let presence = Presence {
            instance: instance(),
            lease_ms: Some(15_000),
            creates: true,
            said_at: Some(NOW),
            vote: Some(Vote {
                term: 3,
                instance: "cd".into(),
            }),
        };
        assert_eq!(Presence::parse(&presence.write(NOW), 0).unwrap(), presence);
        let claim = Claim {
            instance: instance(),
            term: 3,
            handed_by: Some("cd".into()),
        };
        assert_eq!(Claim::parse(&claim.write(NOW)).unwrap(), claim);
        let reservation = Reservation {
            instance: instance(),
            player: "Farmer".into(),
            is_release: true,
            confirmed_by: Some("cd".into()),
        };
        assert_eq!(
            Reservation::parse(&reservation.write(NOW)).unwrap(),
            reservation
        );
        for wrong in [
            r#"{"clientId": "ab", "seed": 0}"#,
            r#"{"clientId": "ab", "seed": 1000001}"#,
            r#"{"clientId": "ab"}"#,
            r#"{"clientId": "", "seed": 5}"#,
            r#"{"seed": 5}"#,
            "[]",
            "",
        ] {
            assert!(Seed::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
