//! Where a program to launch a PMD with is looked for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::pmd::launch::{EXECUTABLE_VARIABLE, Launcher};

/// The command that runs the command line of this very process again; see [`set_own_command`].
static OWN: OnceLock<Launcher> = OnceLock::new();

/// Says which command runs distflow's command line, because this process does nothing else: the
/// `distflow` program itself, or an interpreter that was told to. The first one counts.
#[cfg(feature = "cli")]
pub fn set_own_command(argv: Vec<OsString>) {
    if let Ok(launcher) = Launcher::new(argv) {
        let _ = OWN.set(launcher);
    }
}

/// The command of [`set_own_command`].
#[cfg(feature = "cli")]
pub fn own_command() -> Option<&'static Launcher> {
    OWN.get()
}

/// Where a search looks.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The value of `DISTFLOW_PMD`.
    variable: Option<OsString>,
    /// What runs this process's command line again, if it is distflow's.
    own: Option<Launcher>,
    /// This program.
    program: Option<PathBuf>,
    /// The file that holds this code: a shared library, or the program again.
    library: Option<PathBuf>,
    /// The value of `PATH`.
    path: OsString,
}

impl Places {
    pub fn of_this_process() -> Self {
        Self {
            variable: std::env::var_os(EXECUTABLE_VARIABLE),
            own: OWN.get().cloned(),
            program: std::env::current_exe().ok(),
            library: own_library(),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// The first launcher that exists; see [`Launcher::find`].
    pub fn search(&self, host: Option<&Launcher>) -> Result<Option<Launcher>> {
        if let Some(path) = self.variable.as_ref().filter(|path| !path.is_empty()) {
            return match Launcher::executable(Path::new(path)) {
                Ok(launcher) => Ok(Some(launcher)),
                Err(error) => Err(Error::new(
                    error.kind(),
                    format!("{EXECUTABLE_VARIABLE} is set, but {error}"),
                )),
            };
        }
        if let Some(host) = host {
            return Ok(Some(host.clone()));
        }
        if let Some(own) = &self.own {
            return Ok(Some(own.clone()));
        }
        let name = format!("distflow{}", std::env::consts::EXE_SUFFIX);
        let found = self
            .folders()
            .into_iter()
            // Nothing is run from whichever folder the process happens to be in.
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&name))
            .find(|path| is_executable(path) && !self.is_this_program(path));
        Ok(found.as_deref().map(Launcher::of))
    }

    /// Whether a path leads to this program. It may be anybody's and happen to have that name;
    /// launching it would start the host once more.
    fn is_this_program(&self, path: &Path) -> bool {
        let same = |program: &PathBuf| is_same_file(program, path);
        self.program.as_ref().is_some_and(same)
    }

    /// The folders to look in, in order.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let Some(library) = &self.library {
            // A library is often reached by a link: from a folder of links, or to a file of
            // another version. The program may be beside either.
            for library in [Some(library.clone()), library.canonicalize().ok()] {
                if let Some(folder) = library.as_deref().and_then(Path::parent) {
                    folders.push(folder.to_owned());
                    folders.push(folder.join("../bin"));
                }
            }
        }
        let program_folder = self.program.as_deref().and_then(Path::parent);
        folders.extend(program_folder.map(Path::to_owned));
        folders.extend(std::env::split_paths(&self.path));
        folders
    }
}

/// The file this code was loaded from, if the system says where that is.
#[cfg(unix)]
fn own_library() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;

    let address = own_library as fn() -> Option<PathBuf> as *const libc::c_void;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr only compares the address with what is loaded, and fills the struct,
    // for which zeroes are valid values.
    let info = unsafe {
        if libc::dladdr(address, info.as_mut_ptr()) == 0 {
            return None;
        }
        info.assume_init()
    };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the name is NUL-terminated and belongs to the loader, which keeps it while this
    // code is loaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
    // A relative one is from the folder of the time of loading, and for a program without
    // libraries merely its first argument.
    path.is_absolute().then_some(path)
}

#[cfg(not(unix))]
fn own_library() -> Option<PathBuf> {
    None
}

/// Whether there is a file that this user may execute, from where it is.
pub(super) fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let Ok(name) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
            return false;
        };
        // SAFETY: the name is NUL-terminated and lives through the call.
        path.is_file() && unsafe { libc::access(name.as_ptr(), libc::X_OK) } == 0
    }
    #[cfg(not(unix))]
    {
        path.is_file()
    }
}

/// Whether two paths lead to one file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let file = |path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.dev(), meta.ino()))
        };
        file(a).is_some_and(|a| Some(a) == file(b))
    }
    #[cfg(not(unix))]
    {
        a.canonicalize()
            .is_ok_and(|a| Some(a) == b.canonicalize().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// An empty folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("distflow-launch-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }

        /// Makes an empty executable file.
        fn program(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(&path, mode).unwrap();
            }
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn found(places: &Places) -> Option<PathBuf> {
        let launcher = places.search(None).unwrap()?;
        let path = PathBuf::from(launcher.command().get_program());
        // `lib/../bin` is as good as `bin`.
        Some(path.canonicalize().unwrap())
    }

    #[test]
    fn the_search_goes_in_order() {
        let folder = Folder::new("order");
        let mut places = Places {
            program: Some(folder.program("host/python")),
            library: Some(folder.program("package/lib/libdistflow.so")),
            path: "relative::/nonexistent/on/path".into(),
            ..Places::default()
        };
        assert_eq!(found(&places), None);
        // From the last place to the first, each beats the one before.
        let on_path = folder.program("path/distflow");
        places.path = folder.0.join("path").into();
        assert_eq!(found(&places), Some(on_path));
        for path in [
            "host/distflow",
            "package/bin/distflow",
            "package/lib/distflow",
        ] {
            let path = folder.program(path);
            assert_eq!(found(&places), Some(path));
        }
        let own = Launcher::of(&folder.program("itself/distflow"));
        places.own = Some(own.clone());
        assert_eq!(places.search(None).unwrap(), Some(own));
        let host = Launcher::new(vec!["node".into(), "cli.js".into()]).unwrap();
        assert_eq!(places.search(Some(&host)).unwrap(), Some(host.clone()));
        places.variable = Some(folder.program("chosen").into());
        assert_eq!(found(&places), Some(folder.0.join("chosen")));
        let chosen = places.search(Some(&host)).unwrap();
        assert_eq!(chosen, places.search(None).unwrap());
    }

    /// A packaged program may have any name, be its own library, and be on the search path.
    #[test]
    fn a_host_program_of_that_name_is_not_launched() {
        let folder = Folder::new("host");
        let program = folder.program("distflow");
        let mut places = Places {
            program: Some(program.clone()),
            library: Some(program.clone()),
            path: folder.0.clone().into(),
            ..Places::default()
        };
        assert_eq!(places.search(None).unwrap(), None);
        #[cfg(unix)]
        {
            let bin = folder.0.join("bin");
            std::fs::create_dir(&bin).unwrap();
            std::os::unix::fs::symlink(&program, bin.join("distflow")).unwrap();
            places.path = bin.into();
            assert_eq!(places.search(None).unwrap(), None);
        }
        let another = folder.program("another/distflow");
        places.path = folder.0.join("another").into();
        assert_eq!(found(&places), Some(another));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_without_permission_is_passed_over() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("permission");
        let program = folder.program("lib/distflow");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o644)).unwrap();
        let next = folder.program("path/distflow");
        let places = Places {
            library: Some(folder.0.join("lib/libdistflow.so")),
            path: folder.0.join("path").into(),
            ..Places::default()
        };
        assert_eq!(found(&places), Some(next));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_library_leads_to_the_program() {
        let folder = Folder::new("link");
        let library = folder.program("package/libdistflow.so");
        let program = folder.program("package/distflow");
        let link = folder.0.join("libdistflow.so");
        std::os::unix::fs::symlink(library, &link).unwrap();
        let places = Places {
            library: Some(link),
            ..Places::default()
        };
        assert_eq!(found(&places), Some(program));
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error() {
        let places = Places {
            variable: Some("/nonexistent/distflow".into()),
            ..Places::default()
        };
        let error = places.search(None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PmdLaunchFailed);
        let text = error.to_string();
        assert!(text.contains(EXECUTABLE_VARIABLE), "{text}");
        assert!(text.contains("/nonexistent/distflow"), "{text}");
    }

    #[test]
    fn a_path_is_checked() {
        let folder = Folder::new("check");
        let program = folder.program("program");
        assert_eq!(
            Launcher::executable(&program).unwrap(),
            Launcher::of(&program)
        );
        // A folder has the permission to execute as well.
        for path in [folder.0.clone(), folder.0.join("missing")] {
            let error = Launcher::executable(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PmdLaunchFailed);
            assert!(error.to_string().contains(&*path.to_string_lossy()));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_without_libraries_is_its_own_library() {
        // Cargo runs tests by an absolute path.
        let own = own_library().unwrap().canonicalize().unwrap();
        assert_eq!(
            own,
            std::env::current_exe().unwrap().canonicalize().unwrap()
        );
    }
}
