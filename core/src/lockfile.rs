//! The lock file of "one node a process" (pmd.md 9).

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Held while this process runs its singleton node; dropping it removes the file.
///
/// What decides is a number in this process's memory. The file is a courtesy to originals, which
/// look for it: where it can't be written, the node starts all the same.
#[derive(Debug)]
pub struct LockFile {
    /// The file, if it could be written.
    path: Option<PathBuf>,
    pid: u32,
}

impl LockFile {
    /// Takes the lock of this process, and writes `distflow-node-<pid>.lock` in the folder for
    /// temporary files if that is possible.
    ///
    /// Error `already_running` when this process holds it. A file of a process that is gone
    /// is stale, whatever its content, and is replaced.
    pub fn acquire() -> Result<Self> {
        Self::acquire_in(&std::env::temp_dir())
    }

    fn acquire_in(folder: &Path) -> Result<Self> {
        let running = || {
            Error::new(
                ErrorKind::AlreadyRunning,
                "Node already running in this process",
            )
        };
        let pid = std::process::id();
        if HELD.swap(u64::from(pid), std::sync::atomic::Ordering::AcqRel) == u64::from(pid) {
            return Err(running());
        }
        let mut lock = Self { path: None, pid };
        let path = folder.join(format!("distflow-node-{pid}.lock"));
        // The name holds our pid and no node of ours runs: whatever is there is stale, or
        // belongs to an original's node in this very process.
        let written = match create(&path, pid) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if is_live_original(&path, pid) {
                    return Err(running());
                }
                std::fs::remove_file(&path).and_then(|()| create(&path, pid))
            }
            written => written,
        };
        match written {
            Ok(()) => lock.path = Some(path),
            Err(error) => tracing::warn!(
                path = %path.display(), %error,
                "no lock file; original nodes in this process will not notice this one"
            ),
        }
        Ok(lock)
    }
}

/// Exclusive creation follows no link that someone else may have put there.
fn create(path: &Path, pid: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = write!(file, "{pid}");
    if written.is_err() {
        // A full disk takes a name, but no content.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// An original's file is newer than this process; a leftover of an earlier process with
/// the same pid is older. One of another user is nobody's who runs here.
fn is_live_original(path: &Path, pid: u32) -> bool {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(32).read_to_string(&mut text));
    let process = std::fs::metadata("/proc/self");
    let file = std::fs::symlink_metadata(path);
    let (Ok(_), Ok(process), Ok(file)) = (read, process, file) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if file.uid() != process.uid() {
            return false;
        }
    }
    match (process.modified(), file.modified()) {
        (Ok(started), Ok(written)) => text.trim() == pid.to_string() && written >= started,
        _ => false,
    }
}

/// The pid whose process holds the lock; a child of `fork` has another pid and starts free.
static HELD: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            HELD.store(0, std::sync::atomic::Ordering::Release);
            if let Some(path) = &self.path {
                let _ = std::fs::remove_file(path);
            }
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

        // Nothing can be removed or written there: a folder in the file's place, then no folder.
        std::fs::create_dir_all(path.join("full")).unwrap();
        let lock = LockFile::acquire_in(&folder).unwrap();
        assert!(
            LockFile::acquire_in(&folder).is_err(),
            "it counts all the same"
        );
        drop(lock);
        assert!(path.is_dir());
        std::fs::remove_dir_all(&folder).unwrap();
        for _ in 0..2 {
            drop(LockFile::acquire_in(&folder).unwrap());
        }
    }
}
