//! Which binfmt_misc is ours: the one of the user namespace that this process is in, whatever is mounted where.
//!
//! Since Linux 6.7 each user namespace may have an instance of its own. An exec asks the nearest namespace that ever mounted one,
//! and from the first mount on that namespace doesn't see the outer handlers any more. So qus never takes an outer instance for
//! its own, and doesn't mount where that would hide handlers, unless what they run was carried over first.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;

use crate::arch::Arch;
use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::error::{Cause, Error, Result, Step};
use crate::host::{self, Confinement};
use crate::mounts;
use crate::probe::{self, RanBy, Verdict};
use crate::sys;

/// `PROC_PID_INIT_INO` in include/linux/proc_ns.h: the inode of the initial PID namespace.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The namespaces that this process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Is our mount namespace the host's? Mounts made in it stay when we exit.
    pub(crate) on_host: bool,
    /// It isn't, but the host's first process is in sight (`--pid=host`), and with it that namespace, if we may enter it.
    pub(crate) host_in_sight: bool,
    /// Are we in a user namespace that isn't the initial one (rootless)?
    pub(crate) in_user_namespace: bool,
    /// Is its root also the root of the namespace around it?
    is_outer_root: bool,
}

impl Namespaces {
    /// Looks at /proc.
    ///
    /// # Errors
    /// [`Step::Read`], where no /proc of this PID namespace is mounted.
    pub(crate) fn look() -> Result<Self> {
        host::check_proc()?;
        let inode = |path: &str| std::fs::metadata(path).map(|m| m.ino());
        let failed = |path: &'static str| move |e| Error::new(Step::Read, path, e);
        let pids = inode("/proc/self/ns/pid").map_err(failed("/proc/self/ns/pid"))?;
        let mounts = inode("/proc/self/ns/mnt").map_err(failed("/proc/self/ns/mnt"))?;
        let sees_init = pids == INITIAL_PID_NAMESPACE;
        let of_init = if sees_init { inode("/proc/1/ns/mnt").ok() } else { None };
        let uid_map = std::fs::read_to_string("/proc/self/uid_map").map_err(failed("/proc/self/uid_map"))?;
        let in_user_namespace = !uid_map.split_whitespace().eq(["0", "0", "4294967295"]);
        let is_outer_root = uid_map.split_whitespace().take(2).eq(["0", "0"]);
        let on_host = match of_init {
            Some(theirs) => theirs == mounts,
            // Without CAP_SYS_PTRACE we may not ask for process 1's namespace, but see its mounts.
            None => sees_init && mounts::are_shared_with("/proc/1/mountinfo"),
        };
        let host_in_sight = sees_init && !on_host && !in_user_namespace;
        Ok(Self { on_host, host_in_sight, in_user_namespace, is_outer_root })
    }

    /// Is this user namespace's own binfmt_misc mounted at `dir`? An outer one may be, that this namespace has inherited.
    ///
    /// # Errors
    /// [`Step::List`], where something stands in the way.
    pub(crate) fn is_own_mounted(self, dir: &Path) -> Result<bool> {
        if !Binfmt::at(dir).is_mounted()? {
            return Ok(false);
        }
        let root = File::open(dir).map_err(|e| Error::new(Step::Open, dir.display().to_string(), e))?;
        // Its files belong to the root of the namespace that has mounted it; an outer root may be root in here, too.
        let is_roots = root.metadata().is_ok_and(|m| m.uid() == 0);
        Ok(is_roots && (!self.in_user_namespace || !self.is_outer_root || sys::owns_file_system(&root)))
    }

    /// The rows whose programs run through handlers of an outer user namespace: a first mount of binfmt_misc in this one would end
    /// that, and none where it has been mounted in this one before.
    ///
    /// Whose a handler is, is told by its emulator's file system: if one of those that run is on a file system that this user
    /// namespace has mounted, as each anchor of qus is, this namespace has an instance, and what runs, runs by that.
    ///
    /// # Errors
    /// [`Step::Prove`], where nothing can be tried.
    pub(crate) fn run_by_outer_handlers(self, at: Option<&Path>) -> Result<Vec<&'static Arch>> {
        let is_own_seen = || {
            let mut seen = mounts::mounted(Some("binfmt_misc")).into_iter().chain(at.map(Path::to_owned));
            seen.any(|dir| self.is_own_mounted(&dir).unwrap_or(false))
        };
        if !self.in_user_namespace || is_own_seen() || !probe::may_run_by_handlers() {
            return Ok(Vec::new());
        }
        let verdicts = probe::run_every();
        if let Some((arch, verdict)) = verdicts.iter().find(|(_, v)| v.is_unclear()) {
            return Err(probe::failure(arch, verdict));
        }
        let is_own = |v: &Verdict| match v {
            Verdict::Ran { by: RanBy::Interpreter(emulator), .. } => sys::owns_file_system(emulator),
            _ => false,
        };
        if verdicts.iter().any(|(_, v)| is_own(v)) {
            return Ok(Vec::new());
        }
        let by_kernel = |v: &Verdict| matches!(v, Verdict::Ran { by: RanBy::Kernel, .. });
        let others = verdicts.iter().filter(|(_, v)| v.ran() && !by_kernel(v));
        let others: Vec<&'static Arch> = others.map(|(arch, _)| *arch).collect();
        // What ran and could not be traced was run by a handler unless the kernel runs it without one.
        let natives = probe::natives(&others);
        Ok(others
            .into_iter()
            .zip(natives)
            .filter(|(_, native)| !native.is_yes())
            .map(|(arch, _)| arch)
            .collect())
    }

    /// A binfmt_misc to look at, mounted in a private namespace if none of ours is in sight.
    ///
    /// # Errors
    /// [`Step::Mount`], [`Step::List`]; the latter where a first mount would hide the outer handlers from this user namespace.
    pub(crate) fn binfmt_for_reading(self, at: Option<&Path>) -> Result<Binfmt> {
        let dir = at.unwrap_or(Path::new(USUAL_DIR));
        if self.is_own_mounted(dir)? {
            return Ok(Binfmt::at(dir));
        }
        let failed = |why: String| Error::new(Step::List, "this user namespace", why);
        let outer = self.run_by_outer_handlers(at).map_err(|Error { why, hint, .. }| {
            let why = format!("cannot tell whether looking would hide the outer handlers from it: {why}");
            Error { hint, ..failed(why) }
        })?;
        if !outer.is_empty() {
            let names: Vec<_> = outer.iter().map(|arch| arch.name).collect();
            let why = format!(
                "a first mount in it would hide the outer handlers for good, which seem to run {}",
                names.join(" ")
            );
            return Err(failed(why).hint("list them on the host, or where this namespace's own is mounted"));
        }
        self.binfmt_of_our_own(at)
    }

    /// A mount in a mount namespace of our own, that ends with this process and with what it executes.
    pub(crate) fn binfmt_of_our_own(self, at: Option<&Path>) -> Result<Binfmt> {
        let mounted = mounts::enter_private_namespace().and_then(|()| {
            let at = mounts::cleared_mount_point(at)?;
            mounts::mount_binfmt(at)?;
            Ok(Binfmt::at(at))
        });
        mounted.map_err(|e| self.explain(e))
    }

    /// Another hint helps where a security module refuses a mount (with EACCES), and in a user namespace: there, the kernel's answer
    /// is EPERM before Linux 6.7.
    pub(crate) fn explain(self, error: Error) -> Error {
        match (&error.why, error.step) {
            (Cause::Errno(Errno::EACCES), Step::Mount) => match Confinement::look() {
                Some(Confinement { by, label, option }) => {
                    error.hint(format!("{by}'s {label} forbids it: run the container with {option}"))
                }
                None => error,
            },
            (Cause::Errno(Errno::EPERM), Step::Mount | Step::Unshare) if self.in_user_namespace => error.hint(
                "this is a user namespace (rootless): it takes Linux 6.7, its root and --privileged; else register on the host",
            ),
            _ => error,
        }
    }
}
