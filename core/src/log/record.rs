//! One event as plain data.

use std::fmt::{self, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;

use crate::limits;
use crate::time::wall_ms;

/// How severe a record is; the most severe is the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Something does not work.
    Error = 1,
    /// Something was lost or refused.
    Warn = 2,
    /// Nodes come and go.
    Info = 3,
    /// Connections come and go.
    Debug = 4,
    /// Details of no interest to most.
    Trace = 5,
}

impl Level {
    /// Every level, the most severe first.
    pub const ALL: [Level; 5] = [
        Level::Error,
        Level::Warn,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ];

    /// The number, 1 to 5.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The level of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.number() == number)
    }

    /// The name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    pub(super) fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }

    pub(super) fn filter(self) -> LevelFilter {
        match self {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

/// One event. Control characters in its texts are escaped (`\n`, `\u{1b}`), so that a text of
/// a stranger cannot pass for a line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How severe it is.
    pub level: Level,
    /// The part of the library it comes from, as `distflow_core::node`.
    pub target: String,
    /// What happened; 1,024 bytes at most.
    pub message: String,
    /// With what, as the text of one JSON object; 128 bytes of each text at most.
    pub fields: String,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

impl Record {
    pub(super) fn of(event: &tracing::Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        Self {
            level: Level::of(*metadata.level()),
            target: metadata.target().to_owned(),
            message: fields.message,
            fields: Value::Object(fields.others).to_string(),
            timestamp_ms: wall_ms(),
        }
    }

    /// About the memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.target.len() + self.message.len() + self.fields.len()
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        // How a field is written whose name is a word of Rust.
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.others.insert(name.to_owned(), value.into());
    }

    fn add_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        if field.name() == "message" {
            self.message = shortened(text, limits::LOG_MESSAGE_BYTES_MAX);
        } else {
            self.add(field, shortened(text, limits::LOG_TEXT_BYTES_MAX));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.add(field, value);
        } else {
            // JSON has no number for it.
            self.add(field, value.to_string());
        }
    }
}

const ELLIPSIS: char = '…';

/// Formats a text up to a length, with an ellipsis in place of what is left out, and escapes
/// its control characters.
fn shortened(text: fmt::Arguments<'_>, bytes_max: usize) -> String {
    let mut out = Shortened {
        text: String::new(),
        bytes_max,
    };
    if out.write_fmt(text).is_err() {
        // Too long, or a value that cannot be formatted: either way something is missing.
        while out.text.len() + ELLIPSIS.len_utf8() > bytes_max {
            out.text.pop();
        }
        out.text.push(ELLIPSIS);
    }
    out.text
}

/// Fails at the first character that does not fit, so that nothing endless is formatted.
struct Shortened {
    text: String,
    bytes_max: usize,
}

impl fmt::Write for Shortened {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            if character.is_control() {
                character.escape_default().try_for_each(|c| self.add(c))?;
            } else {
                self.add(character)?;
            }
        }
        Ok(())
    }
}

impl Shortened {
    fn add(&mut self, character: char) -> fmt::Result {
        if self.text.len() + character.len_utf8() > self.bytes_max {
            return Err(fmt::Error);
        }
        self.text.push(character);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_numbers_and_names() {
        for (at, level) in Level::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(level.number()), at + 1);
            assert_eq!(Level::from_number(level.number()), Some(level));
            assert_eq!(level.filter().to_string(), level.name());
        }
        assert_eq!(Level::from_number(0), None);
        assert_eq!(Level::from_number(6), None);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = |text: &str| shortened(format_args!("{text}"), 8);
        assert_eq!(cut("12345678"), "12345678");
        assert_eq!(cut("123456789"), "12345…");
        assert_eq!(cut("ääää"), "ääää");
        assert_eq!(cut("äääää"), "ää…");
        assert_eq!(cut(&"\u{1f980}".repeat(1_000)), "\u{1f980}…");
    }

    #[test]
    fn control_characters_are_escaped() {
        let shown = shortened(format_args!("a\nb\x1b[31m\u{9b}"), 128);
        assert_eq!(shown, "a\\nb\\u{1b}[31m\\u{9b}");
    }
}
