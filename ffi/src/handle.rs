//! Handles: ids in a table, in the shape of pointers that nobody follows.
//!
//! An id has, from its lowest bit: 1 (no object of the host is at an odd address), 3 bits for
//! the type, 16 for the slot, and 44 for the slot's generation. Generations start at random
//! numbers, so that a handle of another copy of the library is as unknown as a stale one.
//!
//! Reading a slot takes that slot's own lock. Finding a free slot takes none: a forked child
//! may find any lock held by a thread that it does not have.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use distflow_core::{Error, ErrorKind, Result, fork, ids};
use parking_lot::RwLock;

use crate::convert;
use crate::guard::{caught, finish};
use crate::status::distflow_status;

const _: () = assert!(usize::BITS == 64, "handles need pointers of 64 bits");

/// What a handle can stand for.
pub(crate) trait Object: Send + Sync + Sized + 'static {
    /// The opaque type in C.
    type Public;
    /// The number of the type, 1 to 7, and its name in C.
    const TYPE: (usize, &'static str);

    /// Set once a call on the object has panicked.
    fn broken(&self) -> &AtomicBool;
}

/// An object with callbacks, which ends before it is released.
pub(crate) trait Closable: Object {
    /// Set once closing has begun.
    fn closed(&self) -> &AtomicBool;
    /// Whether this is its callback thread.
    fn is_callback_thread(&self) -> bool;
    /// Lets no further callback begin.
    fn stop_callbacks(&self);
    /// Ends it and waits for that.
    fn end(&self, limit: Duration) -> Result<()>;

    /// Fails once closing has begun.
    fn check_open(&self) -> Result<()> {
        if self.closed().load(Ordering::Acquire) {
            let text = format!("the {} is closed", Self::TYPE.1);
            return Err(Error::new(ErrorKind::Closed, text));
        }
        Ok(())
    }

    /// Ends it; without a timeout, for as long as that takes.
    fn close(&self, timeout: Option<Duration>) -> Result<()> {
        if self.is_callback_thread() {
            return Err(Error::new(
                ErrorKind::ReentrantCall,
                format!(
                    "a callback cannot wait for its own end; close the {} on another thread, or \
                     free it here",
                    Self::TYPE.1
                ),
            ));
        }
        self.closed().store(true, Ordering::Release);
        self.end(timeout.unwrap_or(Duration::MAX))
    }
}

/// What is in a slot: the object, and its type's name in C.
struct Entry {
    object: Arc<dyn Any + Send + Sync>,
    type_name: &'static str,
}

/// How long a `_free` function waits for a callback that still runs, and for the network.
const FREE_TIMEOUT: Duration = Duration::from_secs(5);

const SLOTS_PER_CHUNK: usize = 256;
const CHUNKS: usize = 256;
const SLOT_SHIFT: u32 = 4;
const GENERATION_SHIFT: u32 = 20;
const FREE: usize = 0;
/// Being filled or emptied.
const TAKEN: usize = 1;

struct Slot {
    /// The handle that is valid for this slot, `FREE` or `TAKEN`.
    id: AtomicUsize,
    generation: AtomicU64,
    fork_generation: AtomicU64,
    // Protects the object; held while it is cloned, put in or taken out. Never taken in a
    // child for an object of its parent.
    entry: RwLock<Option<Entry>>,
}

type Chunk = [Slot; SLOTS_PER_CHUNK];

static TABLE: [AtomicPtr<Chunk>; CHUNKS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS];
/// Where the search for a free slot begins.
static HINT: AtomicUsize = AtomicUsize::new(0);

fn chunk(number: usize) -> Option<&'static Chunk> {
    // SAFETY: a chunk, once in the table, is never freed or moved.
    unsafe { TABLE.get(number)?.load(Ordering::Acquire).as_ref() }
}

fn chunk_or_new(number: usize) -> Option<&'static Chunk> {
    if let Some(chunk) = chunk(number) {
        return Some(chunk);
    }
    let place = TABLE.get(number)?;
    let new = Box::into_raw(Box::new(std::array::from_fn(|_| Slot {
        id: AtomicUsize::new(FREE),
        generation: AtomicU64::new(ids::random_u64()),
        fork_generation: AtomicU64::new(0),
        entry: RwLock::new(None),
    })));
    let won = place.compare_exchange(
        std::ptr::null_mut(),
        new,
        Ordering::AcqRel,
        Ordering::Acquire,
    );
    if won.is_err() {
        // SAFETY: it was made above, and nobody else has seen it.
        drop(unsafe { Box::from_raw(new) });
    }
    chunk(number)
}

/// Enters an object and gives its handle.
pub(crate) fn insert<T: Object>(object: Arc<T>) -> Result<*mut T::Public> {
    let all = CHUNKS * SLOTS_PER_CHUNK;
    // A later chunk is made only when the earlier ones are full.
    let made = TABLE
        .iter()
        .take_while(|chunk| !chunk.load(Ordering::Acquire).is_null())
        .count();
    let start = HINT.load(Ordering::Relaxed);
    let existing = (made * SLOTS_PER_CHUNK).max(1);
    let around = (0..existing).map(|step| (start + step) % existing);
    let index = around.chain(existing..all).find_map(|index| {
        let slot = chunk_or_new(index / SLOTS_PER_CHUNK)?.get(index % SLOTS_PER_CHUNK)?;
        let taken = slot
            .id
            .compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed);
        taken.is_ok().then_some((index, slot))
    });
    let Some((index, slot)) = index else {
        return Err(Error::new(
            ErrorKind::Busy,
            format!("{all} handles are open already; free those that are not needed any more"),
        ));
    };
    HINT.store(index + 1, Ordering::Relaxed);
    let generation = slot.generation.fetch_add(1, Ordering::Relaxed) as usize;
    let id = (generation << GENERATION_SHIFT) | (index << SLOT_SHIFT) | (T::TYPE.0 << 1) | 1;
    slot.fork_generation
        .store(fork::generation(), Ordering::Relaxed);
    *slot.entry.write() = Some(Entry {
        object,
        type_name: T::TYPE.1,
    });
    slot.id.store(id, Ordering::Release);
    Ok(id as *mut T::Public)
}

fn unknown<T: Object>(why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidHandle,
        format!("this is no {} *: {why}", T::TYPE.1),
    )
}

fn find<T: Object>(handle: *const T::Public) -> Result<(usize, &'static Slot)> {
    let id = handle as usize;
    if id == 0 {
        return Err(unknown::<T>("it is NULL"));
    }
    let index = (id >> SLOT_SHIFT) & (CHUNKS * SLOTS_PER_CHUNK - 1);
    let slot = chunk(index / SLOTS_PER_CHUNK)
        .and_then(|chunk| chunk.get(index % SLOTS_PER_CHUNK))
        .filter(|slot| id & 1 == 1 && slot.id.load(Ordering::Acquire) == id)
        .ok_or_else(|| {
            unknown::<T>("it was freed already, or never was a handle of this library")
        })?;
    if slot.fork_generation.load(Ordering::Relaxed) != fork::generation() {
        return Err(Error::forked());
    }
    Ok((id, slot))
}

/// The object of a handle.
pub(crate) fn get<T: Object>(handle: *const T::Public) -> Result<Arc<T>> {
    let (id, slot) = find::<T>(handle)?;
    let entry = slot.entry.read();
    let entry = entry
        .as_ref()
        .filter(|_| slot.id.load(Ordering::Acquire) == id);
    let entry = entry.ok_or_else(|| unknown::<T>("it is being freed"))?;
    let object = entry.object.clone().downcast::<T>();
    object.map_err(|_| unknown::<T>(&format!("it is a {} *", entry.type_name)))
}

/// Makes a handle stale and gives its object. `None` when it was none, or is the parent's.
pub(crate) fn remove<T: Object>(handle: *const T::Public) -> Option<Arc<T>> {
    let (id, slot) = find::<T>(handle).ok()?;
    if (id >> 1) & 7 != T::TYPE.0 {
        return None;
    }
    slot.id
        .compare_exchange(id, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
        .ok()?;
    let entry = slot.entry.write().take();
    slot.id.store(FREE, Ordering::Release);
    entry?.object.downcast::<T>().ok()
}

/// Makes a handle stale, and closes and releases its object: on its own callback thread, after
/// the callback has returned.
pub(crate) fn free<T: Closable>(handle: *const T::Public) {
    let Some(object) = remove::<T>(handle) else {
        return;
    };
    if !object.is_callback_thread() {
        let _ = object.close(Some(FREE_TIMEOUT));
        return;
    }
    object.stop_callbacks();
    // Good-byes take their time, which the callback's thread must not: it has to end first.
    // Without another thread, the last owner's drop ends the object without good-byes.
    let _ =
        distflow_core::threads::spawn("distflow-close", move || object.close(Some(FREE_TIMEOUT)));
}

/// Runs a call that fills in a struct, which is emptied before anything else happens.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn with_out<T: Object, V>(
    handle: *const T::Public,
    what: &str,
    out: *mut V,
    empty: V,
    run: impl FnOnce(&Arc<T>) -> Result<V>,
) -> distflow_status {
    if !out.is_null() {
        // SAFETY: not NULL, and the caller promises that it is writable.
        unsafe { out.write_unaligned(empty) };
    }
    with(handle, |object| {
        convert::check_out(what, out)?;
        let value = run(object)?;
        // SAFETY: as above.
        unsafe { convert::set(what, out, value) }
    })
}

/// Runs a call on a handle's object. A panic breaks the object for further calls.
pub(crate) fn with<T: Object>(
    handle: *const T::Public,
    run: impl FnOnce(&Arc<T>) -> Result<()>,
) -> distflow_status {
    finish(caught(|| {
        let object = get::<T>(handle)?;
        if object.broken().load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Panic,
                "an earlier call on this handle panicked; free it",
            ));
        }
        let result = caught(|| run(&object));
        if let Err(error) = &result
            && error.kind() == ErrorKind::Panic
        {
            object.broken().store(true, Ordering::Relaxed);
        }
        result
    }))
}
