//! Errors: the call that failed, on what, why, what to do about it, and the exit code.
//!
//! One [`Step`] for each kind of call: an errno means different things to different calls, so hints belong to the pair.
//! Messages are lower case, without a full stop, with the errno's name last.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use nix::errno::Errno;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything that was requested works.
    Done = 0,
    /// Something failed; the rest was still attempted.
    Failed = 1,
    /// Wrong usage; nothing was touched.
    Usage = 2,
    /// The handlers would not outlive this process; they were rolled back.
    WillNotLast = 3,
}

/// The call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Parsing the command line or the environment.
    Usage,
    /// `sigprocmask`.
    Block,
    /// `sigtimedwait`.
    Wait,
    /// `unshare`: leaving a namespace.
    Unshare,
    /// `mount`.
    Mount,
    /// `umount2`.
    Unmount,
    /// `open_tree`: cloning a mount.
    Clone,
    /// `inotify`: watching whether a mount is still there.
    Watch,
    /// Copying an emulator to a tmpfs.
    Copy,
    /// `symlink`.
    Link,
    /// `flock`: waiting for another qus to finish.
    Lock,
    /// Listing the handlers.
    List,
    /// `open`.
    Open,
    /// `read`, of /proc or of a file.
    Read,
    /// Checking an emulator: its ELF header, its digest.
    Check,
    /// Writing a rule to `register`.
    Register,
    /// Writing `-1` to a handler.
    Remove,
    /// Writing `0` to a handler.
    Disable,
    /// Making the handlers outlive this process.
    Keep,
    /// Executing a program of the architecture.
    Prove,
    /// Writing a file, or the output.
    Write,
    /// `execve`.
    Exec,
}

/// A failed call. Boxed, because most functions return one: a pointer is cheaper to pass on than the strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Failure>);

/// What an [`Error`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The call.
    pub step: Step,
    /// The path, handler or target.
    pub on: String,
    /// The reason.
    pub why: Cause,
    /// What to do about it, if known.
    pub hint: Option<String>,
}

/// The reason for a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel's answer.
    Errno(Errno),
    /// What qus found.
    Found(String),
}

impl Error {
    /// A failure, with the usual hint for that call and errno.
    pub fn new(step: Step, on: impl Into<String>, why: impl Into<Cause>) -> Self {
        Self::of(step, on.into(), why.into())
    }

    /// The same, on a path.
    pub(crate) fn at(step: Step, path: &Path, why: impl Into<Cause>) -> Self {
        Self::of(step, path.display().to_string(), why.into())
    }

    /// Not generic, so that it is compiled once.
    #[inline(never)]
    fn of(step: Step, on: String, why: Cause) -> Self {
        let hint =
            if let Cause::Errno(errno) = &why { usual_hint(step, *errno).map(str::to_owned) } else { None };
        Self(Box::new(Failure { step, on, why, hint }))
    }

    /// A usage error.
    pub fn usage(why: impl Into<String>) -> Self {
        Self::new(Step::Usage, "", Cause::Found(why.into()))
    }

    /// The kernel's answer, or EIO.
    pub(crate) fn errno(&self) -> Errno {
        if let Cause::Errno(errno) = self.why { errno } else { Errno::EIO }
    }

    /// Replaces the hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.maybe_hint(Some(hint.into()))
    }

    /// Adds a hint if there is none.
    #[must_use]
    pub(crate) fn or_hint(self, hint: &str) -> Self {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }

    /// Replaces the hint, or removes it.
    #[must_use]
    #[inline(never)]
    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Says what it is about in another way.
    #[must_use]
    pub(crate) fn about(mut self, on: &str) -> Self {
        on.clone_into(&mut self.on);
        self
    }

    /// The line for stderr, with the hint on the same line: many tools show only the last line of a failed command.
    #[must_use]
    pub fn line(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("; hint: {}", printable(hint)));
        format!("qus: {self}{}\n", hint.unwrap_or_default())
    }

    /// The exit code for this failure.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.step {
            Step::Usage => Exit::Usage,
            Step::Keep | Step::Clone => Exit::WillNotLast,
            _ => Exit::Failed,
        }
    }
}

/// The hint for a call and its errno (docs/kernel.md has the measurements).
const fn usual_hint(step: Step, errno: Errno) -> Option<&'static str> {
    Some(match (step, errno) {
        (Step::Mount | Step::Unshare | Step::Unmount, Errno::EPERM | Errno::EACCES) => {
            "run as root, or run the container with --privileged or --cap-add SYS_ADMIN \
             (on AppArmor hosts also --security-opt apparmor=unconfined)"
        }
        (Step::Watch, Errno::EMFILE) => {
            "raise the sysctls fs.inotify.max_user_instances and user.max_inotify_instances"
        }
        (Step::Watch, Errno::ENOSPC) => {
            "raise the sysctls fs.inotify.max_user_watches and user.max_inotify_watches"
        }
        (Step::Unshare, Errno::ENOSPC) => {
            "a limit is reached: the sysctl user.max_mnt_namespaces or user.max_user_namespaces, or 32 in one another"
        }
        (Step::Register | Step::Remove | Step::Disable | Step::Lock, Errno::EPERM | Errno::EACCES) => {
            "only the root user of the user namespace that owns this binfmt_misc may write to it: \
             run as root, or with --privileged"
        }
        (Step::Register | Step::Remove | Step::Disable | Step::Lock, Errno::EROFS) => {
            "binfmt_misc is mounted read-only: run with --privileged, or mount it read-write"
        }
        (Step::Register, Errno::EEXIST) => "another tool has just registered that name; run again",
        (Step::Register, Errno::ENOSPC) => {
            "the kernel's limit on handlers with flag F is reached: remove some, or raise the sysctl in /proc/sys/fs"
        }
        (Step::Register | Step::Exec | Step::Prove, Errno::ETXTBSY) => {
            "the file is open for writing: run again when it is complete"
        }
        (Step::Exec, Errno::EACCES) => {
            "check that it is executable, and that its file system is not mounted noexec"
        }
        (Step::Register, Errno::EINVAL) => "the kernel rejects this rule; `qus install --dry-run` shows it",
        // Of fork.
        (Step::Prove | Step::Register | Step::Mount | Step::Unshare | Step::Exec, Errno::EAGAIN) => {
            "a limit on processes is reached: `ulimit -u`, or that of its container (--pids-limit) or unit (TasksMax=)"
        }
        (Step::Lock, Errno::EAGAIN) => "another qus is running on this host; run again when it has finished",
        _ => return None,
    })
}

/// Escapes control characters as Rust does. Handlers and files may have any name, which must neither command the terminal nor
/// pass for another line.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    // Also those that change the direction of writing: the text would read as another.
    let is_misleading =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(is_misleading) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_misleading(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// A word of a command line, quoted for a shell if it must be; none for one with a quote or with what isn't shown as it is.
pub(crate) fn quoted(word: &str) -> Option<Cow<'_, str>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Some(Cow::Borrowed(word));
    }
    let is_shown =
        !word.contains(['\'', char::REPLACEMENT_CHARACTER]) && matches!(printable(word), Cow::Borrowed(_));
    is_shown.then(|| Cow::Owned(format!("'{word}'")))
}

impl Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
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
            Step::Block => "block",
            Step::Wait => "wait for",
            Step::Unshare => "unshare",
            Step::Mount => "mount",
            Step::Unmount => "unmount",
            Step::Clone => "clone",
            Step::Watch => "watch",
            Step::Copy => "copy",
            Step::Link => "link",
            Step::Lock => "lock",
            Step::List => "list the handlers in",
            Step::Open => "open",
            Step::Read => "read",
            Step::Check => "use",
            Step::Register => "register",
            Step::Remove => "remove",
            Step::Disable => "disable",
            Step::Keep => "keep",
            Step::Prove => "run",
            Step::Write => "write",
            Step::Exec => "execute",
        };
        write!(f, "cannot {doing} {}: {}", printable(&self.on), self.why)
    }
}

impl std::error::Error for Error {}

/// A result with that error.
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
