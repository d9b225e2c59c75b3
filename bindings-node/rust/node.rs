//! A node, as the TypeScript layer uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use distflow_core::{Error, ErrorKind, EventStream, Message, Node, Payload, Result};
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::failure;
use crate::options;
use crate::outbox::{CallId, Outbox};
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
    // Protects the node, which is there once the start has ended well; held to clone it.
    node: Mutex<Option<(Node, Arc<EventStream>)>>,
    /// JavaScript has taken what waited; another wake-up may come.
    taken: Notify,
    /// Messages are wanted; before that, they wait in the mailbox.
    receives: AtomicBool,
}

/// The native half of a `NodeRuntime`.
#[napi]
pub struct NativeNode {
    inner: Arc<Inner>,
}

fn not_started() -> Error {
    Error::not_started()
}

impl Inner {
    fn node(&self) -> Result<Node> {
        let node = self.node.lock();
        let (node, _) = node.as_ref().ok_or_else(not_started)?;
        Ok(node.clone())
    }

    /// Wakes JavaScript for messages and events, until the node has ended.
    async fn attend(self: Arc<Self>, node: Node, events: Arc<EventStream>) {
        loop {
            // Messages only once somebody wants them: the mailbox is the place to wait in.
            let messages = async {
                if self.receives.load(Ordering::Acquire) {
                    node.ready().await
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                open = messages => if !open { return },
                open = events.ready() => if !open { return },
                // Somebody began to want messages.
                () = self.taken.notified() => continue,
            }
            self.outbox.wake.wake();
            self.taken.notified().await;
        }
    }
}

#[napi]
impl NativeNode {
    /// Begins to start a node; the result comes to `call`. `wake` is called whenever something
    /// is to be taken.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String, call: CallId, wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let options = options::node(&options).map_err(|error| failure::thrown(&error))?;
        let inner = Arc::new(Inner {
            outbox: Arc::new(Outbox::new(Arc::new(Wake::new(&wake)?))),
            node: Mutex::default(),
            taken: Notify::new(),
            receives: AtomicBool::new(false),
        });
        let starting = inner.clone();
        inner.outbox.run(call, async move {
            let node = Node::start(options).await?;
            let events = Arc::new(node.events());
            let info = json!({"nodeId": node.id(), "alias": node.alias(), "port": node.port()});
            *starting.node.lock() = Some((node.clone(), events.clone()));
            distflow_core::spawn(starting.clone().attend(node, events))?;
            Ok(info)
        });
        Ok(Self { inner })
    }

    /// Begins to receive messages.
    #[napi(catch_unwind)]
    pub fn receive(&self) {
        self.inner.receives.store(true, Ordering::Release);
        self.inner.taken.notify_one();
    }

    /// Takes what waits: `{"m": messages, "e": events, "r": results, "more": …}`; absent members
    /// are empty.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        let inner = &self.inner;
        inner.outbox.wake.begin();
        let (mut text, mut more) = (String::from("{"), false);
        let current = inner.node.lock().clone();
        if let Some((node, events)) = current {
            if inner.receives.load(Ordering::Acquire) {
                more = take_messages(&node, &mut text);
            }
            let events: Vec<Value> = std::iter::from_fn(|| events.try_next())
                .filter_map(|event| text::node_event(&event))
                .collect();
            if !events.is_empty() {
                text.push_str(&format!("\"e\":{},", Value::from(events)));
            }
        }
        let results = inner.outbox.take();
        if !results.is_empty() {
            text.push_str(&format!("\"r\":{},", json!(results)));
        }
        if !more {
            // When there is more, JavaScript comes back by itself.
            inner.taken.notify_one();
        }
        text.push_str(&format!("\"more\":{more}}}"));
        text
    }

    /// Sends JSON text, or nothing at all: 0 when it is in the queue of an established
    /// connection, 1 when the result comes to `call`. Throws what is known at once.
    #[napi(catch_unwind)]
    pub fn send(&self, target: String, payload: Option<String>, call: CallId) -> napi::Result<u32> {
        self.begin_send(&target, payload, call)
            .map_err(|error| failure::thrown(&error))
    }

    /// Asks the PMD for everyone else; the result comes to `call`.
    #[napi(catch_unwind)]
    pub fn discover(&self, prefix: Option<String>, call: CallId) {
        let node = self.inner.node();
        self.inner.outbox.run(call, async move {
            let peers = node?.discover(prefix.as_deref()).await?;
            Ok(peers.iter().map(text::peer).collect())
        });
    }

    /// Everyone else who is known, as a JSON array.
    #[napi(catch_unwind)]
    pub fn peers(&self) -> String {
        let peers = self.inner.node().map(|node| node.peers());
        let peers = peers.unwrap_or_default();
        Value::from_iter(peers.iter().map(|peer| text::peer(peer))).to_string()
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
        self.inner.outbox.run(call, async move {
            // Kept until the end, so that its last events can still be taken.
            if let Ok(node) = inner.node() {
                node.shutdown().await?;
            }
            Ok(Value::Null)
        });
    }
}

impl NativeNode {
    fn begin_send(&self, target: &str, payload: Option<String>, call: CallId) -> Result<u32> {
        let inner = &self.inner;
        let payload = match payload {
            Some(text) => Payload::from_json(Bytes::from(text))?,
            None => Payload::absent(),
        };
        let sending = {
            let node = inner.node.lock();
            let (node, _) = node.as_ref().ok_or_else(not_started)?;
            node.begin_send(target, &payload)?
        };
        let Some(sending) = sending else { return Ok(0) };
        inner.outbox.run(call, async move {
            sending.finish().await?;
            Ok(Value::Null)
        });
        Ok(1)
    }
}

impl Drop for NativeNode {
    fn drop(&mut self) {
        // The environment ends, or nobody knows the node any more: without good-byes, because
        // nothing may wait here.
        let node = self.inner.node.lock().take();
        drop(node);
    }
}

/// Appends `"m":[…],`; tells whether more messages wait.
fn take_messages(node: &Node, text: &mut String) -> bool {
    let mut messages: Vec<Message> = Vec::new();
    let (mut count, mut more) = (0, false);
    let start = text.len();
    loop {
        messages.clear();
        let taken = node.try_recv_many(&mut messages, STEP);
        if taken == 0 {
            break;
        }
        text.push_str(if count == 0 { "\"m\":[" } else { "," });
        text::append_messages(text, &messages);
        count += taken;
        if count >= TAKE_MESSAGES || text.len() - start >= TAKE_BYTES {
            more = true;
            break;
        }
    }
    if count > 0 {
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
