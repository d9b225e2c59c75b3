//! Where a document is kept: a snapshot, and the records since.

mod directory;
mod records;

pub use self::directory::Directory;
use crate::error::Result;

/// What was stored.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The latest snapshot, if there was one.
    pub snapshot: Option<Vec<u8>>,
    /// The records appended since, in order.
    pub records: Vec<Vec<u8>>,
    /// Bytes of a last record that was not written to its end, and were cut off; or those that could not
    /// be salvaged.
    pub torn_bytes: u64,
}

/// Work that waits for a disk; it can be done on any thread, while more is appended.
pub type Work = Box<dyn FnOnce() -> Result<()> + Send>;

/// Keeps a document for its next life. A host can put it in a database of its own by this.
///
/// Calls come one at a time. An error means that nothing was stored by the call.
pub trait Storage: Send {
    /// Everything that is stored.
    ///
    /// Error: `invalid_message` for what is damaged.
    fn load(&mut self) -> Result<Stored>;
    /// Everything that is whole, where [`Storage::load`] fails because something is damaged. What is
    /// damaged stays, out of the way, until the next checkpoint is done. A storage that can't do this says
    /// what it said before.
    fn salvage(&mut self) -> Result<Stored> {
        self.load()
    }
    /// Adds a record. When this returns, the end of this process does not lose it. It must not wait
    /// for a disk.
    fn append(&mut self, record: &[u8]) -> Result<()>;
    /// When the work is done, the end of the machine does not lose what was appended before, either.
    fn flush(&mut self) -> Result<Work>;
    /// Replaces what was appended before by a snapshot. Until the work is done, and if it fails, what
    /// was stored before is still there, and what is appended now comes after it.
    fn checkpoint(&mut self, snapshot: Vec<u8>) -> Result<Work>;
}
