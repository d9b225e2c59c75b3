//! Clean-up at the end of an environment, that of the main thread or of a worker.
//!
//! When a worker ends, some hosts run neither the finalizers of its objects nor those of its
//! threadsafe functions. All of them run the clean-up hooks of the environment, so one hook ends
//! everything that was opened in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use napi::Env;

/// Something that an environment must not leave behind.
pub trait Ends: Send + Sync {
    /// Ends it without waiting and without calling JavaScript. Safe to call twice.
    fn end(&self);
}

type Open = HashMap<usize, Vec<Weak<dyn Ends>>>;

thread_local! {
    // By environment: a thread may have had another one before.
    static OPEN: RefCell<Open> = RefCell::default();
}

/// Has an object end with the environment, unless it is gone by then.
pub fn enter<T: Ends + 'static>(env: &Env, object: &Arc<T>) -> napi::Result<()> {
    let weak: Weak<dyn Ends> = Arc::downgrade(&(object.clone() as Arc<dyn Ends>));
    let key = env.raw() as usize;
    OPEN.with_borrow_mut(|open| {
        if !open.contains_key(&key) {
            env.add_env_cleanup_hook(key, end)?;
        }
        let objects = open.entry(key).or_default();
        if objects.len() == objects.capacity() {
            objects.retain(|object| object.strong_count() > 0);
        }
        objects.push(weak);
        Ok(())
    })
}

fn end(key: usize) {
    let Ok(Some(objects)) = OPEN.try_with(|open| open.borrow_mut().remove(&key)) else {
        return;
    };
    for object in objects.iter().filter_map(Weak::upgrade) {
        // A panic must not get into the host, and must not keep the others open.
        let _ = catch_unwind(AssertUnwindSafe(|| object.end()));
    }
}
