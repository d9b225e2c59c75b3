//! An embedded PMD, as the TypeScript layer uses it.

use std::sync::Arc;

use distflow_core::{Error, ErrorKind, Pmd, Result};
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::failure;
use crate::options;
use crate::outbox::{CallId, Outbox};
use crate::text;
use crate::wake::Wake;

struct Inner {
    outbox: Arc<Outbox>,
    // Protects the PMD; held to clone it.
    pmd: Mutex<Option<Arc<Pmd>>>,
    // Protects events that were not taken yet; held to add or to take.
    events: Mutex<Vec<Value>>,
}

/// The native half of a `PMD`.
#[napi]
pub struct NativePmd {
    inner: Arc<Inner>,
}

impl Inner {
    fn pmd(&self) -> Result<Arc<Pmd>> {
        let closed = || Error::new(ErrorKind::Closed, "the PMD is not running");
        self.pmd.lock().clone().ok_or_else(closed)
    }

    /// Moves events to where JavaScript takes them, until the PMD has ended.
    async fn attend(self: Arc<Self>, pmd: Arc<Pmd>) {
        while let Some(notice) = pmd.events().recv().await {
            if let Some(event) = text::pmd_event(&notice) {
                self.events.lock().push(event);
                self.outbox.wake.wake();
            }
        }
    }
}

#[napi]
impl NativePmd {
    /// Starts a PMD. `wake` is called whenever something is to be taken.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String, wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let start = || {
            let pmd = Arc::new(Pmd::start(options::pmd(&options)?)?);
            Ok(pmd)
        };
        let pmd = start().map_err(|error: Error| failure::thrown(&error))?;
        let inner = Arc::new(Inner {
            outbox: Arc::new(Outbox::new(Arc::new(Wake::new(&wake)?))),
            pmd: Mutex::new(Some(pmd.clone())),
            events: Mutex::default(),
        });
        let attending = distflow_core::spawn(inner.clone().attend(pmd));
        attending.map_err(|error| failure::thrown(&error))?;
        Ok(Self { inner })
    }

    /// The port it listens on; 0 after the end.
    #[napi(catch_unwind)]
    pub fn port(&self) -> u16 {
        self.inner.pmd().map_or(0, |pmd| pmd.port())
    }

    /// Whether it serves.
    #[napi(catch_unwind)]
    pub fn is_running(&self) -> bool {
        self.inner.pmd().is_ok_and(|pmd| pmd.is_running())
    }

    /// The registered nodes; they come to `call`.
    #[napi(catch_unwind)]
    pub fn nodes(&self, call: CallId) {
        let pmd = self.inner.pmd();
        self.inner.outbox.run_blocking(call, move || {
            let nodes = pmd?.nodes()?;
            Ok(nodes.iter().map(|node| text::registered(node)).collect())
        });
    }

    /// Ends the PMD; the end comes to `call`.
    #[napi(catch_unwind)]
    pub fn stop(&self, call: CallId) {
        let pmd = self.inner.pmd();
        self.inner.outbox.run_blocking(call, move || {
            if let Ok(pmd) = pmd {
                pmd.stop();
            }
            Ok(Value::Null)
        });
    }

    /// Takes what waits: `{"e": events, "r": results}`.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        self.inner.outbox.wake.begin();
        let events = std::mem::take(&mut *self.inner.events.lock());
        json!({"e": events, "r": self.inner.outbox.take()}).to_string()
    }
}

impl Drop for NativePmd {
    fn drop(&mut self) {
        let pmd = self.inner.pmd.lock().take();
        // Stopping waits for the PMD's thread, which this one must not.
        let _ = std::thread::Builder::new()
            .name("distflow-close".into())
            .spawn(move || drop(pmd));
    }
}
