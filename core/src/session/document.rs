//! The session document (mqtt-session.md 2-4).

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    SESSION_COUNTDOWN_S_MAX, SESSION_INSTANCE_BYTES_MAX, SESSION_MEMBERS_MAX,
    SESSION_MODEL_BYTES_MAX,
};
use crate::session::date::LocalTime;
use crate::session::json::{self, Fields};
use crate::session::topic::check_level;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum State {
    /// It waits for members; whoever finds room can join.
    #[default]
    Open,
    /// The countdown to the start runs.
    Starting,
    /// The game runs.
    InProgress,
    /// It was cancelled, has ended, or its creator is gone. Nothing comes after this.
    Closed,
}

/// Which words a state is written in: the originals have two vocabularies (mqtt-session.md 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// Of the plans: on `session_state/{id}`.
    Planned,
    /// Of the programs that ran: on `{id}/session_state`.
    Running,
}

impl State {
    /// The state's word.
    pub fn word(self, vocabulary: Vocabulary) -> &'static str {
        match (self, vocabulary) {
            (Self::Open, _) => "open",
            (Self::Starting, Vocabulary::Planned) => "starting",
            (Self::InProgress, Vocabulary::Planned) => "in_progress",
            (Self::Starting | Self::InProgress, Vocabulary::Running) => "started",
            (Self::Closed, _) => "closed",
        }
    }

    /// The state of a word of either vocabulary.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "open" => Self::Open,
            "starting" => Self::Starting,
            "in_progress" | "started" => Self::InProgress,
            "closed" => Self::Closed,
            _ => return None,
        })
    }
}

/// A session as its creator publishes it, retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The session's id as it travels: what is no ASCII letter, digit, `-` or `_` in percent encoding,
    /// unless an original has created it.
    pub session_id: String,
    /// The creator's id.
    pub creator: String,
    /// The model's name.
    pub model_name: String,
    /// `None` for a word that is in neither vocabulary.
    pub state: Option<State>,
    /// The creator first, then in the order in which they joined.
    pub members: Vec<String>,
    /// Grows with every change.
    pub version: u64,
    /// What the creator's clock showed when it wrote this.
    pub last_heartbeat: Option<LocalTime>,
    /// When the session was created.
    pub created_at: Option<LocalTime>,
    /// When it last changed.
    pub last_updated: Option<LocalTime>,
    /// Members without which the game can't start.
    pub players_min: u32,
    /// Members for whom there is room.
    pub players_max: u32,
    /// Only in documents of distflow.
    pub writer: Option<Writer>,
}

/// What distflow adds to the document, and originals ignore.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Writer {
    /// Who wrote it.
    pub instance: String,
    /// Counts this creator's publications, heartbeats included.
    pub heartbeat: u64,
    /// Counts the creators that the session has had before.
    pub term: u64,
    /// Whether another member continues the session when its creator is lost.
    pub hands_over: bool,
    /// Counts this creator's connections: what was said to it during a break is said again.
    pub connection: u64,
    /// Seconds from the moment it is full to its start by itself.
    pub auto_start_s: Option<u32>,
    /// Who asked to join lately and was refused.
    pub refused: Vec<String>,
}

impl Document {
    /// Reads a document; times are converted to the local time of a host that is `offset_s` seconds
    /// ahead of UTC. A date that is none is left out.
    ///
    /// Errors: `too_large`, `invalid_json`, `invalid_message`, which names the member that is wrong.
    pub fn parse(payload: &[u8], offset_s: i32) -> Result<Self> {
        let object = json::object(payload)?;
        let fields = Fields::new(&object);
        let session_id = fields.text("session_id")?.to_owned();
        let wrong = |error: Error| json::refused(error.message().to_owned());
        check_level(&session_id, "session_id").map_err(wrong)?;
        let creator = instance(fields.text("creator_client_id")?, "creator_client_id")?;
        let members = instances(&object, "connected_instances")?;
        let date = |name| fields.date(name, offset_s);
        let model_name = fields.text_or("model_name", "Unknown")?;
        Ok(Self {
            session_id,
            creator,
            model_name: json::cut(model_name, SESSION_MODEL_BYTES_MAX).to_owned(),
            state: State::parse(fields.text_or("state", "open")?),
            members,
            version: fields.count_or("version", 1)?,
            last_heartbeat: date("last_heartbeat"),
            created_at: date("created_at"),
            last_updated: date("last_updated"),
            players_min: fields.small_or("num_players_min", 1)?,
            players_max: fields.small_or("num_players_max", 4)?,
            writer: Self::writer(&object, &fields)?,
        })
    }

    fn writer(object: &Map<String, Value>, fields: &Fields<'_>) -> Result<Option<Writer>> {
        let Some(writer) = fields.optional_text("writer_client_id")? else {
            return Ok(None);
        };
        Ok(Some(Writer {
            instance: instance(writer, "writer_client_id")?,
            heartbeat: fields.count_or("heartbeat", 0)?,
            term: fields.count_or("term", 0)?,
            hands_over: fields.flag_or("hand_over", false)?,
            connection: fields.count_or("connection", 0)?,
            auto_start_s: match object.contains_key("auto_start_s") {
                true => Some(
                    fields
                        .small_or("auto_start_s", 0)?
                        .min(SESSION_COUNTDOWN_S_MAX),
                ),
                false => None,
            },
            refused: instances(object, "refused_instances")?,
        }))
    }

    /// The text that travels, as Python's `json.dumps` writes it; members in the order of the
    /// originals, ours behind theirs.
    pub fn write(&self, vocabulary: Vocabulary) -> Vec<u8> {
        let mut out = json::Writer::new();
        out.text("session_id", &self.session_id);
        out.text("creator_client_id", &self.creator);
        out.text("model_name", &self.model_name);
        out.text("state", self.state.unwrap_or_default().word(vocabulary));
        out.texts("connected_instances", &self.members);
        out.count("version", self.version);
        for (name, date) in [
            ("last_heartbeat", self.last_heartbeat),
            ("created_at", self.created_at),
            ("last_updated", self.last_updated),
        ] {
            if let Some(date) = date {
                out.text(name, &date.to_string());
            }
        }
        out.count("num_players_min", self.players_min.into());
        out.count("num_players_max", self.players_max.into());
        if let Some(writer) = &self.writer {
            out.text("writer_client_id", &writer.instance);
            out.count("heartbeat", writer.heartbeat);
            out.count("term", writer.term);
            out.flag("hand_over", writer.hands_over);
            if writer.connection > 0 {
                out.count("connection", writer.connection);
            }
            if let Some(seconds) = writer.auto_start_s {
                out.count("auto_start_s", seconds.into());
            }
            if !writer.refused.is_empty() {
                out.texts("refused_instances", &writer.refused);
            }
        }
        out.end()
    }

    /// Whether somebody is in it.
    pub fn has(&self, instance: &str) -> bool {
        self.members.iter().any(|member| member == instance)
    }

    /// Whether there is room for another member.
    pub fn has_room(&self) -> bool {
        self.members.len() < (self.players_max as usize).min(SESSION_MEMBERS_MAX)
    }

    /// Whether somebody can join.
    pub fn is_joinable(&self) -> bool {
        self.state == Some(State::Open) && self.has_room()
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        self.state == Some(State::Closed)
    }

    /// How many creators there were before this one.
    pub fn term(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.term)
    }

    /// Whether another member continues it when its creator is lost.
    pub fn hands_over(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.hands_over)
    }

    /// Whether a program of the originals wrote it.
    pub fn is_original(&self) -> bool {
        self.writer.is_none()
    }
}

/// An instance's id.
pub(super) fn instance(id: &str, name: &str) -> Result<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=SESSION_INSTANCE_BYTES_MAX).contains(&id.len()) && id.chars().all(is_allowed) {
        return Ok(id.to_owned());
    }
    Err(Error::new(
        ErrorKind::InvalidMessage,
        format!(
            "{name} must be 1 to {SESSION_INSTANCE_BYTES_MAX} letters, digits, '-' and '_', not {:?}",
            json::cut(id, SESSION_INSTANCE_BYTES_MAX)
        ),
    ))
}

/// Instances' ids, each once, in their order.
fn instances(object: &Map<String, Value>, name: &str) -> Result<Vec<String>> {
    let list = match object.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(json::refused(format!("{name} must be an array"))),
    };
    if list.len() > SESSION_MEMBERS_MAX {
        return Err(json::refused(format!(
            "{name} has {} members, at most {SESSION_MEMBERS_MAX} are allowed",
            list.len()
        )));
    }
    let mut found = Vec::with_capacity(list.len());
    let mut known = std::collections::HashSet::new();
    for id in list {
        let id = id
            .as_str()
            .ok_or_else(|| json::refused(format!("{name} must hold strings")))?;
        if known.insert(id) {
            found.push(instance(id, name)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    const ORIGINAL: &str = r#"{"session_id": "s-1", "creator_client_id": "aa", "model_name": "F\u00f6rster", "state": "open", "connected_instances": ["aa", "bb"], "version": 3, "last_heartbeat": "2026-11-26T14:05:06.000007", "created_at": "2026-11-26T14:05:01", "last_updated": "2026-11-26T14:05:06.000007", "num_players_min": 2, "num_players_max": 4}"#;

    #[test]
    fn the_originals_documents_are_read_and_written() {
        let document = Document::parse(ORIGINAL.as_bytes(), 0).unwrap();
        assert_eq!(document.model_name, "Förster");
        assert!(document.is_original() && document.is_joinable() && document.has("bb"));
        let written = document.write(Vocabulary::Running);
        assert_eq!(String::from_utf8(written).unwrap(), ORIGINAL);
    }

    #[test]
    fn what_is_ours_comes_back() {
        let mut document = Document::parse(ORIGINAL.as_bytes(), 0).unwrap();
        document.writer = Some(Writer {
            instance: "aa".into(),
            heartbeat: 7,
            term: 2,
            hands_over: true,
            connection: 2,
            auto_start_s: Some(3),
            refused: vec!["cc".into()],
        });
        document.state = Some(State::Starting);
        let planned = document.write(Vocabulary::Planned);
        assert_eq!(Document::parse(&planned, 0).unwrap(), document);
        let running = Document::parse(&document.write(Vocabulary::Running), 0).unwrap();
        assert_eq!(running.state, Some(State::InProgress));
    }

    #[test]
    fn what_is_missing_has_defaults() {
        let text = br#"{"session_id": "s", "creator_client_id": "aa", "last_heartbeat": "soon"}"#;
        let document = Document::parse(text, 0).unwrap();
        assert_eq!(
            (document.version, document.players_min, document.players_max),
            (1, 1, 4)
        );
        assert_eq!(
            (document.model_name.as_str(), document.state),
            ("Unknown", Some(State::Open))
        );
        assert_eq!((document.last_heartbeat, document.members.len()), (None, 0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, text) in [
            ("\"session_id\": \"s-1\", ", "", "session_id is missing"),
            ("\"s-1\"", "\"a/b\"", "session_id holds '/'"),
            (
                "\"aa\", \"model",
                "7, \"model",
                "creator_client_id must be a string",
            ),
            (
                "\"bb\"",
                "\"b/b\"",
                "connected_instances must be 1 to 64 letters",
            ),
            ("\"bb\"", "5", "connected_instances must hold strings"),
            (
                "[\"aa\", \"bb\"]",
                "{}",
                "connected_instances must be an array",
            ),
            (
                "\"version\": 3",
                "\"version\": -3",
                "version must be a whole number",
            ),
            (
                "\"version\": 3",
                "\"version\": 3, \"version\": 4",
                "duplicate",
            ),
            (
                "\"num_players_max\": 4",
                "\"num_players_max\": \"4\"",
                "num_players_max must be",
            ),
        ] {
            assert!(ORIGINAL.contains(from), "{from}");
            let error = Document::parse(ORIGINAL.replace(from, to).as_bytes(), 0).unwrap_err();
            assert!(
                error.message().to_lowercase().contains(text),
                "{to}: {error}"
            );
        }
        assert!(Document::parse(b"[]", 0).is_err());
        assert!(Document::parse(&vec![b' '; 65 << 10], 0).is_err());
        let many: Vec<_> = (0..1_025).map(|number| format!("\"{number}\"")).collect();
        let many = ORIGINAL.replace("\"aa\", \"bb\"", &many.join(","));
        assert!(Document::parse(many.as_bytes(), 0).is_err());
    }

    #[test]
    fn words_of_both_vocabularies_are_read() {
        for (word, state) in [
            ("open", Some(State::Open)),
            ("starting", Some(State::Starting)),
            ("started", Some(State::InProgress)),
            ("in_progress", Some(State::InProgress)),
            ("closed", Some(State::Closed)),
            ("paused", None),
        ] {
            let text = ORIGINAL.replace("\"open\"", &format!("\"{word}\""));
            let document = Document::parse(text.as_bytes(), 0).unwrap();
            assert_eq!(document.state, state);
            assert_eq!(document.is_joinable(), word == "open");
        }
    }
}
