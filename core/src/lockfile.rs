//! The lock file of "one node a process" (pmd.md 9).

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Held while this process runs its singleton node; dropping it removes the file.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    pid: u32,
}

impl LockFile {
    /// Takes the lock of this process: `distflow-node-<pid>.lock` in the folder for temporary
    /// files.
    ///
    /// Error `already_running` when this process holds it. A file of a process that is gone
    /// is stale, whatever its content, and is replaced.
    pub fn acquire() -> Result<Self> {
        Self::acquire_in(&std::env::temp_dir())
    }

    fn acquire_in(folder: &Path) -> Result<Self> {
        let pid = std::process::id();
        let path = folder.join(format!("distflow-node-{pid}.lock"));
        if HELD.swap(u64::from(pid), std::sync::atomic::Ordering::AcqRel) == u64::from(pid) {
            return Err(Error::new(
                ErrorKind::AlreadyRunning,
                "Node already running in this process",
            ));
        }
        let lock = Self { path, pid };
        // The name holds our pid and no node of ours runs: whatever is there is stale, or
        // belongs to an original's node in this very process.
        match lock.create() {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if lock.is_live_original() {
                    return Err(Error::new(
                        ErrorKind::AlreadyRunning,
                        "Node already running in this process",
                    ));
                }
                let _ = std::fs::remove_file(&lock.path);
                lock.create()
                    .map_err(|error| Error::io("cannot create the lock file", &error))?;
            }
            result => result.map_err(|error| Error::io("cannot create the lock file", &error))?,
        }
        Ok(lock)
    }

    /// Exclusive creation follows no link that someone else may have put there.
    fn create(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.path)?;
        write!(file, "{}", self.pid)
    }

    /// An original's file is newer than this process; a leftover of an earlier process with
    /// the same pid is older.
    fn is_live_original(&self) -> bool {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|file| file.take(32).read_to_string(&mut text));
        let started = std::fs::metadata("/proc/self").and_then(|meta| meta.modified());
        let written = std::fs::symlink_metadata(&self.path).and_then(|meta| meta.modified());
        match (read, started, written) {
            (Ok(_), Ok(started), Ok(written)) => {
                text.trim() == self.pid.to_string() && written >= started
            }
            _ => false,
        }
    }
}

/// The pid whose process holds the lock; a child of `fork` has another pid and starts free.
static HELD: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            HELD.store(0, std::sync::atomic::Ordering::Release);
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, because the lock is one per process.
    #[test]
    fn one_a_process_and_stale_ones_are_recognised() {
        let folder = std::env::temp_dir().join(format!("distflow-lock-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let pid = std::process::id();
        let path = folder.join(format!("distflow-node-{pid}.lock"));

        let lock = LockFile::acquire_in(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), pid.to_string());
        let error = LockFile::acquire_in(&folder).unwrap_err();
        assert_eq!(error.to_string(), "Node already running in this process");
        drop(lock);
        assert!(!path.exists());

        std::fs::write(&path, "999999999").unwrap();
        let lock = LockFile::acquire_in(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), pid.to_string());
        drop(lock);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
