//! Finds the binfmt_misc of the user namespace of this process.
//!
//! Since Linux 6.7, each user namespace may have its own instance. An exec uses that of the nearest namespace that ever mounted one,
//! so from its first mount on, a namespace no longer sees the outer handlers. qus never takes an outer instance for its own, and
//! doesn't mount one that would hide handlers, unless their targets are registered in it as well.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;

use crate::arch::Arch;
use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::error::{Cause, Error, Result, Step};
use crate::host::{self, Confinement};
use crate::mounts::{self, Instance};
use crate::probe::{self, RanBy, Verdict};
use crate::rule::{Entry, Match};
use crate::sys;

/// `PROC_PID_INIT_INO` in include/linux/proc_ns.h: the inode of the initial PID namespace.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// `PROC_USER_INIT_INO` there: that of the initial user namespace. Its users don't tell it: systemd's `PrivateUsers=full` has as many.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What outer handlers run.
#[derive(Default)]
pub(crate) struct Outer {
    /// Architectures.
    pub(crate) arches: Vec<&'static Arch>,
    /// Handlers for other files, if an outer binfmt_misc is in sight.
    pub(crate) others: Vec<String>,
    /// They may be its own: what runs their programs can't be traced (kernel.yama.ptrace_scope=3, emulation).
    pub(crate) is_doubtful: bool,
}

impl Outer {
    pub(crate) const fn is_empty(&self) -> bool {
        self.arches.is_empty() && self.others.is_empty()
    }

    /// What a first mount does to them.
    pub(crate) const fn would(&self) -> &'static str {
        if self.is_doubtful { "may" } else { "would" }
    }

    /// The names of both.
    pub(crate) fn names(&self) -> String {
        let mut names: Vec<&str> = self.arches.iter().map(|arch| arch.name).collect();
        names.extend(self.others.iter().map(String::as_str));
        names.join(" ")
    }
}

/// What a user namespace has lost once it has no handlers of its own any more.
pub(crate) const STILL_HIDDEN: &str = "this user namespace still does not see the host's handlers; a new one does: \
     `podman system migrate`, or start rootless Docker again";

/// The namespaces that this process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Is this the host's mount namespace? Its mounts stay after qus exits.
    pub(crate) on_host: bool,
    /// It isn't, but the host's first process is visible (`--pid=host`), and with it that namespace, if qus may enter it.
    pub(crate) host_in_sight: bool,
    /// Is this a user namespace other than the initial one (rootless)?
    pub(crate) in_user_namespace: bool,
    /// Is its root also the root of the namespace around it?
    is_outer_root: bool,
    /// Is its root one ordinary user? So a user makes one: `unshare`, rootless engines.
    is_users: bool,
}

impl Namespaces {
    /// Reads /proc.
    ///
    /// # Errors
    /// [`Step::Read`] if /proc doesn't belong to this PID namespace.
    pub(crate) fn look() -> Result<Self> {
        host::check_proc()?;
        let inode = |path: &str| std::fs::metadata(path).map(|m| m.ino());
        let failed = |path: &'static str| move |e| Error::new(Step::Read, path, e);
        // A kernel that has no such namespaces (CONFIG_PID_NS, CONFIG_USER_NS) has no such file.
        let is_initial = |path, initial| match inode(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
            found => found.map(|inode| inode == initial).map_err(failed(path)),
        };
        let mounts = inode("/proc/self/ns/mnt").map_err(failed("/proc/self/ns/mnt"))?;
        let sees_init = is_initial("/proc/self/ns/pid", INITIAL_PID_NAMESPACE)?;
        let of_init = if sees_init { inode("/proc/1/ns/mnt").ok() } else { None };
        let in_user_namespace = !is_initial("/proc/self/ns/user", INITIAL_USER_NAMESPACE)?;
        let uid_map = if in_user_namespace {
            std::fs::read_to_string("/proc/self/uid_map").map_err(failed("/proc/self/uid_map"))?
        } else {
            String::new()
        };
        let is_outer_root = uid_map.split_whitespace().take(2).eq(["0", "0"]);
        let is_users = uid_map.split_whitespace().nth(2) == Some("1");
        let on_host = match of_init {
            Some(theirs) => theirs == mounts,
            // Without CAP_SYS_PTRACE, the namespace of process 1 is hidden, but its mounts are not.
            None => sees_init && mounts::are_shared_with("/proc/1/mountinfo"),
        };
        let on_host = on_host && !(in_user_namespace && sys::is_in_outer_mount_namespace());
        let host_in_sight = sees_init && !on_host && !in_user_namespace;
        Ok(Self { on_host, host_in_sight, in_user_namespace, is_outer_root, is_users })
    }

    /// Has an engine made this user namespace for this container alone (`--userns=auto`, `keep-id`, Docker's userns-remap)? The
    /// engine, and so its next container, is outside: it has mounted the root directory of this one there.
    pub(crate) fn is_containers_own(self) -> bool {
        let owns_root = || File::open("/").is_ok_and(|root| sys::owns_file_system(&root));
        self.in_user_namespace && !self.is_users && !owns_root()
    }

    /// Is the binfmt_misc of this user namespace mounted at `dir`? It may be an inherited outer one.
    ///
    /// # Errors
    /// [`Step::List`], [`Step::Open`], [`Step::Read`].
    pub(crate) fn is_own_mounted(self, dir: &Path) -> Result<bool> {
        if !Binfmt::at(dir).is_mounted()? {
            return Ok(false);
        }
        let root = File::open(dir).map_err(|e| Error::at(Step::Open, dir, e))?;
        // Its files belong to the root user of the namespace that mounted it, who may be root here as well.
        // In /proc there are no files that anyone has made.
        let unread = |e| Error::at(Step::Read, dir, e);
        let is_binfmt =
            dir == Path::new(USUAL_DIR) || mounts::is_binfmt(&root).map_err(|e| unread(e.into()))?;
        let is_roots = is_binfmt && root.metadata().map_err(unread)?.uid() == 0;
        Ok(is_roots && (!self.in_user_namespace || !self.is_outer_root || sys::owns_file_system(&root)))
    }

    /// What outer handlers run, which a first mount of binfmt_misc in this user namespace would end. Nothing if it has an instance
    /// already.
    ///
    /// # Errors
    /// [`Step::Prove`] if programs can't be tried; [`Step::List`], [`Step::Open`] or [`Step::Read`] if it can't be seen.
    pub(crate) fn outer(self, at: Option<&Path>) -> Result<Outer> {
        if !self.in_user_namespace {
            return Ok(Outer::default());
        }
        let unread = |e| Error::new(Step::Read, "/proc/self/mountinfo", e);
        let mut seen = mounts::mounted(Some("binfmt_misc")).map_err(unread)?;
        seen.extend([at.unwrap_or(Path::new(USUAL_DIR)).to_owned()]);
        let mut unclear = None;
        for dir in &seen {
            match self.is_own_mounted(dir) {
                Ok(true) => return Ok(Outer::default()),
                Ok(false) => {}
                Err(error) => unclear = Some(error),
            }
        }
        let Some((arches, is_doubtful)) = taken_by_outer_handlers()? else { return Ok(Outer::default()) };
        let mut others = Vec::new();
        for binfmt in seen.into_iter().map(Binfmt::at) {
            let is_binfmt =
                || File::open(binfmt.dir()).is_ok_and(|root| mounts::is_binfmt(&root) == Ok(true));
            if binfmt.is_mounted().unwrap_or(false) && is_binfmt() && binfmt.is_enabled()? {
                for entry in binfmt.entries()? {
                    let is_known = !entry.enabled || others.contains(&entry.name);
                    if !is_known && !probe::is_foreign(&entry) && is_used(&entry, at) {
                        others.push(entry.name);
                    }
                }
            }
        }
        match unclear {
            // They may be its own.
            Some(error) if !(arches.is_empty() && others.is_empty()) => Err(error),
            _ => Ok(Outer { arches, others, is_doubtful }),
        }
    }

    /// A binfmt_misc to list, mounted in a private mount namespace if necessary.
    ///
    /// # Errors
    /// [`Step::Mount`]; [`Step::List`] if a first mount would hide the outer handlers from this user namespace.
    pub(crate) fn binfmt_for_reading(self, at: Option<&Path>) -> Result<Binfmt> {
        let dir = at.unwrap_or(Path::new(USUAL_DIR));
        if self.is_own_mounted(dir)? {
            return Ok(Binfmt::at(dir));
        }
        let failed = |why: String| Error::new(Step::List, "this user namespace", why);
        let outer = self.outer(at).map_err(|unclear| {
            let what = "cannot tell whether a mount of binfmt_misc would hide the outer handlers";
            failed(format!("{what}: {unclear}")).maybe_hint(unclear.hint.clone())
        })?;
        if !outer.is_empty() {
            // Without the capability, they may as well be its own: nobody can tell.
            let mount = || mounts::enter_private_namespace().map_err(|e| e.errno());
            sys::in_child(mount)
                .map_err(|e| self.explain(Error::new(Step::Unshare, "the mount namespace", e)))?;
            let (would, names) = (outer.would(), outer.names());
            let run = if outer.is_doubtful { "seem to run" } else { "run" };
            let why = format!(
                "a first mount of binfmt_misc {would} hide the outer handlers for good, which {run} {names}"
            );
            return Err(failed(why)
                .hint("run `qus list` on the host, or where binfmt_misc of this namespace is mounted"));
        }
        self.private_binfmt(at).map(Binfmt::shown)
    }

    /// A mount of it in a private mount namespace, which ends with this process and what it executes.
    pub(crate) fn private_binfmt(self, at: Option<&Path>) -> Result<Binfmt> {
        self.private_mount(at, Instance::Own)
    }

    /// The same, or a mount of what takes its place.
    pub(crate) fn private_mount(self, at: Option<&Path>, instance: Instance) -> Result<Binfmt> {
        let mounted = mounts::enter_private_namespace().and_then(|()| {
            let at = mounts::cleared_mount_point(at)?;
            mounts::mount_instance(at, instance)?;
            Ok(Binfmt::at(at))
        });
        mounted.map_err(|e| self.explain(e))
    }

    /// Hints for EACCES, by which a security module refuses a mount, and for EPERM: in a user namespace, as before Linux 6.7, and by
    /// SELinux, which refuses capabilities.
    pub(crate) fn explain(self, error: Error) -> Error {
        let (Cause::Errno(errno), Step::Mount | Step::Unshare) = (&error.why, error.step) else {
            return error;
        };
        match (errno, Confinement::look()) {
            (Errno::EACCES, Some(Confinement { by, label, option })) => {
                error.hint(format!("{by} forbids it ({label}): run the container with {option}"))
            }
            (Errno::EPERM, _) if self.in_user_namespace => error.hint(
                "in a user namespace (rootless), this requires Linux 6.7, its root user and --privileged; or register on the host",
            ),
            (Errno::EPERM, Some(Confinement { by: "SELinux", label, option })) => error.hint(format!(
                "run as root, or run the container with --privileged, or with --cap-add SYS_ADMIN {option} (SELinux may forbid it: {label})"
            )),
            _ => error,
        }
    }
}

/// The architectures that outer handlers take, and whether they may be its own; without flag `F`, an emulator may be in other root
/// directories alone. `None` if this user namespace has an instance already: the emulator of a program that runs is on a file system
/// that it mounted, in no mount of this mount namespace, as with each anchor of qus.
///
/// # Errors
/// [`Step::Prove`] if programs can't be tried; [`Step::Read`] if /proc doesn't tell.
fn taken_by_outer_handlers() -> Result<Option<(Vec<&'static Arch>, bool)>> {
    if !probe::may_be_taken() {
        return Ok(Some((Vec::new(), false)));
    }
    let rows = probe::survey();
    if let Some((arch, verdict, _)) = probe::untried(&rows) {
        return Err(probe::failure(arch, verdict));
    }
    for (_, verdict, _) in &rows {
        // A path of an outer handler may lead to such a file system, too, but not past the mounts here.
        if let Verdict::Ran { by: RanBy::Interpreter(emulator), .. } = verdict
            && sys::owns_file_system(emulator)
            && !mounts::is_mounted_here(emulator)
                .map_err(|e| Error::new(Step::Read, "the mounts in /proc/self", e))?
        {
            return Ok(None);
        }
    }
    let is_taken = |v: &Verdict| match v {
        Verdict::Ran { by, .. } => !matches!(by, RanBy::Kernel),
        Verdict::Refused(errno) => *errno != Errno::ENOEXEC,
        _ => false,
    };
    let taken: Vec<_> =
        rows.into_iter().filter(|(_, verdict, native)| is_taken(verdict) && !native.is_yes()).collect();
    let is_untraced = |v: &Verdict| matches!(v, Verdict::Ran { by: RanBy::Unknown, .. });
    let is_doubtful = taken.iter().any(|(_, verdict, _)| is_untraced(verdict));
    Ok(Some((taken.into_iter().map(|(arch, ..)| arch).collect(), is_doubtful)))
}

/// Does a handler take what this one takes, as far as can be tried? If none does, a nearer binfmt_misc hides it already.
fn is_used(entry: &Entry, at: Option<&Path>) -> bool {
    let (name, head) = match &entry.matches {
        Match::Extension(dot) if !dot.contains(char::REPLACEMENT_CHARACTER) => (format!("x.{dot}"), vec![0]),
        Match::Magic { offset, magic, .. } => {
            let mut head = vec![0; *offset];
            head.extend_from_slice(magic);
            ("x".to_owned(), head)
        }
        _ => return true,
    };
    let at = match at.and_then(Path::to_str) {
        Some(at) => Ok(at),
        None => mounts::mount_point(),
    };
    !at.is_ok_and(|at| sys::can_start(&head, &name, at) == Err(Errno::ENOEXEC))
}
