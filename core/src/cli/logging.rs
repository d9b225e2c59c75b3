//! Log of the command line: lines of text or JSON on standard error.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;

use super::output::{err_line, err_text, shown};
use crate::time::{Clock, iso8601};

/// Whether there is a log, and it is of JSON objects.
static IS_JSON: AtomicBool = AtomicBool::new(false);

pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// The level is that of `--log`, then `RUST_LOG`, then `LOG_LEVEL`; nothing is logged without any.
pub(super) fn start(level: Option<&str>, format: &str) -> Result<(), String> {
    let is_json = format == "json";
    IS_JSON.store(false, Ordering::Relaxed);
    if let Some(level) = level {
        return log_to_stderr(level, is_json);
    }
    let variable = |name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name, value.to_lowercase()))
    };
    if let Some((name, value)) = variable("RUST_LOG").or_else(|| variable("LOG_LEVEL"))
        && let Err(problem) = log_to_stderr(&value, is_json)
    {
        // Meant for another program, perhaps: other libraries have other levels.
        err_line(&format!("{name} is ignored: {problem}"));
    }
    Ok(())
}

fn log_to_stderr(filter: &str, is_json: bool) -> Result<(), String> {
    // The originals' name for "nothing".
    let filter = if filter == "silent" { "off" } else { filter };
    let is_level = filter.parse::<LevelFilter>().is_ok();
    match filter.parse::<Targets>() {
        // A word that is no level would silently be taken for the name of a target.
        Ok(targets) if is_level || filter.contains('=') => {
            // A host program may have a subscriber of its own, which then stays.
            let registry = tracing_subscriber::registry();
            let _ = if is_json {
                let layer = JsonLines {
                    clock: Clock::new(),
                };
                registry.with(layer.with_filter(targets)).try_init()
            } else {
                let is_terminal = std::io::stderr().is_terminal();
                let layer =
                    tracing_subscriber::fmt::layer().with_writer(move || Shown { is_terminal });
                let layer = match is_terminal {
                    // Coloured if the library can do that, and nobody minds.
                    true => layer,
                    false => layer.with_ansi(false),
                };
                registry.with(layer.with_filter(targets)).try_init()
            };
            IS_JSON.store(is_json, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(format!(
            "log level '{filter}' is not understood; use error, warn, info, debug, trace or off, \
             or pairs of target=level"
        )),
    }
}

/// Standard error, where what others have written rewrites nothing. The library that makes the
/// lines escapes the sequences of terminals, and puts in its own.
struct Shown {
    is_terminal: bool,
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let is_kept = |c| c == '\n' || (c == '\x1b' && self.is_terminal);
        let mut line = String::with_capacity(text.len());
        for part in text.split_inclusive(is_kept) {
            let end = part.len() - usize::from(part.ends_with(is_kept));
            line.push_str(&shown(&part[..end]));
            line.push_str(&part[end..]);
        }
        err_text(&line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One object a line: time, level, target, message, and the fields by their names.
struct JsonLines {
    clock: Clock,
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for JsonLines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Members(serde_json::Map::new());
        line.set("time", iso8601(self.clock.now().wall_ms));
        line.set("level", event.metadata().level().to_string().to_lowercase());
        line.set("target", event.metadata().target());
        event.record(&mut line);
        err_line(&serde_json::Value::Object(line.0).to_string());
    }
}

struct Members(serde_json::Map<String, serde_json::Value>);

impl Members {
    fn set(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }
}
