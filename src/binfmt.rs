//! A binfmt_misc directory: list, register, remove.
//!
//! It takes the directory as an argument and mounts nothing. It refuses to write to `status`: `-1` there would remove
//! everybody's handlers, and `0` switch them off.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::{Cause, Error, Result, Step};
use crate::rule::{Entry, Rule};

/// Where the kernel expects it to be mounted.
pub const USUAL_DIR: &str = "/proc/sys/fs/binfmt_misc";

/// How long to wait for another qus: registering all targets takes one about a second.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// A directory where binfmt_misc is mounted.
#[derive(Clone, Debug)]
pub struct Binfmt {
    dir: PathBuf,
}

/// Keeps other qus processes from changing handlers meanwhile, on every mount of the same binfmt_misc.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl Binfmt {
    /// The one that is mounted at `dir`. Nothing is looked at yet.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn error(&self, step: Step, why: std::io::Error) -> Error {
        Error::new(step, self.dir.display().to_string(), why)
    }

    /// Is binfmt_misc mounted there? An automount at that place is triggered.
    ///
    /// # Errors
    /// Whatever keeps us from looking: ELOOP (a dead automount), EACCES.
    pub fn is_mounted(&self) -> Result<bool> {
        match self.dir.join("register").symlink_metadata() {
            Ok(_) => Ok(true),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
            Err(e) => Err(self.error(Step::List, e)),
        }
    }

    /// Are handlers used at all? `false` where somebody wrote `0` to `status`.
    ///
    /// # Errors
    /// [`Step::List`], where `status` can't be read.
    pub fn is_enabled(&self) -> Result<bool> {
        let status = std::fs::read(self.dir.join("status")).map_err(|e| self.error(Step::List, e))?;
        Ok(status.starts_with(b"enabled"))
    }

    /// The names of all handlers, in no order, byte by byte.
    ///
    /// # Errors
    /// [`Step::List`], where the directory can't be read.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let listing = std::fs::read_dir(&self.dir).map_err(|e| self.error(Step::List, e))?;
        let names = listing.map(|item| item.map(|i| i.file_name()));
        let names = names.filter(|n| !matches!(n, Ok(name) if name == "register" || name == "status"));
        names.collect::<std::io::Result<_>>().map_err(|e| self.error(Step::List, e))
    }

    /// All handlers, sorted by name.
    ///
    /// # Errors
    /// [`Step::List`], where the directory can't be read. A handler that vanishes meanwhile is left out.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.names()? {
            // A name that is not UTF-8 can't be one of ours; its handler is shown with the bytes replaced.
            match std::fs::read(self.dir.join(&name)) {
                Ok(text) => entries.push(Entry::parse(&name.to_string_lossy(), &text)),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(self.error(Step::List, e)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// One handler, if there is one of that name.
    ///
    /// # Errors
    /// [`Step::List`], where it can't be read.
    pub fn entry(&self, name: impl AsRef<OsStr>) -> Result<Option<Entry>> {
        let name = name.as_ref();
        match std::fs::read(self.dir.join(name)) {
            Ok(text) => Ok(Some(Entry::parse(&name.to_string_lossy(), &text))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.error(Step::List, e)),
        }
    }

    /// Registers a handler. The kernel takes the line in one write or not at all.
    ///
    /// # Errors
    /// [`Step::Register`]; ENOENT from opening `register` means that nothing is mounted here, ENOENT from writing to it that
    /// the interpreter is not there.
    pub fn register(&self, rule: &Rule) -> Result<()> {
        let line = rule.line().map_err(|u| Error::new(Step::Register, rule.name.as_str(), u.to_string()))?;
        let failed = |e: std::io::Error| {
            let failed = |why: Cause| Error::new(Step::Register, rule.name.as_str(), why);
            let (why, path) = (Cause::from(e), &rule.interpreter);
            match why {
                Cause::Errno(Errno::ENOENT) => failed(format!("there is no {path}").into()),
                // Whether we may register was seen when `register` was opened.
                Cause::Errno(Errno::EACCES) => failed(why).hint(format!(
                    "the kernel can't execute {path}: chmod +x makes it executable, unless its file system is mounted noexec"
                )),
                _ => failed(why),
            }
        };
        let mut register = self.open_register()?;
        register.write_all(line.as_bytes()).map_err(failed)
    }

    fn open_register(&self) -> Result<File> {
        let path = self.dir.join("register");
        let file = OpenOptions::new().write(true).open(&path);
        file.map_err(|e| Error::new(Step::Register, format!("with {}", path.display()), e))
    }

    /// Can handlers be registered here, by us? Only opens `register`.
    ///
    /// # Errors
    /// [`Step::Register`]: EACCES or EPERM without privileges, EROFS on a read-only mount.
    pub fn check_writable(&self) -> Result<()> {
        self.open_register().map(drop)
    }

    /// Removes a handler. One that isn't there is removed already: `false`.
    ///
    /// # Errors
    /// [`Step::Remove`]: EACCES or EPERM without privileges, EROFS on a read-only mount.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<bool> {
        let name = name.as_ref();
        let path = self.dir.join(name);
        let write = OpenOptions::new().write(true).open(path).and_then(|mut f| f.write_all(b"-1"));
        match write {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::new(Step::Remove, name.to_string_lossy(), e)),
        }
    }

    /// Waits until no other qus is at work on this binfmt_misc. The lock is on the root directory, which all mounts share.
    ///
    /// # Errors
    /// [`Step::Lock`], after half a minute.
    pub fn lock(&self) -> Result<Lock> {
        let failed = |why: std::io::Error| self.error(Step::Lock, why);
        let start = Instant::now();
        let file = File::open(&self.dir).map_err(failed)?;
        loop {
            match file.try_lock() {
                // Closing the file lets go of it.
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(e)) => return Err(failed(e)),
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {}
                Err(TryLockError::WouldBlock) => return Err(failed(Errno::EAGAIN.into())),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain directory behaves as the kernel's for everything that only reads.
    fn pretended(name: &str, files: &[(&str, &str)]) -> Binfmt {
        let dir = std::env::temp_dir().join(format!("qus-binfmt-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        Binfmt::at(dir)
    }

    #[test]
    fn register_and_status_are_not_handlers() {
        let b = pretended(
            "list",
            &[
                ("register", ""),
                ("status", "enabled\n"),
                ("qemu-b", "enabled\ninterpreter /b\n"),
                ("a", "disabled\n"),
            ],
        );
        assert!(b.is_mounted().unwrap() && b.is_enabled().unwrap());
        let names: Vec<_> =
            b.entries().unwrap().into_iter().map(|e| (e.name, e.enabled, e.interpreter)).collect();
        assert_eq!(names, [("a".into(), false, String::new()), ("qemu-b".into(), true, "/b".into())]);
        assert_eq!(b.entry("qemu-c").unwrap(), None);
        std::fs::remove_dir_all(b.dir()).unwrap();
    }

    #[test]
    fn an_empty_or_missing_directory_is_not_mounted() {
        let b = pretended("empty", &[]);
        assert!(!b.is_mounted().unwrap());
        assert!(!b.remove("qemu-arm").unwrap());
        std::fs::remove_dir_all(b.dir()).unwrap();
        assert!(!b.is_mounted().unwrap());
        assert!(b.entries().is_err());
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let b = pretended("lock", &[]);
        let first = b.lock().unwrap();
        let other = b.clone();
        let waiting = std::thread::spawn(move || other.lock().map(|_| Instant::now()));
        std::thread::sleep(Duration::from_millis(50));
        let released = Instant::now();
        drop(first);
        assert!(waiting.join().unwrap().unwrap() > released);
        std::fs::remove_dir_all(b.dir()).unwrap();
    }
}
