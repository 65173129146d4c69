//! Writes files to a directory, or prints them.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access};

use crate::error::{Error, Step};
use crate::outcome::{Outcome, Report, Separator};
use crate::sys;

/// Writes files to the directory `to`, or only shows them (`dry_run`); without a directory, prints them.
pub(super) fn deliver(
    files: Vec<(String, String)>,
    separator: Separator,
    to: Option<&Path>,
    dry_run: bool,
    report: &mut Report,
) -> Outcome {
    let Some(dir) = to else {
        return Outcome::Printed { files, separator };
    };
    let (mut done, mut nameless) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let path = dir.join(name);
        let written = match dry_run {
            true => rehearse(dir, &path, &text).map(|file| nameless.extend(file)),
            false => write(&path, &text),
        };
        match written {
            Ok(()) => done.push((path, dry_run.then_some(text))),
            Err(e) => report.errors.push(Error::at(Step::Write, &path, e)),
        }
    }
    Outcome::Files { files: done }
}

/// Writes it to a file without a name, as long as that takes the place of a new one. Where there can be none, only permissions are seen.
/// Then asks whether the file there may be replaced: rmdir(2) looks whether it may remove that, before it refuses what is no directory.
fn rehearse(dir: &Path, path: &Path, text: &str) -> std::io::Result<Option<File>> {
    let there = path.symlink_metadata();
    if there.as_ref().is_ok_and(Metadata::is_dir) {
        return Err(Errno::EISDIR.into());
    }
    let mount = |path: &Path| {
        let file = open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        sys::mount_of(&file.into()).ok()
    };
    if there.is_ok() && mount(path) != mount(&dir.join(".")) {
        return Err(Errno::EBUSY.into());
    }
    let mut options = OpenOptions::new();
    let file = match options.write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(dir) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| there.is_err().then_some(file))?,
        // This file system has none, or this kernel.
        Err(e) if [libc::EOPNOTSUPP, libc::EISDIR].map(Some).contains(&e.raw_os_error()) => {
            access(dir, AccessFlags::W_OK | AccessFlags::X_OK).map(|()| None)?
        }
        Err(e) => return Err(e),
    };
    match std::fs::remove_dir(path) {
        Err(e) if ![ErrorKind::NotADirectory, ErrorKind::NotFound].contains(&e.kind()) => Err(e),
        _ => Ok(file),
    }
}

/// Writes a file atomically, by a temporary name that nobody can predict. Scripts become executable. A symlink of that name is
/// replaced, not followed.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    name.push(format!(".{}-{}.qus-new", std::process::id(), now.subsec_nanos()));
    replace(path, &path.with_file_name(name), text)
}

/// Writes a file that is named `new` at first. It must not exist: another user who may write to that directory could have put a
/// symlink there.
fn replace(path: &Path, new: &Path, text: &str) -> std::io::Result<()> {
    let mode = if text.starts_with("#!") { 0o777 } else { 0o666 };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(new)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(new, path));
    written.inspect_err(|_| {
        // The error of the write is reported instead.
        let _ = std::fs::remove_file(new);
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("qus-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_symlink_is_replaced_not_followed() {
        let d = dir("link");
        std::fs::write(d.join("mine"), "mine").unwrap();
        for link in ["a.conf", "a.qus-new", "b.c"] {
            symlink("mine", d.join(link)).unwrap();
        }
        write(&d.join("a.conf"), "new").unwrap();
        write(&d.join("b.c"), "#!new").unwrap();
        write(&d.join("b.d"), "other").unwrap();
        assert_eq!(names(&d), ["a.conf", "a.qus-new", "b.c", "b.d", "mine"]);
        for (name, text) in [("mine", "mine"), ("a.conf", "new"), ("b.c", "#!new"), ("b.d", "other")] {
            assert_eq!(std::fs::read_to_string(d.join(name)).unwrap(), text, "{name}");
        }
        assert!(!d.join("a.conf").is_symlink() && d.join("a.qus-new").is_symlink());
        assert_ne!(d.join("b.c").metadata().unwrap().permissions().mode() & 0o100, 0);
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn an_existing_temporary_file_is_neither_used_nor_removed() {
        let d = dir("way");
        std::fs::write(d.join("mine"), "mine").unwrap();
        symlink("mine", d.join("link")).unwrap();
        symlink("nowhere", d.join("dangling")).unwrap();
        for new in ["mine", "link", "dangling"] {
            let error = replace(&d.join("a"), &d.join(new), "new").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{new}");
        }
        assert_eq!(names(&d), ["dangling", "link", "mine"]);
        assert_eq!(std::fs::read_to_string(d.join("mine")).unwrap(), "mine");
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_write_that_fails_leaves_all_as_it_was() {
        let d = dir("fails");
        // A file can't replace a directory.
        std::fs::create_dir_all(d.join("there/full")).unwrap();
        assert!(write(&d.join("there"), "new").is_err());
        assert!(write(&d.join("not/there"), "new").is_err());
        assert_eq!(names(&d), ["there"]);
        std::fs::remove_dir_all(d).unwrap();
    }
}
