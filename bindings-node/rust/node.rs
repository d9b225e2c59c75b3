//! A node, as the TypeScript layer uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use distflow_core::{Error, ErrorKind, EventStream, Node, Result, Sending, interchange};
use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use crate::environment::{self, Ends};
use crate::failure;
use crate::outbox::{CallId, NOTHING, Outbox};
use crate::send;
use crate::tasks::Tasks;
use crate::text;
use crate::wake::Wake;

/// Messages handed over at once; with more, JavaScript's loop gets a turn in between.
const TAKE_MESSAGES: usize = 1_024;
/// Text handed over at once, except that one message may be larger.
const TAKE_BYTES: usize = 4 << 20;
/// Messages taken between two looks at how much text there is.
const STEP: usize = 64;

struct Inner {
    outbox: Arc<Outbox>,
    tasks: Arc<Tasks>,
    // Protects the node, which is there once the start has ended well; held to clone it.
    node: Mutex<Option<(Node, Arc<EventStream>)>>,
    /// Messages are wanted; before that, they wait in the mailbox.
    receives: AtomicBool,
    /// The node has ended in good order.
    ended: AtomicBool,
    exclusive: bool,
    /// Says that nobody wants the node any more.
    released: watch::Sender<bool>,
}

/// The native half of a `NodeRuntime`.
#[napi]
pub struct NativeNode {
    inner: Arc<Inner>,
}

impl Inner {
    fn node(&self) -> Result<Node> {
        let node = self.node.lock();
        let (node, _) = node.as_ref().ok_or_else(|| {
            if self.ended.load(Ordering::Acquire) {
                Error::ended()
            } else {
                Error::not_started()
            }
        })?;
        Ok(node.clone())
    }

    fn flush(&self) {
        if let Ok(node) = self.node() {
            node.flush();
        }
    }
}

impl Ends for Inner {
    fn end(&self) {
        if !self.tasks.is_over() {
            self.released.send_replace(true);
        }
        self.flush();
        let node = self.node.lock().take();
        let held = node.is_some() && self.exclusive && !self.ended.load(Ordering::Acquire);
        if held {
            // The node removes its lock file on its own threads, which a process that exits
            // does not wait for.
            let name = format!("distflow-node-{}.lock", std::process::id());
            let _ = std::fs::remove_file(std::env::temp_dir().join(name));
        }
    }
}

/// Tells when a node is not wanted any more.
#[derive(Clone)]
struct Released(watch::Receiver<bool>);

impl Released {
    async fn wait(mut self) {
        // An error says that the sender is gone, which means the same.
        let _ = self.0.wait_for(|released| *released).await;
    }

    fn is_true(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

fn given_up() -> Error {
    Error::new(ErrorKind::Closed, "the start was given up")
}

#[napi]
impl NativeNode {
    /// Begins to start a node; the result comes to `call`. `wake` is called whenever something
    /// is to be taken.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: &Env,
        options: String,
        call: CallId,
        wake: Function<'_, (), ()>,
    ) -> napi::Result<Self> {
        let options =
            interchange::node_options(&options).map_err(|error| failure::thrown(&error))?;
        let exclusive = options.exclusive;
        let (released, receiver) = watch::channel(false);
        let outbox = Arc::new(Outbox::new(Arc::new(Wake::new(env, &wake)?)));
        let inner = Arc::new(Inner {
            tasks: Tasks::new(outbox.clone())?,
            outbox,
            node: Mutex::default(),
            receives: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            exclusive,
            released,
        });
        environment::enter(env, &inner)?;
        let released = Released(receiver);
        let starting = inner.clone();
        inner.tasks.run(call, async move {
            let node = tokio::select! {
                node = Node::start(options) => node?,
                () = released.clone().wait() => return Err(given_up()),
            };
            let events = Arc::new(node.events());
            let info = json!({"nodeId": node.id(), "alias": node.alias(), "port": node.port()});
            // With the result of the start, JavaScript takes what waits and asks for more.
            *starting.node.lock() = Some((node, events));
            if released.is_true() {
                // The release found no node yet.
                drop(starting.node.lock().take());
                return Err(given_up());
            }
            Ok(info.to_string())
        });
        Ok(Self { inner })
    }

    /// Begins or ceases to receive messages; until then they wait in the mailbox. `attended`:
    /// somebody will want them, even if not right now.
    #[napi(catch_unwind)]
    pub fn receive(&self, wanted: bool, attended: bool) {
        self.inner.receives.store(wanted, Ordering::Release);
        let Ok(node) = self.inner.node() else { return };
        node.set_attended(attended);
        if wanted && self.inner.outbox.wake.arm(node.ready()) {
            self.inner.outbox.wake.wake();
        }
    }

    /// Takes what waits, of messages at most `room`: `{"m": messages, "e": events, "r": results,
    /// "more": …}`; absent members are empty.
    #[napi(catch_unwind)]
    pub fn take(&self, room: u32) -> String {
        let inner = &self.inner;
        inner.outbox.wake.begin();
        let (mut text, mut more) = (String::from("{"), false);
        // Results first: the events before the end of a shutdown are taken with it.
        let results = inner.outbox.take();
        let current = inner.node.lock().clone();
        if let Some((node, stream)) = current {
            let wake = &inner.outbox.wake;
            // Messages only once somebody wants them: the mailbox is the place to wait in.
            if room > 0 && inner.receives.load(Ordering::Acquire) {
                // When there is more, JavaScript comes back by itself.
                let room = TAKE_MESSAGES.min(room as usize);
                more = take_messages(&node, room, &mut text) || wake.arm(node.ready());
            }
            let events = std::iter::from_fn(|| stream.try_next());
            let events: Vec<_> = events
                .map(|event| interchange::node_event(&event))
                .collect();
            if !events.is_empty() {
                text.push_str(&format!("\"e\":{},", interchange::array(events)));
            }
            more |= wake.arm(stream.ready());
        }
        if let Some(results) = results {
            text.push_str(&format!("\"r\":{results},"));
        }
        text.push_str(&format!("\"more\":{more}}}"));
        text
    }

    /// Makes the function that sends; see [`send::function`].
    #[napi(catch_unwind)]
    pub fn sender<'env>(&self, env: &'env Env) -> napi::Result<Function<'env, (), u32>> {
        let (inner, tasks) = (self.inner.clone(), self.inner.tasks.clone());
        let wait = move |call, sending: Sending| {
            tasks.run(call, async move {
                sending.finish().await?;
                Ok(NOTHING.into())
            });
        };
        send::function(env, move || inner.node(), wait)
    }

    /// Writes what was held back.
    #[napi(catch_unwind)]
    pub fn flush(&self) {
        self.inner.flush();
    }

    /// Asks the PMD for everyone else; the result comes to `call`.
    #[napi(catch_unwind)]
    pub fn discover(&self, prefix: Option<String>, call: CallId) {
        let node = self.inner.node();
        self.inner.tasks.run(call, async move {
            let peers = node?.discover(prefix.as_deref()).await?;
            Ok(interchange::array(peers.iter().map(interchange::peer)))
        });
    }

    /// Everyone else who is known, as a JSON array.
    #[napi(catch_unwind)]
    pub fn peers(&self) -> String {
        let peers = self.inner.node().map(|node| node.peers());
        let peers = peers.unwrap_or_default();
        interchange::array(peers.iter().map(|peer| interchange::peer(peer)))
    }

    /// The counters, as a JSON object.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> String {
        let stats = self.inner.node().map(|node| node.stats());
        json!(stats.unwrap_or_default()).to_string()
    }

    /// Whether it is registered with a PMD right now.
    #[napi(catch_unwind)]
    pub fn is_registered(&self) -> bool {
        self.inner.node().is_ok_and(|node| node.is_registered())
    }

    /// Ends the node; the end comes to `call`.
    #[napi(catch_unwind)]
    pub fn shutdown(&self, call: CallId) {
        let inner = self.inner.clone();
        self.inner.tasks.run(call, async move {
            // Kept until the end, so that its last events can still be taken.
            if let Ok(node) = inner.node() {
                node.shutdown().await?;
                inner.ended.store(true, Ordering::Release);
            }
            Ok(NOTHING.into())
        });
    }

    /// Gives the node up, also one that is starting: it ends without good-byes. Does not wait.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.inner.end();
    }
}

impl Drop for NativeNode {
    fn drop(&mut self) {
        // Nobody knows the node any more.
        self.inner.end();
    }
}

/// Appends `"m":[…],` of at most `room` messages; tells whether more may wait.
fn take_messages(node: &Node, room: usize, text: &mut String) -> bool {
    let mut messages = Vec::with_capacity(STEP);
    let mut groups = text::Groups::default();
    let (mut count, mut more) = (0, false);
    let start = text.len();
    loop {
        messages.clear();
        let taken = node.try_recv_many(&mut messages, STEP.min(room - count));
        if taken == 0 {
            break;
        }
        if count == 0 {
            text.push_str("\"m\":[");
        }
        for message in &messages {
            groups.append(text, message);
        }
        count += taken;
        if count >= room || text.len() - start >= TAKE_BYTES {
            more = true;
            break;
        }
    }
    if count > 0 {
        groups.end(text);
        text.push_str("],");
    }
    more
}

/// The kinds of errors, as a JSON array of their codes.
#[napi(catch_unwind)]
pub fn error_codes() -> String {
    let names: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    json!(names).to_string()
}
