//! What failed, on what, why, what to do about it, and the exit code that says so.
//!
//! One variant per failing step: the same errno means different things at different steps, so the hint belongs to the pair.
//! Messages are lower case, without a full stop, the errno's name last.

use std::borrow::Cow;
use std::fmt;

use nix::errno::Errno;

/// How a run ended. The numbers are the contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All that was asked for is now true.
    Done = 0,
    /// Something failed; the rest was still attempted.
    Failed = 1,
    /// Wrong usage; nothing was touched.
    Usage = 2,
    /// It works, but would not outlive this process; rolled back.
    WillNotLast = 3,
}

/// The step that failed: the call, so that the message is the call's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Parsing the command line or the environment.
    Usage,
    /// Reading what the kernel says of this process and its mounts.
    Inspect,
    /// Blocking signals, or waiting for them.
    Signal,
    /// `unshare`: leaving a namespace.
    Unshare,
    /// `mount`.
    Mount,
    /// `umount2`.
    Unmount,
    /// `inotify`: watching whether a mount is still there.
    Watch,
    /// Copying an emulator into memory.
    Copy,
    /// Waiting for another qus to finish.
    Lock,
    /// Reading the handlers that are registered.
    List,
    /// Opening or reading an emulator or the directory of them.
    Open,
    /// Checking an emulator: its ELF header, its digest.
    Check,
    /// Writing a line to `register`.
    Register,
    /// Writing `-1` or `0` to a handler.
    Remove,
    /// Making the handlers outlive this process.
    Keep,
    /// Executing a program of that architecture.
    Prove,
    /// Writing a configuration file, or the output.
    Write,
    /// Executing another program in our place.
    Exec,
}

/// A failed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which step it was.
    pub step: Step,
    /// The path, handler or target that it was about.
    pub on: String,
    /// Why: the kernel's answer, or what we saw.
    pub why: Cause,
    /// What the user can do about it, where that is known.
    pub hint: Option<String>,
}

/// The reason of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel refused.
    Errno(Errno),
    /// Something that we found out ourselves.
    Found(String),
}

impl Error {
    /// A failure with the hint that fits it, if there is one.
    pub fn new(step: Step, on: impl Into<String>, why: impl Into<Cause>) -> Self {
        Self::of(step, on.into(), why.into())
    }

    /// Once, however many types it is made from.
    #[inline(never)]
    fn of(step: Step, on: String, why: Cause) -> Self {
        let hint =
            if let Cause::Errno(errno) = &why { usual_hint(step, *errno).map(str::to_owned) } else { None };
        Self { step, on, why, hint }
    }

    /// A wrong command line.
    pub fn usage(why: impl Into<String>) -> Self {
        Self::new(Step::Usage, "", Cause::Found(why.into()))
    }

    /// The same failure with this hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The line for stderr. The hint is on the same line: many tools show only the last one of a command that failed.
    #[must_use]
    pub fn line(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("; hint: {}", printable(hint)));
        format!("qus: {self}{}\n", hint.unwrap_or_default())
    }

    /// The exit code that this failure asks for.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self.step {
            Step::Usage => Exit::Usage,
            Step::Keep => Exit::WillNotLast,
            _ => Exit::Failed,
        }
    }
}

/// What people need to know when the kernel gives this answer at this step (docs/kernel.md has the measurements).
const fn usual_hint(step: Step, errno: Errno) -> Option<&'static str> {
    Some(match (step, errno) {
        (Step::Mount | Step::Unshare | Step::Unmount, Errno::EPERM | Errno::EACCES) => {
            "run as root, or the container with --privileged or --cap-add SYS_ADMIN \
             (on AppArmor hosts also --security-opt apparmor=unconfined)"
        }
        (Step::Mount | Step::List, Errno::ELOOP) => {
            "the automount there is dead: on the host, run `systemctl restart proc-sys-fs-binfmt_misc.automount`"
        }
        (Step::Watch, Errno::EMFILE) => "raise the sysctl fs.inotify.max_user_instances",
        (Step::Register | Step::Remove | Step::Lock, Errno::EPERM | Errno::EACCES) => {
            "only the root of the namespace that owns this binfmt_misc may write to it: run as root, or with --privileged"
        }
        (Step::Register | Step::Remove | Step::Lock, Errno::EROFS) => {
            "it is mounted read-only: run with --privileged, or mount it read-write"
        }
        (Step::Register, Errno::EEXIST) => "another tool registered that name at the same moment; run again",
        (Step::Register, Errno::ENOSPC) => {
            "the kernel's limit on handlers with flag F is reached: remove some, or raise its sysctl under /proc/sys/fs"
        }
        (Step::Register, Errno::EINVAL) => "the kernel does not accept this line; --dry-run shows it",
        (Step::Lock, Errno::EAGAIN) => "another qus is at work on this host; run again when it has finished",
        _ => return None,
    })
}

/// The text as it may be shown: handlers and files may be called anything, and what a terminal takes for a command, or a
/// reader for another line, is shown as Rust would write it.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    // Besides control characters, those that turn the direction of writing: what is read would not be what stands there.
    let is_misleading =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(is_misleading) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_misleading(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        error
            .raw_os_error()
            .map_or_else(|| Self::Found(error.to_string()), |n| Self::Errno(Errno::from_raw(n)))
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::Found(text)
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self::Found(text.to_owned())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => write!(f, "{} ({errno:?})", errno.desc()),
            Self::Found(text) => f.write_str(&printable(text)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.step {
            Step::Usage => return self.why.fmt(f),
            Step::Inspect => "read",
            Step::Signal => "wait for",
            Step::Unshare => "unshare",
            Step::Mount => "mount",
            Step::Unmount => "unmount",
            Step::Watch => "watch",
            Step::Copy => "copy",
            Step::Lock => "lock",
            Step::List => "list the handlers in",
            Step::Open => "open",
            Step::Check => "use",
            Step::Register => "register",
            Step::Remove => "remove",
            Step::Keep => "keep",
            Step::Prove => "run",
            Step::Write => "write",
            Step::Exec => "execute",
        };
        write!(f, "cannot {doing} {}: {}", printable(&self.on), self.why)
    }
}

impl std::error::Error for Error {}

/// The result of a step.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_on_what_why_and_what_to_do() {
        let e = Error::new(Step::Register, "qemu-s390x", Errno::EROFS);
        assert_eq!(e.to_string(), "cannot register qemu-s390x: Read-only file system (EROFS)");
        let line = e.clone().hint("run it\nas root").line();
        assert_eq!(line, format!("qus: {e}; hint: run it\\nas root\n"));
        assert_eq!(Error::usage("unknown option --frob").line(), "qus: unknown option --frob\n");
    }

    #[test]
    fn the_step_decides_the_exit_code() {
        assert_eq!(Error::usage("x").exit(), Exit::Usage);
        assert_eq!(Error::new(Step::Keep, "handlers", "gone").exit() as u8, 3);
        assert_eq!(Error::new(Step::Mount, "binfmt_misc on /x", Errno::EPERM).exit(), Exit::Failed);
    }
}
