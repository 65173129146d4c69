//! Which errors a system call can end with, and where in a run each of them is tried.

use std::collections::BTreeMap;

/// One system call of a run, and what the kernel shall answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its name.
    pub(crate) call: String,
    /// The how-manieth of that name it is.
    pub(crate) nth: usize,
    /// The answer.
    pub(crate) errno: &'static str,
    /// Its arguments, as strace shows them.
    pub(crate) shown: String,
}

impl Fault {
    /// strace's options for it.
    pub(crate) fn injected(&self) -> String {
        let Self { call, nth, errno, .. } = self;
        format!("-e trace={call} -e inject={call}:error={errno}:when={nth}")
    }
}

impl std::fmt::Display for Fault {
    /// As `QUS_TEST_FAULTS` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}  {}({}", self.call, self.errno, self.nth, self.call, self.shown)
    }
}

/// Calls, and what their manual pages and the kernel's memory management say that they may answer. The first two are those
/// that are tried if there is little time.
const ERRORS: &[(&[&str], &[&str])] = &[
    (
        &["open", "openat"],
        &["EMFILE", "EACCES", "ENOENT", "ENOMEM", "EIO", "EINTR", "ELOOP", "ENFILE", "EPERM", "EROFS"],
    ),
    (&["stat", "newfstatat", "statx", "lstat"], &["EACCES", "ENOMEM", "ENOENT", "EIO", "ELOOP"]),
    (&["fstat"], &["EIO", "ENOMEM"]),
    (&["read", "pread64"], &["EIO", "EINTR", "ENOMEM"]),
    (
        &["write", "writev"],
        &["EIO", "EINTR", "ENOSPC", "ENOMEM", "EINVAL", "EPERM", "EEXIST", "ENOENT", "EPIPE"],
    ),
    // ENOENT, of a directory that is deleted, is the end of it for the C library.
    (&["getdents64"], &["EIO", "ENOMEM"]),
    (&["lseek", "_llseek"], &["ESPIPE"]),
    (&["statfs"], &["EIO", "EACCES", "ENOSYS"]),
    (&["fstatfs"], &["EIO", "ENOSYS"]),
    (&["readlink", "readlinkat"], &["EACCES", "ENOENT", "EIO"]),
    (&["symlink", "symlinkat"], &["ENOSPC", "EACCES", "EROFS", "ENOMEM"]),
    (&["unlink"], &["EACCES", "EIO"]),
    (&["mount"], &["EPERM", "ENOMEM", "EBUSY", "EINVAL", "ENODEV", "EACCES", "ENOENT", "ENOSPC", "ELOOP"]),
    (&["umount2"], &["EPERM", "EBUSY", "EINVAL", "ENOMEM"]),
    (&["unshare"], &["EPERM", "ENOSPC", "ENOMEM", "EINVAL"]),
    (&["open_tree"], &["ENOSYS", "EPERM", "EINVAL", "EMFILE", "ENOMEM"]),
    (&["inotify_init1"], &["EMFILE", "ENOMEM"]),
    (&["inotify_add_watch"], &["ENOSPC", "ENOMEM", "EACCES"]),
    (&["ioctl"], &["EPERM"]),
    (&["pipe2"], &["EMFILE", "ENFILE", "ENOMEM"]),
    (&["memfd_create"], &["EMFILE", "EACCES", "EINVAL", "ENOMEM", "ENFILE"]),
    (&["fork", "clone", "clone3", "vfork"], &["EAGAIN", "ENOMEM"]),
    (&["execve"], &["ENOMEM", "EACCES", "EAGAIN", "EIO", "EPERM", "ENOENT", "ETXTBSY", "ELOOP"]),
    (&["wait4", "waitpid", "waitid"], &["EINTR", "ECHILD"]),
    (&["kill"], &["EPERM", "ESRCH"]),
    (&["setpgid"], &["EPERM"]),
    (&["chdir"], &["EACCES", "ENOENT"]),
    (&["getcwd"], &["ENOENT"]),
    (&["prlimit64", "getrlimit", "setrlimit"], &["EPERM"]),
    (&["ptrace"], &["EPERM", "ESRCH", "EIO"]),
    (&["flock"], &["EINTR", "ENOLCK", "EAGAIN"]),
    (&["sched_getaffinity"], &["EINVAL"]),
    (&["mmap", "mmap2", "mprotect", "mremap", "munmap", "sigaltstack", "madvise"], &["ENOMEM"]),
    (&["poll"], &["ENOMEM", "EINTR"]),
    (&["rt_sigtimedwait"], &["EINTR", "EINVAL"]),
    (&["setns"], &["EPERM", "EINVAL"]),
    (&["socket", "connect"], &["EACCES", "ENOENT"]),
];

/// Calls that change something outside of the process.
const CHANGING: &[&str] = &["execve", "write", "mount", "umount2", "unshare", "open_tree", "symlink"];

/// Calls that can't fail with good arguments, or are only made by the C library where nothing can follow. `close`, too: the
/// kernel's lets go of the descriptor whatever it answers, and strace's refusal doesn't.
const NEVER: &[&str] = &[
    "arch_prctl",
    "brk",
    "close",
    "dup2",
    "exit_group",
    "fcntl",
    "futex",
    "geteuid",
    "getegid",
    "getpid",
    "getppid",
    "gettid",
    "prctl",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "set_thread_area",
    "set_tid_address",
    "uname",
];

/// The faults to try in a run that strace has written down: every call with every error, or, where there is little time, the
/// first call of those that look alike with one error, and the last with another.
pub(crate) fn faults(trace: &str, thorough: bool) -> Vec<Fault> {
    let mut count = BTreeMap::<(&str, &str), usize>::new();
    let mut alike = BTreeMap::<String, Vec<(&str, usize, &str)>>::new();
    // It begins with the execve that is strace's own.
    for line in trace.lines().skip(1) {
        let Some((head, rest)) = line.split_once('(') else { continue };
        // Where children are followed, a line begins with a PID, and each counts for itself.
        let words: Vec<_> = head.split_whitespace().collect();
        let (pid, call) = match words[..] {
            [call] => ("", call),
            [pid, call] => (pid, call),
            _ => continue,
        };
        if !call.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let nth = *count.entry((pid, call)).and_modify(|n| *n += 1).or_insert(1);
        alike.entry(format!("{call}({}", blurred(rest))).or_default().push((call, nth, rest));
    }
    let mut faults = Vec::new();
    for same in alike.values() {
        let ends = [same.first(), same.last().filter(|_| same.len() > 1)];
        let chosen: Vec<_> =
            if thorough { same.iter().collect() } else { ends.into_iter().flatten().collect() };
        for (at, (call, nth, rest)) in chosen.into_iter().enumerate() {
            let errors = errors(call);
            let tried = match (thorough, at) {
                (true, _) => errors,
                // What these change is what can be left half done.
                _ if CHANGING.contains(call) => &errors[..errors.len().min(2)],
                (_, 0) => &errors[..errors.len().min(1)],
                _ => &errors[errors.len().saturating_sub(1).min(1)..errors.len().min(2)],
            };
            for errno in tried.iter().filter(|errno| is_plausible(errno, rest)) {
                let shown = rest.chars().take(90).collect();
                faults.push(Fault { call: (*call).to_owned(), nth: *nth, errno, shown });
            }
        }
    }
    faults
}

/// "There is no such file" is a strange answer about a handler or a directory that is there, and so are "an automount that does not
/// answer" (ELOOP) and "another's file system" (EPERM): the run would have to believe them.
fn is_plausible(errno: &str, rest: &str) -> bool {
    let is_of = |parts: &[&str]| parts.iter().any(|part| rest.contains(part));
    match errno {
        "ENOENT" => !is_of(&[
            "/anchor/qemu-",
            "/mnt/qemu-",
            "/register\"",
            "\"/qus/bin\"",
            "\"/proc/self\"",
            "\"/proc/self/ns/",
            "\"-1\"",
        ]),
        "EPERM" => !is_of(&["FITHAW"]),
        "ELOOP" => !is_of(&["/register\"", "\"/proc/self/ns/"]),
        _ => true,
    }
}

/// What a call can answer; none where it never fails. A new call wants a place in the table.
fn errors(call: &str) -> &'static [&'static str] {
    let find = |call: &str| match NEVER.contains(&call) {
        true => Some(&[][..]),
        false => ERRORS.iter().find(|(calls, _)| calls.contains(&call)).map(|row| row.1),
    };
    // On 32-bit hosts many have a second name, for longer numbers.
    let plain = ["_time64", "64", "32"].iter().find_map(|suffix| call.strip_suffix(suffix));
    let found = find(call).or_else(|| find(plain?));
    found.unwrap_or_else(|| panic!("with which errors can {call} end? say it in ERRORS or in NEVER"))
}

/// The arguments without what differs from one call to the next: numbers, addresses, what is in a buffer.
fn blurred(rest: &str) -> String {
    let arguments = rest.split(") = ").next().unwrap_or(rest);
    let mut text = String::new();
    let mut quoted = false;
    for c in arguments.chars() {
        match c {
            '"' => quoted = !quoted,
            '0'..='9' if text.ends_with('#') => continue,
            _ => {}
        }
        text.push(if c.is_ascii_digit() { '#' } else { c });
    }
    // A buffer: its beginning tells what kind it is.
    if quoted || arguments.contains("\"...") { text.chars().take(12).collect() } else { text }
}
