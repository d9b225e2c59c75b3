//! Reads bytes as a sequence of calls of the C ABI, over handles that are live, stale, of another
//! type, or were never any. Shared by a test with fixed seeds and the fuzz target `ffi_calls`.
//!
//! Lengths are always true to what they are the length of; nothing else is promised. A handle that
//! is none has to give `INVALID_HANDLE`, no call may give `PANIC` or `INTERNAL`, the last error is
//! that of the last call, and every context is dropped exactly once.

use std::collections::VecDeque;
use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use distflow::buf::*;
use distflow::bytes::*;
use distflow::doc::*;
use distflow::event::*;
use distflow::last_error::*;
use distflow::log::*;
use distflow::message::*;
use distflow::node::*;
use distflow::node_callbacks::*;
use distflow::node_options::*;
use distflow::node_receive::*;
use distflow::node_send::*;
use distflow::opaque::*;
use distflow::peer::*;
use distflow::pmd::*;
use distflow::pmd_client::*;
use distflow::status::*;
use distflow::version::*;

/// How long anything may take that has to end; it only bounds a failing run.
const LIMIT: Duration = Duration::from_secs(60);
const LIMIT_MS: i64 = 60_000;
/// Calls that open or end something, for each sequence: they take a thousand times as long.
const SLOW_CALLS_MAX: u32 = 2;
/// Callbacks on the lasting objects before those are made anew.
const CALLBACKS_MAX: u32 = 16;

/// Calls that succeeded, in all worlds: sequences that only fail would show little.
pub static SUCCEEDED: AtomicU64 = AtomicU64::new(0);

/// What a handle stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Node,
    Pmd,
    Client,
    Doc,
    Session,
    List,
}

/// What is known of a handle as one of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    Live,
    Dead,
    /// One of its callbacks may have freed it.
    Unsure,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    handle: usize,
    kind: Kind,
    known: Known,
}

/// Places of the lasting objects.
const NODES: [usize; 2] = [0, 1];
const PMD: usize = 2;
/// Of documents that tell each other what they have.
const DOCS: [usize; 2] = [4, 5];
/// How many there are; the fourth is a client, the last two are a session that is looked at, and the
/// list of sessions.
const LASTING: usize = 8;

/// The objects that sequences of calls work on.
pub struct World {
    /// First the lasting ones, then those that the current sequence has opened.
    slots: Vec<Slot>,
    stale: VecDeque<Slot>,
    pmd_port: u16,
    callbacks: u32,
    /// A lasting object was ended.
    worn: bool,
    slow_calls: u32,
    /// Contexts that were not dropped yet.
    contexts: Arc<AtomicUsize>,
}

/// Checks the outcome of a call, and that the last error is this one.
fn check(known: Known, status: distflow_status) {
    match known {
        Known::Dead => assert_eq!(status, DISTFLOW_INVALID_HANDLE),
        Known::Live => assert_ne!(status, DISTFLOW_INVALID_HANDLE),
        Known::Unsure => {}
    }
    let never = [DISTFLOW_PANIC, DISTFLOW_INTERNAL, DISTFLOW_FORKED];
    assert!(!never.contains(&status), "status {status}");
    SUCCEEDED.fetch_add(u64::from(status == DISTFLOW_OK), Ordering::Relaxed);
    let mut len = 0;
    // SAFETY: no buffer is fine, and the length can be written.
    let last = unsafe { distflow_last_error(null_mut(), 0, &mut len) };
    assert_eq!((last, len == 0), (status, status == DISTFLOW_OK));
}

/// Waits for what other threads do.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// An out parameter that is filled in by a call and then freed by its function.
macro_rules! filled {
    ($known:expr, $read:expr, $free:ident, |$out:ident| $call:expr) => {{
        let mut out = MaybeUninit::zeroed();
        let $out = out.as_mut_ptr();
        // SAFETY: the struct can be written and is freed by its own function, twice; handles
        // may be anything, and texts are what the call wants.
        unsafe {
            let status = $call;
            check($known, status);
            if status == DISTFLOW_OK {
                $read(&*$out);
            }
            $free($out);
            $free($out);
        }
    }};
}

// After the macro, which they use. The paths are for those that include this file by a path.
#[path = "callbacks.rs"]
mod callbacks;
#[path = "documents.rs"]
mod documents;
#[path = "input.rs"]
mod input;
#[path = "opening.rs"]
mod opening;
#[path = "results.rs"]
mod results;
#[path = "sessions.rs"]
mod sessions;

use callbacks::*;
use input::*;
use opening::*;
use results::*;

impl World {
    /// Opens what lasts: a PMD, two nodes, a client, two documents, a session and a list of them.
    pub fn new() -> Self {
        let mut world = Self {
            slots: Vec::new(),
            stale: VecDeque::new(),
            pmd_port: 0,
            callbacks: 0,
            worn: false,
            slow_calls: 0,
            contexts: Arc::default(),
        };
        // Opened twice, so that there is something stale of each kind.
        world.open_lasting();
        world.end();
        world.open_lasting();
        world
    }

    /// Carries out one sequence.
    pub fn run(&mut self, data: &[u8]) {
        let mut input = Input(data);
        // By its length, so that most of what a fuzzer makes of a slow sequence is fast.
        let is_slow = data.len().is_multiple_of(8);
        self.slow_calls = if is_slow { 0 } else { SLOW_CALLS_MAX };
        while !input.0.is_empty() {
            self.call(&mut input);
        }
        while self.slots.len() > LASTING {
            self.free_last();
        }
        if self.worn || self.callbacks >= CALLBACKS_MAX {
            self.end();
            self.open_lasting();
        }
    }

    /// Frees everything; every context has to be dropped then.
    pub fn end(&mut self) {
        // The PMD last, so that nodes can say good-bye.
        self.slots.swap(0, PMD);
        while !self.slots.is_empty() {
            self.free_last();
        }
        // SAFETY: without a callback nothing is handed over.
        let status = unsafe { distflow_log_set(DISTFLOW_LOG_OFF, None, null_mut(), None) };
        check(Known::Live, status);
        wait_until("every context is dropped", || {
            self.contexts.load(Ordering::SeqCst) == 0
        });
    }

    fn free_last(&mut self) {
        if let Some(slot) = self.slots.pop() {
            free(slot);
            let known = Known::Dead;
            self.stale.push_back(Slot { known, ..slot });
            if self.stale.len() > 8 {
                self.stale.pop_front();
            }
        }
    }

    fn open_lasting(&mut self) {
        let mut options = pmd_options();
        options.port = 0;
        let (mut pmd, mut client) = (null_mut(), null_mut());
        // SAFETY: every pointer is valid, here and below.
        unsafe {
            assert_eq!(distflow_pmd_open(&options, &mut pmd), DISTFLOW_OK);
            assert_eq!(distflow_pmd_port(pmd, &mut self.pmd_port), DISTFLOW_OK);
        }
        for alias in [c"a", c"b"] {
            let mut options = self.node_options();
            options.alias = alias.as_ptr();
            options.start_timeout_ms = LIMIT_MS as u64;
            let mut node = null_mut();
            // SAFETY: as above.
            let status = unsafe { distflow_node_open(&options, &mut node) };
            assert_eq!(status, DISTFLOW_OK);
            self.keep(Kind::Node, node as usize);
        }
        self.keep(Kind::Pmd, pmd as usize);
        // SAFETY: as above.
        let status =
            unsafe { distflow_pmd_client_open(null(), self.pmd_port, LIMIT_MS, &mut client) };
        assert_eq!(status, DISTFLOW_OK);
        self.keep(Kind::Client, client as usize);
        for replica in [c"a", c"b"] {
            let mut doc = null_mut();
            // SAFETY: as above.
            let status =
                unsafe { distflow_doc_open(replica.as_ptr(), null(), 0, null(), 0, &mut doc) };
            assert_eq!(status, DISTFLOW_OK);
            self.keep(Kind::Doc, doc as usize);
        }
        let (session, status) = sessions::observe(c"nowhere".as_ptr());
        assert_eq!(status, DISTFLOW_OK);
        self.keep(Kind::Session, session as usize);
        self.keep(Kind::List, sessions::open_list() as usize);
        (self.callbacks, self.worn) = (0, false);
    }

    fn keep(&mut self, kind: Kind, handle: usize) {
        let known = Known::Live;
        self.slots.push(Slot {
            handle,
            kind,
            known,
        });
    }

    fn node_options(&self) -> distflow_node_options {
        let mut options = MaybeUninit::uninit();
        // SAFETY: the function fills the struct.
        let mut options = unsafe {
            let size = size_of::<distflow_node_options>();
            let status = distflow_node_options_init(options.as_mut_ptr(), size);
            assert_eq!(status, DISTFLOW_OK);
            options.assume_init()
        };
        options.pmd_port = self.pmd_port;
        options.auto_start = 0;
        options
    }

    /// A handle, and what is known of it as one of a kind.
    fn handle(&self, input: &mut Input<'_>, kind: Kind) -> (usize, Known) {
        let any = |slots: &mut dyn Iterator<Item = &Slot>, n: u8| {
            let all: Vec<&Slot> = slots.collect();
            match all.len() {
                0 => 0,
                len => all[usize::from(n) % len].handle,
            }
        };
        let (how, which) = (input.byte(), input.byte());
        let handle = match how % 32 {
            0 => 0,
            1 => input.number() as usize,
            2 => any(&mut self.slots.iter(), which) ^ (1 << (how / 32 * 8 + which % 8)),
            3..=6 => any(&mut self.stale.iter(), which),
            7..=9 => any(&mut self.slots.iter(), which),
            10..=15 => any(&mut self.slots[LASTING..].iter(), which),
            _ => any(
                &mut self.slots.iter().filter(|slot| slot.kind == kind),
                which,
            ),
        };
        let slot = self
            .slots
            .iter()
            .find(|slot| (slot.handle, slot.kind) == (handle, kind));
        (handle, slot.map_or(Known::Dead, |slot| slot.known))
    }

    fn node(&self, input: &mut Input<'_>) -> (*mut distflow_node, Known) {
        let (handle, known) = self.handle(input, Kind::Node);
        (handle as *mut _, known)
    }

    fn pmd(&self, input: &mut Input<'_>) -> (*mut distflow_pmd, Known) {
        let (handle, known) = self.handle(input, Kind::Pmd);
        (handle as *mut _, known)
    }

    fn client(&self, input: &mut Input<'_>) -> (*mut distflow_pmd_client, Known) {
        let (handle, known) = self.handle(input, Kind::Client);
        (handle as *mut _, known)
    }

    /// Whether a call that takes long may be made.
    fn may_be_slow(&mut self, input: &mut Input<'_>) -> bool {
        // Rarely, so that sequences stay cheap.
        let may = input.byte() == 0x5a && self.slow_calls < SLOW_CALLS_MAX;
        self.slow_calls += u32::from(may);
        may
    }

    /// Whether an object may be ended; notes that the world is worn when it is a lasting one.
    fn may_end(&mut self, input: &mut Input<'_>, handle: usize, known: Known) -> bool {
        if known == Known::Dead {
            return true;
        }
        let may = self.may_be_slow(input);
        let lasting = self.slots[..LASTING].iter();
        self.worn |= may && lasting.into_iter().any(|slot| slot.handle == handle);
        may
    }

    /// A context, with a script for the callback.
    fn probe(&self, script: u8) -> *mut c_void {
        self.contexts.fetch_add(1, Ordering::SeqCst);
        Box::into_raw(Box::new(Probe {
            canary: CANARY,
            script,
            contexts: self.contexts.clone(),
        }))
        .cast()
    }

    /// What a callback on an object may do; only those of a sequence may free themselves.
    fn script(&mut self, input: &mut Input<'_>, handle: usize) -> u8 {
        let script = input.byte();
        let place = self.slots.iter().position(|slot| slot.handle == handle);
        match place {
            Some(place) if place >= LASTING => {
                if script & 128 != 0 {
                    self.slots[place].known = Known::Unsure;
                }
                script
            }
            Some(_) => {
                self.callbacks += 1;
                script & !128
            }
            None => script & !128,
        }
    }

    fn call(&mut self, input: &mut Input<'_>) {
        match input.byte() % 56 {
            0..=17 => self.call_node(input),
            18..=23 => self.call_pmd(input),
            24..=28 => self.call_client(input),
            29 | 30 => call_plain(input),
            31 => self.set_log(input),
            32..=34 => self.open_node(input),
            35 => self.open_pmd(input),
            36 => self.open_client(input),
            40 => self.open_doc(input),
            41..48 => self.call_doc(input),
            48 => self.open_session(input),
            49..54 => self.call_session(input),
            54.. => self.call_list(input),
            _ => self.converse(input),
        }
    }

    /// The usual: a message from one lasting node to the other, and taking it.
    fn converse(&mut self, input: &mut Input<'_>) {
        let [(from, from_known), (to, to_known)] = NODES
            .map(|place| self.slots[place])
            .map(|slot| (slot.handle as *mut distflow_node, slot.known));
        let payload = payload(input);
        // SAFETY: the payload is as long as is said.
        let status = unsafe {
            let data = payload.as_ptr().cast();
            distflow_node_send(from, c"b".as_ptr(), data, payload.len(), LIMIT_MS)
        };
        check(from_known, status);
        filled!(to_known, read_message, distflow_message_free, |out| {
            distflow_node_recv(to, 0, out)
        });
    }

    fn call_node(&mut self, input: &mut Input<'_>) {
        let which = input.byte();
        let (node, known) = self.node(input);
        // What waits is not waited for, unless the call can't wait.
        let wait = if known == Known::Dead { -1 } else { 0 };
        match which % 20 {
            0 => filled!(known, |_: &distflow_buf| (), distflow_buf_free, |out| {
                distflow_node_id(node, out)
            }),
            1 => filled!(known, |_: &distflow_buf| (), distflow_buf_free, |out| {
                distflow_node_alias(node, out)
            }),
            2 => {
                let (mut port, mut registered, mut fd): (u16, bool, c_int) = (0, false, 0);
                // SAFETY: every pointer is valid; handles may be anything, here and below.
                unsafe {
                    check(known, distflow_node_port(node, &mut port));
                    check(known, distflow_node_is_registered(node, &mut registered));
                    check(known, distflow_node_fd(node, &mut fd));
                    distflow_node_port(node, null_mut());
                    distflow_node_fd(node, null_mut());
                }
            }
            3 => filled!(known, read_peers, distflow_peers_free, |out| {
                distflow_node_peers(node, out)
            }),
            4 => {
                let prefix = Text::read(input);
                filled!(known, read_peers, distflow_peers_free, |out| {
                    distflow_node_discover(node, prefix.pointer(), LIMIT_MS, out)
                });
            }
            5 => {
                let mut stats = [0_u64; 40];
                stats[0] = input.extreme().min(8 * 40);
                // SAFETY: there is as much room as its first member says.
                check(known, unsafe {
                    distflow_node_stats(node, stats.as_mut_ptr().cast())
                });
            }
            6..=8 => {
                let (target, payload) = (Text::read(input), payload(input));
                let data = payload.as_ptr().cast();
                // SAFETY: the payload is as long as is said, and the text what it should be.
                check(known, unsafe {
                    if which & 32 == 0 {
                        distflow_node_try_send(node, target.pointer(), data, payload.len())
                    } else {
                        let target = target.pointer();
                        distflow_node_send(node, target, data, payload.len(), LIMIT_MS)
                    }
                });
            }
            9 => filled!(known, read_message, distflow_message_free, |out| {
                distflow_node_recv(node, wait, out)
            }),
            10 => {
                let max = input.extreme() as usize;
                filled!(known, read_messages, distflow_messages_free, |out| {
                    distflow_node_recv_many(node, max, wait, out)
                });
            }
            11 => check(known, distflow_node_watch(node)),
            12 | 13 => filled!(known, read_event, distflow_event_free, |out| {
                distflow_node_recv_event(node, wait, out)
            }),
            14..=16 => self.register(input, which, node, known),
            17 | 18 => {
                if self.may_end(input, node as usize, known) {
                    check(known, distflow_node_close(node, LIMIT_MS));
                }
            }
            _ => {
                if self.may_end(input, node as usize, known) {
                    distflow_node_free(node);
                    self.forget(node as usize, Kind::Node);
                }
            }
        }
    }

    fn register(
        &mut self,
        input: &mut Input<'_>,
        which: u8,
        node: *mut distflow_node,
        known: Known,
    ) {
        let script = self.script(input, node as usize);
        // What a callback frees may be gone before the call that registers it returns.
        let known = if known == Known::Live && script & 128 != 0 {
            Known::Unsure
        } else {
            known
        };
        let context = self.probe(script);
        let absent = which & 64 != 0;
        // SAFETY: the callbacks take these contexts on any thread.
        check(known, unsafe {
            match which % 20 {
                14 => {
                    let callback = (!absent).then_some(on_message as _);
                    distflow_node_on_message(node, callback, context, Some(drop_probe))
                }
                15 => {
                    let callback = (!absent).then_some(on_messages as _);
                    distflow_node_on_messages(node, callback, context, Some(drop_probe))
                }
                _ => {
                    let callback = (!absent).then_some(on_event as _);
                    distflow_node_on_event(node, callback, context, Some(drop_probe))
                }
            }
        });
    }

    fn call_pmd(&mut self, input: &mut Input<'_>) {
        let which = input.byte();
        let (pmd, known) = self.pmd(input);
        let wait = if known == Known::Dead { -1 } else { 0 };
        match which % 8 {
            0 => {
                let (mut port, mut running, mut fd): (u16, bool, c_int) = (0, false, 0);
                // SAFETY: every pointer is valid; handles may be anything, here and below.
                unsafe {
                    check(known, distflow_pmd_port(pmd, &mut port));
                    check(known, distflow_pmd_is_running(pmd, &mut running));
                    check(known, distflow_pmd_fd(pmd, &mut fd));
                    distflow_pmd_port(pmd, null_mut());
                }
            }
            1 | 2 => filled!(known, read_peers, distflow_peers_free, |out| {
                distflow_pmd_snapshot(pmd, out)
            }),
            3 | 4 => filled!(known, read_event, distflow_event_free, |out| {
                distflow_pmd_recv_event(pmd, wait, out)
            }),
            5 => {
                let script = self.script(input, pmd as usize);
                let known = match known {
                    Known::Live if script & 128 != 0 => Known::Unsure,
                    known => known,
                };
                let context = self.probe(script);
                let callback = (which & 64 == 0).then_some(on_pmd_event as _);
                // SAFETY: the callback takes this context on any thread.
                check(known, unsafe {
                    distflow_pmd_on_event(pmd, callback, context, Some(drop_probe))
                });
            }
            6 => {
                if self.may_end(input, pmd as usize, known) {
                    check(known, distflow_pmd_close(pmd, LIMIT_MS));
                }
            }
            _ => {
                if self.may_end(input, pmd as usize, known) {
                    distflow_pmd_free(pmd);
                    self.forget(pmd as usize, Kind::Pmd);
                }
            }
        }
    }

    fn call_client(&mut self, input: &mut Input<'_>) {
        let which = input.byte();
        let (client, known) = self.client(input);
        // No time at all, or enough.
        let timeout = if which & 64 == 0 { LIMIT_MS } else { 0 };
        match which % 6 {
            0 | 1 => {
                let prefix = Text::read(input);
                filled!(known, read_peers, distflow_peers_free, |out| {
                    distflow_pmd_client_list(client, prefix.pointer(), timeout, out)
                });
            }
            2 => {
                let name = Text::read(input);
                filled!(known, read_peers, distflow_peers_free, |out| {
                    distflow_pmd_client_resolve(client, name.pointer(), timeout, out)
                });
            }
            3 => {
                // Its PMD is a lasting one as a rule.
                if known == Known::Dead || self.may_be_slow(input) {
                    self.worn |= known != Known::Dead;
                    check(known, distflow_pmd_client_kill(client, timeout));
                }
            }
            4 => {
                if self.may_end(input, client as usize, known) {
                    check(known, distflow_pmd_client_close(client));
                }
            }
            _ => {
                if self.may_end(input, client as usize, known) {
                    distflow_pmd_client_free(client);
                    self.forget(client as usize, Kind::Client);
                }
            }
        }
    }

    /// A handle was freed, if it was one. Its place remains, for a second time.
    fn forget(&mut self, handle: usize, kind: Kind) {
        let freed = self
            .slots
            .iter_mut()
            .find(|slot| (slot.handle, slot.kind) == (handle, kind));
        if let Some(slot) = freed {
            slot.known = Known::Dead;
        }
    }

    fn set_log(&mut self, input: &mut Input<'_>) {
        let which = input.byte();
        let level = i32::from(which % 8) - 1;
        let context = self.probe(0);
        let callback = (which & 64 == 0).then_some(on_record as _);
        // SAFETY: the callback takes this context on any thread.
        check(Known::Live, unsafe {
            distflow_log_set(level, callback, context, Some(drop_probe))
        });
    }
}

fn free(slot: Slot) {
    match slot.kind {
        Kind::Node => distflow_node_free(slot.handle as *mut _),
        Kind::Pmd => distflow_pmd_free(slot.handle as *mut _),
        Kind::Client => distflow_pmd_client_free(slot.handle as *mut _),
        Kind::Doc => distflow_doc_free(slot.handle as *mut _),
        Kind::Session => distflow::session::distflow_session_free(slot.handle as *mut _),
        Kind::List => distflow::session_list::distflow_session_list_free(slot.handle as *mut _),
    }
}

/// The functions without a handle.
fn call_plain(input: &mut Input<'_>) {
    let which = input.byte();
    let number = input.extreme();
    // SAFETY: buffers are as long as is said, structs are freed by their own functions, and
    // texts end with a NUL byte.
    unsafe {
        match which % 6 {
            0 => {
                let mut text = vec![1_u8; number.min(600) as usize];
                distflow_last_error(text.as_mut_ptr().cast(), text.len(), null_mut());
                assert!(text.is_empty() || text.contains(&0));
            }
            1 => {
                let name = std::ffi::CStr::from_ptr(distflow_status_name(number as i32));
                assert!(!name.is_empty());
                assert!(!std::ffi::CStr::from_ptr(distflow_version()).is_empty());
            }
            2 => {
                let status = distflow_check_abi(number as u32);
                assert_eq!(status == DISTFLOW_OK, number as u32 == DISTFLOW_ABI_VERSION);
            }
            3 => {
                // A size that is believed fits.
                let mut room = [0_u64; 512];
                let status = distflow_node_options_init(room.as_mut_ptr().cast(), number as usize);
                assert_eq!(status == DISTFLOW_OK, room[0] == number && number > 0);
                distflow_node_options_init(null_mut(), number as usize);
            }
            4 => {
                let mut room = [0_u64; 512];
                let status = distflow_pmd_options_init(room.as_mut_ptr().cast(), number as usize);
                assert_eq!(status == DISTFLOW_OK, room[0] == number && number > 0);
                distflow_pmd_options_init(null_mut(), number as usize);
            }
            _ => {
                distflow_buf_free(null_mut());
                distflow_peers_free(null_mut());
                distflow_message_free(null_mut());
                distflow_messages_free(null_mut());
                distflow_event_free(null_mut());
            }
        }
    }
}
