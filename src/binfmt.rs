//! A binfmt_misc directory: list, register, remove.
//!
//! The directory is an argument; nothing is mounted here. `status` is never written: `-1` would remove all handlers of everyone,
//! and `0` disable them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError, metadata};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::error::{Cause, Error, Result, Step};
use crate::rule::{Entry, Rule};
use crate::sys;

/// The usual mount point.
pub(crate) const USUAL_DIR: &str = "/proc/sys/fs/binfmt_misc";

/// How long to wait for another qus, which needs about a second for all targets.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// The most that the kernel shows of an entry, in bytes (`bm_entry_read` in fs/binfmt_misc.c).
const PAGE: usize = 4096;

/// A directory where binfmt_misc is mounted.
#[derive(Clone, Debug)]
pub(crate) struct Binfmt {
    dir: PathBuf,
    /// Shows that this process [looks](Self::shown).
    _look: Option<Arc<File>>,
}

/// Its file `register`, locked against every other qus, on any mount of the same binfmt_misc. Only root can open the file, so
/// nobody else can hold the lock. It holds the mount while it is open.
#[derive(Debug)]
pub(crate) struct Registrar {
    dir: PathBuf,
    register: Option<File>,
}

impl Binfmt {
    /// The one that is mounted at `dir`. No I/O.
    pub(crate) fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), _look: None }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens one of its files, and nothing that is mounted over that.
    #[inline(never)]
    fn open(&self, name: &OsStr, how: &OpenOptions) -> std::io::Result<File> {
        self.open_on(&sys::mount_of(&File::open(&self.dir)?)?, name, how)
    }

    /// The same, if the directory is on that mount.
    fn open_on(&self, mount: &str, name: &OsStr, how: &OpenOptions) -> std::io::Result<File> {
        let path = self.dir.join(name);
        let file = how.open(&path)?;
        // A read-only `status`, as WSL may have, is the same file.
        let is_it = match name == "status" {
            true => file.metadata()?.dev() == self.dir.metadata()?.dev(),
            false => sys::mount_of(&file)? == mount,
        };
        match is_it {
            true => Ok(file),
            false => Err(std::io::Error::other(format!("something else is mounted over {}", path.display()))),
        }
    }

    fn error(&self, step: Step, why: std::io::Error) -> Error {
        Error::at(step, &self.dir, why)
    }

    /// Is binfmt_misc mounted there? Triggers an automount. Where what that mounts is in another mount namespace only, the kernel says
    /// ELOOP, and nothing is mounted here.
    ///
    /// # Errors
    /// [`Step::List`].
    pub(crate) fn is_mounted(&self) -> Result<bool> {
        match self.dir.join("register").symlink_metadata() {
            Ok(_) => Ok(true),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
            Err(e) if e.raw_os_error() == Some(Errno::ELOOP as i32) => Ok(false),
            Err(e) => Err(self.error(Step::List, e)),
        }
    }

    /// Does the kernel use handlers? `false` if someone wrote `0` to `status`.
    ///
    /// # Errors
    /// [`Step::List`].
    pub(crate) fn is_enabled(&self) -> Result<bool> {
        let mut status = Vec::new();
        let opened = self.open("status".as_ref(), OpenOptions::new().read(true));
        opened.and_then(|mut file| file.read_to_end(&mut status)).map_err(|e| self.error(Step::List, e))?;
        Ok(status.starts_with(b"enabled"))
    }

    /// The names of all handlers, unsorted, of any bytes.
    ///
    /// # Errors
    /// [`Step::List`].
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        let listing = std::fs::read_dir(&self.dir).map_err(|e| self.error(Step::List, e))?;
        let names = listing.map(|item| item.map(|i| i.file_name()));
        let names = names.filter(|n| !matches!(n, Ok(name) if name == "register" || name == "status"));
        names.collect::<std::io::Result<_>>().map_err(|e| self.error(Step::List, e))
    }

    /// All handlers, sorted by name.
    ///
    /// # Errors
    /// [`Step::List`]. Handlers that vanish at the same time are left out.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = self.read(&self.names()?)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The handler of that name, if there is one.
    ///
    /// # Errors
    /// [`Step::List`].
    pub(crate) fn entry(&self, name: impl AsRef<OsStr>) -> Result<Option<Entry>> {
        Ok(self.read(&[name.as_ref().to_owned()])?.pop())
    }

    /// What the kernel shows of those of them that are there.
    fn read(&self, names: &[OsString]) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut read = || -> std::io::Result<()> {
            let mount = sys::mount_of(&File::open(&self.dir)?)?;
            for name in names {
                // A name that isn't UTF-8 can't belong to qus; its handler is shown with the bytes replaced.
                let file = self.open_on(&mount, name, OpenOptions::new().read(true));
                match file.and_then(|mut file| parse(&name.to_string_lossy(), &mut file)) {
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    read => entries.push(read?),
                }
            }
            Ok(())
        };
        match read() {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.error(Step::List, e)),
            _ => Ok(entries),
        }
    }

    /// The inode number of that entry. No two have the same.
    pub(crate) fn inode(&self, name: &str) -> Option<u64> {
        self.dir.join(name).symlink_metadata().ok().map(|metadata| metadata.ino())
    }

    /// Removes the handler of that name if `is_expected` accepts it, and returns it. Comparing and removing use one descriptor, which
    /// stays with that entry even if another one takes its name, so no lock is needed.
    pub(crate) fn remove(&self, name: &OsStr, is_expected: &dyn Fn(&Entry) -> bool) -> Result<Option<Entry>> {
        let shown = name.to_string_lossy();
        let open = || {
            let mut file = self.open(name, OpenOptions::new().read(true).write(true))?;
            parse(&shown, &mut file).map(|entry| (file, entry))
        };
        let (mut file, entry) = match open() {
            Ok(opened) => opened,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::new(Step::Remove, shown, e)),
        };
        if !is_expected(&entry) {
            return Ok(None);
        }
        file.write_all(b"-1").map_err(|e| Error::new(Step::Remove, shown, e))?;
        Ok(Some(entry))
    }

    /// Does another qus hold it, as it has the lock or [looks](Self::shown)? Not, as far as is known, if this one can't tell.
    pub(crate) fn is_in_use(&self) -> bool {
        let Ok(register) = self.register() else { return false };
        // All of the file.
        let mut look = look_at(0, 0);
        let _ = fcntl(&register, FcntlArg::F_OFD_GETLK(&mut look)); // if it fails, it is as it was
        let is_looked_at = look.l_pid == -1;
        is_looked_at || matches!(register.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// The same, and as long as it is there, every other qus can tell that its mount is one to look through, which keeps nothing:
    /// `register` has a lock of a byte that only this mount namespace takes. It lets any number of others look, and have the lock.
    pub(crate) fn shown(self) -> Self {
        let own = metadata("/proc/self/ns/mnt").map_or(0, |ns| ns.ino());
        let look = self.register().ok();
        // Where that fails, others have to trust that it is short.
        let _ = look.as_ref().map(|file| fcntl(file, FcntlArg::F_OFD_SETLK(&look_at(own.cast_signed(), 1))));
        Self { _look: look.map(Arc::new), ..self }
    }

    fn register(&self) -> std::io::Result<File> {
        self.open("register".as_ref(), OpenOptions::new().write(true))
    }

    /// Locks this binfmt_misc against every other qus, after waiting for the one that has the lock.
    ///
    /// # Errors
    /// [`Step::Lock`]: EACCES or EPERM without privileges, EROFS on a read-only mount, EAGAIN after [`LOCK_PATIENCE`].
    pub(crate) fn lock(&self) -> Result<Registrar> {
        let path = self.dir.join("register");
        let failed = |why: std::io::Error| Error::at(Step::Lock, &path, why);
        let start = Instant::now();
        let register = self.register().map_err(failed)?;
        loop {
            match register.try_lock() {
                // Closing the file unlocks it.
                Ok(()) => return Ok(Registrar { dir: self.dir.clone(), register: Some(register) }),
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(e)) => return Err(failed(e)),
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {}
                Err(TryLockError::WouldBlock) => return Err(failed(Errno::EAGAIN.into())),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A lock of that part of a file (fcntl(2)).
fn look_at(start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: start as _,
        l_len: len as _,
        l_pid: 0,
    }
}

/// Reads an entry: less than a page of the kernel's, in one piece.
fn parse(name: &str, file: &mut File) -> std::io::Result<Entry> {
    let mut page = [0; PAGE];
    let len = file.read(&mut page)?;
    Ok(Entry::parse(name, &page[..len]))
}

impl Registrar {
    /// Registers a handler, in one write.
    ///
    /// # Errors
    /// [`Step::Register`].
    pub(crate) fn register(&self, rule: &Rule) -> Result<()> {
        let line = rule.line().map_err(|u| Error::new(Step::Register, rule.name.as_str(), u.to_string()))?;
        self.write(&rule.name, &rule.interpreter, &line)
    }

    /// Registers a removed handler again, byte for byte; disabled if it was disabled.
    ///
    /// # Errors
    /// [`Step::Register`], [`Step::Disable`].
    pub(crate) fn restore(&self, entry: &Entry) -> Result<()> {
        let line =
            entry.line().map_err(|u| Error::new(Step::Register, entry.name.as_str(), u.to_string()))?;
        self.write(&entry.name, &entry.interpreter, &line)?;
        if entry.enabled {
            return Ok(());
        }
        let disabled = std::fs::write(self.dir.join(&entry.name), "0");
        disabled.map_err(|e| Error::new(Step::Disable, entry.name.as_str(), e))
    }

    /// Unlocks it, and goes on holding the mount: the file.
    pub(crate) fn unlocked(self) -> Option<File> {
        self.register.filter(|register| register.unlock().is_ok())
    }

    /// Unlocks it and releases the mount. Nothing can be registered afterwards.
    pub(crate) fn close(&mut self) {
        self.register = None;
    }

    fn write(&self, name: &str, interpreter: &str, line: &str) -> Result<()> {
        let written =
            self.register.as_ref().map_or(Err(Errno::EBADF.into()), |mut r| r.write_all(line.as_bytes()));
        written.map_err(|e| {
            let failed = |why: Cause| Error::new(Step::Register, name, why);
            match Cause::from(e) {
                Cause::Errno(Errno::ENOENT) => failed(format!("there is no {interpreter}").into()),
                // Of the interpreter: `register` is open already.
                why @ Cause::Errno(Errno::EACCES) => failed(why).hint(format!(
                    "the kernel cannot execute {interpreter}: run `chmod +x` on it, and check that its file system is not mounted noexec"
                )),
                why => failed(why),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For reading, a plain directory behaves like the kernel's.
    fn plain(name: &str, files: &[(&str, &str)]) -> Binfmt {
        let dir = std::env::temp_dir().join(format!("qus-binfmt-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        Binfmt::at(dir)
    }

    #[test]
    fn register_and_status_are_not_handlers() {
        let b = plain(
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
        let b = plain("empty", &[]);
        assert!(!b.is_mounted().unwrap());
        std::fs::remove_dir_all(b.dir()).unwrap();
        assert!(!b.is_mounted().unwrap());
        assert!(b.entries().is_err());
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let b = plain("lock", &[("register", "")]);
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
