//! Game sessions, as the TypeScript layer uses them.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use distflow_core::sessions::{self, Session, SessionList, Sessions};
use distflow_core::{Error, ErrorKind, Result, interchange};
use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::environment::{self, Ends};
use crate::failure;
use crate::outbox::{CallId, NOTHING, Outbox};
use crate::tasks::Tasks;
use crate::wake::Wake;

/// How long one wait for something new lasts; then it is begun again.
const WAIT: Duration = Duration::from_secs(3_600);

enum State<T> {
    Starting,
    Running(Arc<T>),
    Closed,
}

struct Inner<T> {
    outbox: Arc<Outbox>,
    tasks: Arc<Tasks>,
    // Protects what is held; held to clone or to replace it.
    state: Mutex<State<T>>,
    /// JavaScript has taken what was there.
    taken: Notify,
    /// Says that it was closed.
    closed: watch::Sender<bool>,
}

impl<T: Send + Sync + 'static> Inner<T> {
    fn new(env: &Env, wake: &Function<'_, (), ()>) -> napi::Result<Arc<Self>> {
        let outbox = Arc::new(Outbox::new(Arc::new(Wake::new(env, wake)?)));
        let inner = Arc::new(Self {
            tasks: Tasks::new(outbox.clone())?,
            outbox,
            state: Mutex::new(State::Starting),
            taken: Notify::new(),
            closed: watch::Sender::new(false),
        });
        environment::enter(env, &inner)?;
        Ok(inner)
    }
}

impl<T: Send + Sync> Ends for Inner<T> {
    fn end(&self) {
        self.close();
    }
}

impl<T> Inner<T> {
    fn get(&self) -> Result<Arc<T>> {
        match &*self.state.lock() {
            State::Running(value) => Ok(value.clone()),
            _ => Err(Error::new(ErrorKind::Closed, "it was closed")),
        }
    }

    /// Keeps what was made, unless it was closed meanwhile.
    fn put(&self, value: Arc<T>) -> Result<()> {
        let mut state = self.state.lock();
        if matches!(*state, State::Closed) {
            return Err(Error::new(ErrorKind::Closed, "it was closed"));
        }
        *state = State::Running(value);
        Ok(())
    }

    fn close(&self) {
        let former = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if !self.tasks.is_over() {
            self.closed.send_replace(true);
        }
        drop(former);
    }

    /// Waits for the close.
    async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // An error says that the sender is gone, which means the same.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn take(&self, mut text: String) -> String {
        if let Some(results) = self.outbox.take() {
            text.push_str(&format!("\"r\":{results},"));
        }
        text.push_str("\"more\":false}");
        if !self.tasks.is_over() {
            self.taken.notify_one();
        }
        text
    }
}

fn sessions_of(broker: &str) -> napi::Result<Sessions> {
    let made = interchange::broker_options(broker).and_then(Sessions::new);
    made.map_err(|error| failure::thrown(&error))
}

/// Throws what is wrong with a broker's options.
#[napi(catch_unwind)]
pub fn check_broker(broker: String) -> napi::Result<()> {
    sessions_of(&broker).map(drop)
}

/// The native half of a `Session`.
#[napi]
pub struct NativeSession {
    inner: Arc<Inner<Session>>,
}

impl NativeSession {
    fn ask<F>(&self, call: CallId, ask: impl FnOnce(Arc<Session>) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        match self.inner.get() {
            Err(error) => self.inner.outbox.finish(call, Err(error)),
            Ok(session) => {
                let mut asking = Box::pin(ask(session));
                // Begun here: so calls come in order, and one that is refused takes no room.
                match asking
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                {
                    Poll::Ready(done) => {
                        let done = done.map(|()| NOTHING.into());
                        self.inner.outbox.finish(call, done);
                    }
                    Poll::Pending => self.inner.tasks.run(call, async move {
                        asking.await?;
                        Ok(NOTHING.into())
                    }),
                }
            }
        }
    }
}

#[napi]
impl NativeSession {
    /// Begins to create, join or observe a session; its id and that of the instance come to `call`.
    /// `wake` is called whenever something is to be taken.
    #[napi(constructor, catch_unwind)]
    #[allow(
        clippy::too_many_arguments,
        reason = "one for each argument in JavaScript"
    )]
    pub fn new(
        env: &Env,
        how: String,
        broker: String,
        id: Option<String>,
        instance: Option<String>,
        options: String,
        call: CallId,
        wake: Function<'_, (), ()>,
    ) -> napi::Result<Self> {
        let sessions = sessions_of(&broker)?;
        let options =
            interchange::create_options(&options).map_err(|error| failure::thrown(&error))?;
        let inner = Inner::new(env, &wake)?;
        let starting = inner.clone();
        inner.tasks.run(call, async move {
            let instance = instance.unwrap_or_else(sessions::instance_id);
            let id = id.as_deref();
            let session = match how.as_str() {
                "create" => sessions.create_as(id, &instance, options).await?,
                "join" => sessions.join_as(id.unwrap_or_default(), &instance).await?,
                _ => sessions.observe(id.unwrap_or_default()).await?,
            };
            let session = Arc::new(session);
            let who = serde_json::json!([session.id(), session.instance()]);
            starting.put(session.clone())?;
            distflow_core::spawn(tell(starting, session))?;
            Ok(who.to_string())
        });
        Ok(Self { inner })
    }

    /// What is known of it.
    #[napi(catch_unwind)]
    pub fn view(&self) -> napi::Result<String> {
        let session = self.inner.get().map_err(|error| failure::thrown(&error))?;
        Ok(interchange::session_view(&session.view()).to_string())
    }

    /// Takes what waits: `{"e": events, "r": results, "more": …}`; absent members are empty.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        self.inner.outbox.wake.begin();
        let mut text = String::from("{");
        if let Ok(session) = self.inner.get() {
            let events = session.take_events();
            if !events.is_empty() {
                let events = events
                    .iter()
                    .map(|event| interchange::session_event(event).to_string());
                text.push_str(&format!("\"e\":{},", interchange::array(events)));
            }
        }
        self.inner.take(text)
    }

    #[napi(catch_unwind)]
    pub fn start(&self, countdown_s: u32, call: CallId) {
        self.ask(
            call,
            |session| async move { session.start(countdown_s).await },
        );
    }

    #[napi(catch_unwind)]
    pub fn close(&self, call: CallId) {
        self.ask(call, |session| async move { session.close().await });
    }

    #[napi(catch_unwind)]
    pub fn hand_over(&self, to: Option<String>, call: CallId) {
        self.ask(call, |session| async move {
            session.hand_over(to.as_deref()).await
        });
    }

    #[napi(catch_unwind)]
    pub fn reserve(&self, player: String, call: CallId) {
        self.ask(
            call,
            |session| async move { session.reserve(&player).await },
        );
    }

    #[napi(catch_unwind)]
    pub fn release(&self, player: String, call: CallId) {
        self.ask(
            call,
            |session| async move { session.release(&player).await },
        );
    }

    #[napi(catch_unwind)]
    pub fn register(&self, player: String, call: CallId) {
        self.ask(
            call,
            |session| async move { session.register(&player).await },
        );
    }

    #[napi(catch_unwind)]
    pub fn publish(&self, name: String, payload: &[u8], call: CallId) {
        let payload = payload.to_vec();
        self.ask(call, |session| async move {
            session.publish(&name, payload).await
        });
    }

    #[napi(catch_unwind)]
    pub fn leave(&self, call: CallId) {
        self.ask(call, |session| async move {
            session.leave().await;
            Ok(())
        });
    }

    /// Leaves it in the background.
    #[napi(catch_unwind)]
    pub fn abandon(&self) {
        self.inner.close();
    }
}

/// Wakes JavaScript for events, until there will be none, or nobody wants them any more: this must
/// not keep a session that nobody has.
async fn tell(inner: Arc<Inner<Session>>, session: Arc<Session>) {
    loop {
        let is_over = tokio::select! {
            is_over = session.await_events(WAIT) => is_over,
            () = inner.closed() => return,
        };
        inner.outbox.wake.wake();
        if is_over {
            return;
        }
        tokio::select! {
            () = inner.taken.notified() => {}
            () = inner.closed() => return,
        }
    }
}

impl Drop for NativeSession {
    fn drop(&mut self) {
        self.inner.close();
    }
}

/// The native half of a `SessionList`.
#[napi]
pub struct NativeSessionList {
    inner: Arc<Inner<SessionList>>,
}

#[napi]
impl NativeSessionList {
    /// Begins to connect; the end of that comes to `call`.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: &Env,
        broker: String,
        call: CallId,
        wake: Function<'_, (), ()>,
    ) -> napi::Result<Self> {
        let sessions = sessions_of(&broker)?;
        let inner = Inner::new(env, &wake)?;
        let starting = inner.clone();
        inner.tasks.run(call, async move {
            let list = Arc::new(sessions.list().await?);
            starting.put(list.clone())?;
            distflow_core::spawn(async move {
                let mut version = 0;
                loop {
                    tokio::select! {
                        changed = list.await_changed(version, WAIT) => if changed {
                            version = list.sessions().0;
                            starting.outbox.wake.wake();
                        },
                        () = starting.closed() => return,
                    }
                }
            })?;
            Ok(NOTHING.into())
        });
        Ok(Self { inner })
    }

    /// The sessions and their rows, as seen by whoever is in one: `[sessions, rows]`.
    #[napi(catch_unwind)]
    pub fn sessions(&self, own: Option<String>) -> napi::Result<String> {
        let list = self.inner.get().map_err(|error| failure::thrown(&error))?;
        let (_, sessions) = list.sessions();
        Ok(format!(
            "[{},{}]",
            interchange::session_listings(&sessions),
            interchange::session_rows(&sessions, own.as_deref())
        ))
    }

    /// Takes what waits: `{"r": results, "more": …}`.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        self.inner.outbox.wake.begin();
        self.inner.take(String::from("{"))
    }

    #[napi(catch_unwind)]
    pub fn is_connected(&self) -> bool {
        self.inner.get().is_ok_and(|list| list.is_connected())
    }

    /// Completeness of the list: how much of what is on the broker it has.
    #[napi(catch_unwind)]
    pub fn completeness(&self) -> napi::Result<String> {
        let list = self.inner.get().map_err(|error| failure::thrown(&error))?;
        Ok(list.completeness().name().to_owned())
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Drop for NativeSessionList {
    fn drop(&mut self) {
        self.inner.close();
    }
}
