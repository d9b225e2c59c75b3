//! The recorded traffic of the originals (`tests/data/transcripts.json`).

use serde_json::Value;

/// Which of the originals was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// A node lives as long as its connection.
    H,
    /// A node lives by heartbeats.
    S,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    ToPmd,
    /// The PMD.
    FromPmd,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The connection was opened.
    Open,
    /// A frame with this text was sent.
    Frame(Direction, String),
    /// That side ended its stream.
    End(Direction),
}

/// One line of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number of the connection, in order of opening.
    pub conn: u64,
    /// What happened on it.
    pub what: What,
}

/// A frame that an original node wrote to another node's port.
#[derive(Debug, Clone)]
pub struct NodeFrame {
    /// The four bytes before it, in hexadecimal.
    pub header: String,
    /// Its text.
    pub text: String,
}

/// The recording.
#[derive(Debug)]
pub struct Transcript(Value);

impl Transcript {
    /// Reads it.
    pub fn load() -> Self {
        let text = include_str!("../data/transcripts.json");
        Self(serde_json::from_str(text).expect("transcripts.json is broken"))
    }

    /// What was recorded with one generation, in order.
    pub fn steps(&self, generation: Generation) -> Vec<Step> {
        let steps = self.0[format!("{generation:?}")].as_array();
        steps.expect("no steps").iter().map(step).collect()
    }

    /// The frames between nodes, in order.
    pub fn node_frames(&self) -> Vec<NodeFrame> {
        let frames = self.0["node_to_node"]["frames"].as_array();
        let text = |value: &Value| value.as_str().expect("not a text").to_owned();
        let frames = frames.expect("no frames").iter().map(|frame| NodeFrame {
            header: text(&frame["header"]),
            text: text(&frame["frame"]),
        });
        frames.collect()
    }
}

fn step(step: &Value) -> Step {
    let direction = match step["dir"].as_str() {
        Some("to-pmd") => Some(Direction::ToPmd),
        Some("from-pmd") => Some(Direction::FromPmd),
        _ => None,
    };
    let what = match (direction, step["frame"].as_str()) {
        (None, _) if step["open"] == true => What::Open,
        (Some(direction), Some(text)) => What::Frame(direction, text.into()),
        (Some(direction), None) if step["end"] == true => What::End(direction),
        _ => panic!("a step of unknown kind: {step}"),
    };
    let conn = step["conn"].as_u64().expect("no connection number");
    Step { conn, what }
}
