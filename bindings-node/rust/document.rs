//! A shared document, as the TypeScript layer uses it.
//!
//! Its calls are short and made on the JavaScript thread; what waits for a disk runs on a thread of
//! the runtime, and its result comes to a call.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use distflow_core::crdt::document::{Document, Received, diff_snapshots};
use distflow_core::crdt::json::Json;
use distflow_core::crdt::op::Op;
use distflow_core::crdt::watch::Pattern;
use distflow_core::interchange::{self, Place};
use distflow_core::json_crdt::IntoPath;
use distflow_core::{Error, ErrorKind, JsonCrdt};
use napi::Env;
use napi::bindgen_prelude::{
    Float64Array, Function, FunctionCallContext, ObjectFinalize, Uint8Array,
};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::environment::{self, Ends};
use crate::failure;
use crate::outbox::{CallId, NOTHING, Outbox};
use crate::text::{Given, Reply};
use crate::wake::Wake;

fn thrown(error: Error) -> napi::Error {
    failure::thrown(&error)
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the document is closed")
}

/// Text is read into memory that all documents of a thread share, unless it is longer than this.
const TEXT_KEPT_BYTES: usize = 64 << 10;
/// V8 is told of so much memory at once, or more.
const TOLD_BYTES_MIN: usize = 64 << 10;

thread_local! {
    static TEXT: RefCell<Vec<u8>> = RefCell::default();
}

/// Lends the memory that text is read into. `work` must not call JavaScript.
fn with_text<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    TEXT.with_borrow_mut(|text| {
        let done = work(text);
        if text.len() > TEXT_KEPT_BYTES {
            *text = Vec::new();
        }
        done
    })
}

/// State that the calls of a document share.
#[derive(Default)]
struct Inner {
    // Protects the document, which is there until it is closed; held to clone it.
    document: Mutex<Option<Arc<JsonCrdt>>>,
    /// Bytes that V8 was told of.
    told: AtomicUsize,
    /// Bytes that came in since then.
    since: AtomicUsize,
}

impl Inner {
    fn get(&self) -> napi::Result<Arc<JsonCrdt>> {
        self.document.lock().clone().ok_or_else(|| thrown(closed()))
    }

    /// Tells V8, which sees a small object only, how much memory stands behind it, so that it looks
    /// for documents that nobody has any more before they fill the machine. Called when bytes came
    /// in; looks at the document each time that its size may have doubled.
    fn grew(&self, env: &Env, document: &JsonCrdt, bytes: usize) {
        let since = self.since.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if since < TOLD_BYTES_MIN.max(self.told.load(Ordering::Relaxed)) {
            return;
        }
        self.since.store(0, Ordering::Relaxed);
        let size = document.with(|document, _| {
            let mut out = Vec::new();
            document.write_json(&mut out);
            out.len()
        });
        // What came in may be in the log, too.
        self.tell(env, size + since);
    }

    fn tell(&self, env: &Env, bytes: usize) {
        let before = self.told.swap(bytes, Ordering::Relaxed);
        // Not being told harms nobody.
        let _ = env.adjust_external_memory(bytes as i64 - before as i64);
    }
}

impl Ends for Inner {
    fn end(&self) {
        let document = self.document.lock().take();
        drop(document);
    }
}

fn set_or_delete(
    document: &JsonCrdt,
    path: impl IntoPath,
    value: Option<Json>,
) -> napi::Result<Op> {
    let op = match value {
        Some(value) => document.set(path, value),
        None => document.delete(path),
    };
    op.map_err(thrown)
}

/// The native half of a `JSONCrdt`.
#[napi(custom_finalize)]
pub struct NativeDocument {
    inner: Arc<Inner>,
    /// There once a call has had to wait; few documents ever do.
    outbox: OnceLock<Arc<Outbox>>,
}

impl ObjectFinalize for NativeDocument {
    fn finalize(self, env: Env) -> napi::Result<()> {
        self.inner.end();
        self.inner.tell(&env, 0);
        Ok(())
    }
}

#[napi]
impl NativeDocument {
    /// Opens a document.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: &Env, replica: String, initial: String, options: String) -> napi::Result<Self> {
        let document = interchange::document(&replica, &initial, &options).map_err(thrown)?;
        let inner = Arc::new(Inner::default());
        environment::enter(env, &inner)?;
        // One that is kept in a directory may be large already.
        inner.grew(env, &document, TOLD_BYTES_MIN);
        *inner.document.lock() = Some(Arc::new(document));
        Ok(Self {
            inner,
            outbox: OnceLock::new(),
        })
    }

    fn document(&self) -> napi::Result<Arc<JsonCrdt>> {
        self.inner.get()
    }

    /// Makes the function that writes: `(value, path)` with a path as JSON, or as keys,
    /// `(value, ...keys)`, which is quicker. The value is JSON or a whole number; without one it deletes.
    /// The function returns the operation's text, and puts its time, counter, and number into `numbers`.
    ///
    /// A plain function, because a method of a class would cost more than all it does; so is the next.
    #[napi(catch_unwind)]
    pub fn writer<'env>(
        &self,
        env: &'env Env,
        is_of_keys: bool,
        mut numbers: Float64Array,
    ) -> napi::Result<Function<'env, (), Reply>> {
        let inner = self.inner.clone();
        let write = move |context: &FunctionCallContext, text: &mut Vec<u8>| {
            let document = inner.get()?;
            let value = match context.get::<Option<Given>>(0)? {
                None => None,
                Some(given) => Some(match given.integer() {
                    Some(number) => Json::from(number),
                    None => Json::parse(given.read(text)?).map_err(thrown)?,
                }),
            };
            let op = if is_of_keys {
                let mut path = Vec::with_capacity(context.length());
                for at in 1..context.length() {
                    path.push(context.get::<Given>(at)?.read(text)?.into());
                }
                set_or_delete(&document, path, value)
            } else {
                let path = Place(context.get::<Given>(1)?.read(text)?);
                set_or_delete(&document, path, value)
            }?;
            // SAFETY: this runs on the JavaScript thread, which owns the array.
            let numbers = unsafe { numbers.as_mut() };
            for (to, number) in numbers.iter_mut().zip([op.time.t, op.time.c, op.seq()]) {
                *to = number as f64;
            }
            let mut out = Vec::with_capacity(256);
            op.encode_into(&mut out);
            inner.grew(context.env, &document, out.len());
            Ok(Reply(out))
        };
        // A panic in it becomes an exception.
        let write = RefCell::new(write);
        env.create_function_from_closure("write", move |context| {
            with_text(|text| (write.borrow_mut())(&context, text))
        })
    }

    /// Makes the function that takes in an operation's text: 0 it is known, 1 taken in, 2 it waits.
    #[napi(catch_unwind)]
    pub fn receiver<'env>(&self, env: &'env Env) -> napi::Result<Function<'env, (), u32>> {
        let inner = self.inner.clone();
        env.create_function_from_closure("receive", move |context| {
            let document = inner.get()?;
            let (op, bytes) = with_text(|text| {
                let text = context.get::<Given>(0)?.read(text)?;
                napi::Result::Ok((Op::decode(text).map_err(thrown)?, text.len()))
            })?;
            let received = document.receive(op).map_err(thrown)?;
            inner.grew(context.env, &document, bytes);
            Ok(match received {
                Received::Duplicate => 0,
                Received::Applied => 1,
                Received::Pending => 2,
            })
        })
    }

    /// What is at a path, or null.
    #[napi(catch_unwind)]
    pub fn get(&self, path: String) -> napi::Result<Option<String>> {
        let found = self.document()?.get(Place(&path)).map_err(thrown)?;
        Ok(found.map(|json| json.as_str().to_owned()))
    }

    /// The whole document.
    #[napi(catch_unwind)]
    pub fn json(&self) -> napi::Result<Reply> {
        let document = self.document()?;
        Ok(Reply(document.with(|document, _| {
            let mut out = Vec::new();
            document.write_json(&mut out);
            out
        })))
    }

    /// The canonical text.
    #[napi(catch_unwind)]
    pub fn canonical(&self) -> napi::Result<String> {
        Ok(self.document()?.canonical())
    }

    /// The hash of that.
    #[napi(catch_unwind)]
    pub fn hash(&self) -> napi::Result<String> {
        Ok(self.document()?.hash())
    }

    /// The clock as a JSON object.
    #[napi(catch_unwind)]
    pub fn clock(&self) -> napi::Result<String> {
        Ok(interchange::clock_text(&self.document()?.clock()))
    }

    /// The source it writes as.
    #[napi(catch_unwind)]
    pub fn source(&self) -> napi::Result<String> {
        Ok(self
            .document()?
            .with(|document, _| document.source().to_owned()))
    }

    /// What somebody with this clock lacks, as a JSON array.
    #[napi(catch_unwind)]
    pub fn since(&self, clock: String) -> napi::Result<String> {
        let clock = interchange::clock(&clock).map_err(thrown)?;
        Ok(interchange::operations(&self.document()?.since(&clock)))
    }

    /// Whether that is all.
    #[napi(catch_unwind)]
    pub fn covers(&self, clock: String) -> napi::Result<bool> {
        let clock = interchange::clock(&clock).map_err(thrown)?;
        Ok(self.document()?.with(|document, _| document.covers(&clock)))
    }

    /// What somebody with this clock lacks, in bytes.
    #[napi(catch_unwind)]
    pub fn encode_since(&self, clock: String) -> napi::Result<Uint8Array> {
        let clock = interchange::clock(&clock).map_err(thrown)?;
        let (bytes, _) = self.document()?.encode_since(&clock);
        Ok(bytes.into())
    }

    /// Takes in a batch of operations: how many were applied, known, wait, and were refused.
    #[napi(catch_unwind)]
    pub fn receive_batch(&self, env: &Env, bytes: &[u8]) -> napi::Result<Vec<u32>> {
        let document = self.document()?;
        let received = document.receive_batch(bytes).map_err(thrown)?;
        self.inner.grew(env, &document, bytes.len());
        let counts = [
            received.applied,
            received.duplicates,
            received.pending,
            received.refused,
        ];
        Ok(counts.map(|count| count as u32).to_vec())
    }

    /// The whole document in bytes.
    #[napi(catch_unwind)]
    pub fn encode_snapshot(&self) -> napi::Result<Uint8Array> {
        Ok(self.document()?.snapshot().into())
    }

    /// The whole document as JSON with the members of the originals.
    #[napi(catch_unwind)]
    pub fn snapshot(&self) -> napi::Result<Reply> {
        Ok(Reply(self.document()?.snapshot_json().into_bytes()))
    }

    /// The whole document in pieces of text.
    #[napi(catch_unwind)]
    pub fn snapshot_pieces(&self, most: u32) -> napi::Result<Vec<String>> {
        self.document()?
            .snapshot_pieces(most as usize)
            .map_err(thrown)
    }

    /// Takes in one of them; whether it was the last one.
    #[napi(catch_unwind)]
    pub fn merge_piece(&self, piece: String) -> napi::Result<bool> {
        self.document()?.merge_piece(&piece).map_err(thrown)
    }

    /// Goes back to a snapshot in bytes or JSON, or merges it.
    #[napi(catch_unwind)]
    pub fn restore(&self, env: &Env, snapshot: &[u8], is_merge: bool) -> napi::Result<()> {
        let document = self.document()?;
        let done = match is_merge {
            true => document.merge(snapshot),
            false => document.restore(snapshot),
        };
        done.map_err(thrown)?;
        self.inner.grew(env, &document, snapshot.len());
        Ok(())
    }

    /// Whether events are kept for `events`.
    #[napi(catch_unwind)]
    pub fn listen(&self, is_listening: bool) -> napi::Result<()> {
        self.document()?.set_listening(is_listening);
        Ok(())
    }

    /// What has happened, as a JSON array.
    #[napi(catch_unwind)]
    pub fn events(&self) -> napi::Result<String> {
        Ok(interchange::document_events(&*self.document()?))
    }

    /// Watches a pattern, text or a path as JSON; its number.
    #[napi(catch_unwind)]
    pub fn watch(&self, pattern: String) -> napi::Result<f64> {
        let pattern = Pattern::from_json(&pattern).map_err(thrown)?;
        Ok(self.document()?.watch(pattern) as f64)
    }

    /// Ends that.
    #[napi(catch_unwind)]
    pub fn unwatch(&self, id: f64) -> napi::Result<()> {
        self.document()?.unwatch(id as u64);
        Ok(())
    }

    /// Who takes part; null if that is not known.
    #[napi(catch_unwind)]
    pub fn set_members(&self, members: Option<Vec<String>>) -> napi::Result<()> {
        let members = members.as_ref();
        let names: Option<Vec<&str>> =
            members.map(|names| names.iter().map(String::as_str).collect());
        self.document()?.set_members(names.as_deref());
        Ok(())
    }

    /// What was counted, as a JSON object.
    #[napi(catch_unwind)]
    pub fn metrics(&self) -> napi::Result<String> {
        Ok(self.document()?.metrics().to_json())
    }

    /// The same for Prometheus.
    #[napi(catch_unwind)]
    pub fn metrics_text(&self) -> napi::Result<String> {
        let document = self.document()?;
        Ok(document.metrics().to_prometheus(&document.replica()))
    }

    /// The state, as a JSON object.
    #[napi(catch_unwind)]
    pub fn inspect(&self, options: String) -> napi::Result<String> {
        interchange::inspect(&*self.document()?, &options).map_err(thrown)
    }

    /// The causal graph, as a JSON array.
    #[napi(catch_unwind)]
    pub fn causal_graph(&self) -> napi::Result<String> {
        Ok(self.document()?.with(|document, _| document.causal_graph()))
    }

    /// Operations of the log, and the document that they make, as JSON: `[operations, document]`.
    #[napi(catch_unwind)]
    pub fn replay(&self, from: u32, to: u32) -> napi::Result<String> {
        let ops = self
            .document()?
            .with(|document, _| document.logged(from as usize, to as usize));
        let texts = interchange::array(ops.iter().map(Op::encode));
        Ok(format!("[{texts},{}]", Document::replay(&ops)))
    }

    /// Forgets operations of the log until so many are left, or as many as are kept anyway.
    #[napi(catch_unwind)]
    pub fn trim_log(&self, keep: Option<u32>) -> napi::Result<()> {
        self.document()?.with(|document, _| {
            let keep = keep.map_or(document.options().log_ops_max, |keep| keep as usize);
            document.trim_log(keep);
        });
        Ok(())
    }

    /// Forgets deletes that every member has seen.
    #[napi(catch_unwind)]
    pub fn drop_tombstones(&self) -> napi::Result<()> {
        self.document()?
            .with(|document, now_ms| document.drop_tombstones(now_ms));
        Ok(())
    }

    /// Gives up what has waited too long.
    #[napi(catch_unwind)]
    pub fn expire_pending(&self) -> napi::Result<()> {
        self.document()?
            .with(|document, now_ms| document.expire_pending(now_ms));
        Ok(())
    }

    /// Tries again what waits.
    #[napi(catch_unwind)]
    pub fn drain_pending(&self) -> napi::Result<()> {
        self.document()?
            .with(|document, now_ms| document.drain_pending(now_ms));
        Ok(())
    }

    /// Makes the disk have it; the result comes to `call`. `wake` is called when results are to be
    /// taken; that of the first call counts.
    #[napi(catch_unwind)]
    pub fn flush(
        &self,
        env: &Env,
        is_checkpoint: bool,
        call: CallId,
        wake: Function<'_, (), ()>,
    ) -> napi::Result<()> {
        let outbox = match self.outbox.get() {
            Some(outbox) => outbox,
            None => {
                let wake = Arc::new(Wake::new(env, &wake)?);
                self.outbox.get_or_init(|| Arc::new(Outbox::new(wake)))
            }
        };
        let document = self.inner.document.lock().clone();
        outbox.run_blocking(call, move || {
            let document = document.ok_or_else(closed)?;
            match is_checkpoint {
                true => document.checkpoint()?,
                false => document.flush()?,
            }
            Ok(NOTHING.into())
        });
        Ok(())
    }

    /// Results of calls, as `{"r": results}`.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        let results = self.outbox.get().and_then(|outbox| {
            outbox.wake.begin();
            outbox.take()
        });
        match results {
            Some(results) => format!("{{\"r\":{results}}}"),
            None => "{}".into(),
        }
    }

    /// Ends it; its directory can be opened again.
    #[napi(catch_unwind)]
    pub fn close(&self, env: &Env) {
        self.inner.end();
        self.inner.tell(env, 0);
    }
}

/// What two snapshots differ in, as JSON.
#[napi(catch_unwind)]
pub fn document_difference(before: String, after: String) -> napi::Result<String> {
    diff_snapshots(&before, &after).map_err(thrown)
}
