//! An embedded PMD, as the TypeScript layer uses it.

use std::sync::Arc;

use distflow_core::{Error, ErrorKind, Pmd, Result, interchange};
use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::environment::{self, Ends};
use crate::failure;
use crate::outbox::{CallId, NOTHING, Outbox};
use crate::wake::Wake;

/// Events handed over at once.
const TAKE_EVENTS: usize = 4_096;

enum State {
    Starting,
    Running(Arc<Pmd>),
    Closed,
}

struct Inner {
    outbox: Arc<Outbox>,
    // Protects the PMD; held to clone or to replace it.
    state: Mutex<State>,
}

/// The native half of a `PMD`.
#[napi]
pub struct NativePmd {
    inner: Arc<Inner>,
}

impl Inner {
    fn pmd(&self) -> Result<Arc<Pmd>> {
        match &*self.state.lock() {
            State::Running(pmd) => Ok(pmd.clone()),
            _ => Err(Error::new(ErrorKind::Closed, "the PMD is not running")),
        }
    }
}

#[napi]
impl NativePmd {
    /// Begins to start a PMD; its port comes to `call`. `wake` is called whenever something is to
    /// be taken.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: &Env,
        options: String,
        call: CallId,
        wake: Function<'_, (), ()>,
    ) -> napi::Result<Self> {
        let options =
            interchange::pmd_options(&options).map_err(|error| failure::thrown(&error))?;
        let inner = Arc::new(Inner {
            outbox: Arc::new(Outbox::new(Arc::new(Wake::new(env, &wake)?))),
            state: Mutex::new(State::Starting),
        });
        environment::enter(env, &inner)?;
        let starting = inner.clone();
        // Looking up the host's name may block.
        inner.outbox.run_blocking(call, move || {
            let pmd = Arc::new(Pmd::start(options)?);
            let port = pmd.port();
            let mut state = starting.state.lock();
            if matches!(*state, State::Closed) {
                drop(state);
                pmd.stop();
                return Err(Error::new(ErrorKind::Closed, "the PMD was closed"));
            }
            // With the result of the start, JavaScript takes what waits and asks for more.
            *state = State::Running(pmd);
            Ok(port.to_string())
        });
        Ok(Self { inner })
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
            Ok(interchange::array(
                nodes.iter().map(|node| interchange::registered(node)),
            ))
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
            Ok(NOTHING.into())
        });
    }

    /// Takes what waits: `{"e": events, "r": results, "more": …}`; absent members are empty.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        let wake = &self.inner.outbox.wake;
        wake.begin();
        let (mut text, mut more) = (String::from("{"), false);
        // Results first: what is told before the end of a stop is taken with it.
        let results = self.inner.outbox.take();
        if let Ok(pmd) = self.inner.pmd() {
            let notices: Vec<_> = std::iter::from_fn(|| pmd.events().try_recv())
                .take(TAKE_EVENTS)
                .collect();
            more = notices.len() == TAKE_EVENTS || wake.arm(pmd.events().ready());
            if !notices.is_empty() {
                let events = interchange::array(notices.iter().map(interchange::pmd_event));
                text.push_str(&format!("\"e\":{events},"));
            }
        }
        if let Some(results) = results {
            text.push_str(&format!("\"r\":{results},"));
        }
        text.push_str(&format!("\"more\":{more}}}"));
        text
    }
}

impl Ends for Inner {
    fn end(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Running(pmd) = state {
            // Stopping waits for the PMD's thread, which this one must not.
            let _ = distflow_core::threads::spawn("distflow-close", move || pmd.stop());
        }
    }
}

impl Drop for NativePmd {
    fn drop(&mut self) {
        // Nobody knows the PMD any more.
        self.inner.end();
    }
}
