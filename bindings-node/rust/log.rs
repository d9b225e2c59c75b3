//! The library's own log, for the `logger` option.

use std::sync::Arc;

use distflow_core::log::{self, Capture, Level};
use distflow_core::{Error, ErrorKind};
use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use serde_json::json;

use crate::environment::{self, Ends};
use crate::failure;
use crate::wake::Wake;

/// Records handed over at once.
const TAKE_RECORDS: usize = 1_024;

/// Collects records until JavaScript takes them.
#[napi]
pub struct NativeLog {
    capture: Arc<Capture>,
    wake: Wake,
}

impl Ends for Capture {
    fn end(&self) {
        self.close();
    }
}

#[napi]
impl NativeLog {
    /// Begins to collect records of a level, 1 (error) to 5 (trace), or more severe ones.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: &Env, level: u8, wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let thrown = |error: Error| failure::thrown(&error);
        let level = Level::from_number(level).ok_or_else(|| {
            thrown(Error::new(
                ErrorKind::InvalidArgument,
                format!("there is no log level {level}"),
            ))
        })?;
        let capture = Arc::new(log::capture(level).map_err(thrown)?);
        environment::enter(env, &capture)?;
        let wake = Wake::new(env, &wake)?;
        if wake.arm(capture.ready()) {
            wake.wake();
        }
        Ok(Self { capture, wake })
    }

    /// Takes what waits: `[level, timestamp, target, message, fields]` each.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        self.wake.begin();
        let records: Vec<_> = std::iter::from_fn(|| self.capture.try_recv())
            .take(TAKE_RECORDS)
            .map(|record| {
                let fields: serde_json::Value =
                    serde_json::from_str(&record.fields).unwrap_or_default();
                json!([
                    record.level.number(),
                    record.timestamp_ms,
                    record.target,
                    record.message,
                    fields
                ])
            })
            .collect();
        // A full batch is followed by another; see the TypeScript side.
        if records.is_empty() && self.wake.arm(self.capture.ready()) {
            self.wake.wake();
        }
        json!(records).to_string()
    }

    /// Ends the collection.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.capture.close();
    }
}

impl Drop for NativeLog {
    fn drop(&mut self) {
        self.capture.close();
    }
}
