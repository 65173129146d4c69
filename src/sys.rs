//! System calls that nix has no safe name for. The only room with `unsafe`; everything here is small and says why it is sound.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, clone, sched_getaffinity, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, signal};
use nix::unistd::{ForkResult, Gid, Pid, Uid, execvp, getegid, geteuid, getpid, pipe2};

/// What a child may take before it is killed. QEMU starts in some 10 ms; emulated twice on a busy board, in 2 s.
pub(crate) const CHILD_LIMIT: Duration = Duration::from_secs(20);

/// How long a killed child may take to die: one that waits for a dead disk doesn't, and is left behind.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Bytes of what a child prints that are of interest; who prints more is ended by SIGXFSZ.
const OUTPUT_MAX: u64 = 64 * 1024;

/// Clones the mount tree below `at` into a tree that belongs to no namespace (`open_tree(2)`, Linux 5.2).
///
/// # Errors
/// The kernel's: EPERM without CAP_SYS_ADMIN, ENOSYS before 5.2, EINVAL where a mount below is locked.
pub(crate) fn clone_tree(at: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    let flags = flags | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE).cast_unsigned();
    // SAFETY: the path is a NUL-terminated literal that the kernel only reads; the descriptor is open while `at` is borrowed.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, at.as_fd().as_raw_fd(), c"".as_ptr(), flags) };
    let fd = Errno::result(fd)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Is the file system that this file is on one whose user namespace this process is privileged in? Any other answer than yes is no.
///
/// `FITHAW` asks the kernel to thaw it, which CAP_SYS_ADMIN in the namespace that mounted it allows (ioctl_fsthaw in fs/ioctl.c);
/// what is not frozen gives EINVAL then, EPERM before, and stays as it is.
pub(crate) fn owns_file_system(file: &File) -> bool {
    /// `_IOWR('X', 120, int)` in include/uapi/linux/fs.h.
    const FITHAW: u32 = 0xC004_5878;
    // SAFETY: the kernel takes no third argument for this request; the descriptor is open while `file` is borrowed.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), FITHAW as _, 0) };
    answer == 0 || Errno::last() == Errno::EINVAL
}

/// An executable file in memory that holds `bytes`.
///
/// # Errors
/// The kernel's: EACCES where the sysctl `vm.memfd_noexec` forbids it, ENOMEM, EMFILE.
pub(crate) fn program_in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = file_in_memory(c"qus-probe", MFdFlags::from_bits_retain(libc::MFD_EXEC))?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Kernels before 6.3 do not know the flags that say whether it shall be executable; later ones want to be told.
fn file_in_memory(name: &CStr, flags: MFdFlags) -> Result<File, Errno> {
    let created = memfd_create(name, flags);
    created.or_else(|_| memfd_create(name, flags & MFdFlags::MFD_CLOEXEC)).map(File::from)
}

/// Bytes of stack for a child that makes a few system calls.
const CHILD_STACK: usize = 16 * 1024;

/// Starts `program` with that `argv[0]`, no further arguments and no environment, traced by us; the child, and why it could not
/// execute that, if so.
///
/// Where tracing works, the child stops with SIGTRAP once its new program is in place and must be detached from. Where it
/// does not (under qemu-user), the child just goes on. It has to be waited for with [`wait_for_change`].
///
/// # Errors
/// The kernel's answer to clone and pipe2: EAGAIN, ENOMEM, EMFILE.
pub(crate) fn spawn_traced(program: &File, argv0: u8) -> Result<(Pid, Option<Errno>), Errno> {
    let path = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    let argv0 = [argv0, 0];
    let argv0 = CStr::from_bytes_with_nul(&argv0).map_err(|_| Errno::EINVAL)?;
    spawn(&path, &[argv0], Io::Traced)
}

/// What a program prints to stdout that is given these arguments, the first of which is its `argv[0]`, and no environment.
///
/// # Errors
/// Those of starting it; ETIMEDOUT where it took longer than that, EIO where it failed, or printed too much.
pub(crate) fn output_of(program: &Path, arguments: &[&CStr], until: Instant) -> std::io::Result<Vec<u8>> {
    // Not a pipe: whoever inherits that could keep it open after the program has ended.
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let mut output = file_in_memory(c"qus-output", flags)?;
    let path = CString::new(std::path::absolute(program)?.as_os_str().as_bytes())?;
    let (child, refused) = spawn(&path, arguments, Io::Output(output.as_raw_fd()))?;
    let code = wait_for_end(child, until)?;
    match refused {
        Some(errno) => return Err(errno.into()),
        None if code != 0 => return Err(Errno::EIO.into()),
        None => {}
    }
    let mut bytes = Vec::new();
    output.rewind()?;
    output.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The exit status of an open file that is executed with these arguments.
///
/// # Errors
/// As [`output_of`], but for how it exits.
pub(crate) fn exit_code_of(program: &File, arguments: &[&CStr], until: Instant) -> Result<i32, Errno> {
    let path = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    let (child, refused) = spawn(&path, arguments, Io::None)?;
    let code = wait_for_end(child, until)?;
    refused.map_or(Ok(code), Err)
}

/// Can any of these programs be executed? One child tries them, which costs a fraction of a child for each.
///
/// # Errors
/// Of starting it; what the kernel answers to one of them, if that isn't ENOEXEC.
pub(crate) fn executes_any(programs: Vec<Vec<u8>>, until: Instant) -> std::io::Result<bool> {
    let file = program_in_memory(b"")?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let contents: Vec<_> = programs.into_iter().map(|bytes| (file.as_raw_fd(), bytes)).collect();
    let (child, refused) = spawn_any(&path, &[c"qus"], Io::None, &contents)?;
    // However one ends, it was executed.
    let _ = wait_for_end(child, until);
    match refused {
        Some(Errno::ENOEXEC) => Ok(false),
        Some(errno) => Err(errno.into()),
        None => Ok(true),
    }
}

/// How many processors this process may use.
pub(crate) fn processors() -> usize {
    let set = sched_getaffinity(Pid::from_raw(0));
    set.map_or(1, |set| (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count())
}

/// Executes a program in our place, looked for in PATH, with signals as they are by default; returns only if that fails.
pub(crate) fn exec(program: &OsStr, arguments: &[OsString]) -> std::io::Error {
    let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    let words: Vec<_> = match words.map(|word| CString::new(word.as_bytes())).collect() {
        Ok(words) => words,
        Err(error) => return error.into(),
    };
    // SAFETY: no handler is installed. Rust's runtime ignores SIGPIPE, and what was blocked was so for this program's sake.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    let _ = SigSet::empty().thread_set_mask();
    match execvp(&words[0], &words) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// What is special about a child.
#[derive(Clone, Copy)]
enum Io {
    /// Nothing: what it prints is lost.
    None,
    /// The same, and it is traced.
    Traced,
    /// What it prints goes to this file.
    Output(RawFd),
}

/// Starts a program; the child, and why it could not be executed, if so. We stand still until it has done one or the other, as
/// with vfork(2): a copy of our memory would cost more than all that it does.
fn spawn(path: &CStr, arguments: &[&CStr], io: Io) -> Result<(Pid, Option<Errno>), Errno> {
    spawn_any(path, arguments, io, &[])
}

/// The same; where there are contents, the file is given each of them in turn, until one can be executed.
fn spawn_any(
    path: &CStr,
    arguments: &[&CStr],
    io: Io,
    contents: &[(RawFd, Vec<u8>)],
) -> Result<(Pid, Option<Errno>), Errno> {
    let arguments: Vec<_> =
        arguments.iter().map(|a| a.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
    // Closed by execve. It is no matter of memory that we share: qemu-user makes a fork of what follows.
    let (answer, refusal) = pipe2(OFlag::O_CLOEXEC)?;
    let parent = getpid();
    let child = || {
        // SAFETY: this is a child that only goes on to execve, the strings are NUL-terminated and the list of them ends with
        // NULL; all of it was prepared by the parent, which waits.
        let errno = unsafe {
            confine(parent, io);
            let mut errno = if contents.is_empty() { execute(path, &arguments) } else { libc::ENOEXEC };
            for (file, bytes) in contents {
                if errno != libc::ENOEXEC {
                    break;
                }
                libc::ftruncate(*file, 0);
                libc::pwrite(*file, bytes.as_ptr().cast(), bytes.len(), 0);
                errno = execute(path, &arguments);
            }
            errno
        };
        let errno = errno.to_ne_bytes();
        // SAFETY: `errno` lives during the calls. The second doesn't return, and neither runs code of ours.
        unsafe {
            libc::write(refusal.as_raw_fd(), errno.as_ptr().cast(), errno.len());
            libc::_exit(1)
        }
    };
    let mut stack = [0; CHILD_STACK];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: this thread waits until the child has left our memory (CLONE_VFORK), so the stack and all that `child` refers to
    // outlive its use of them. The child only makes system calls on memory that was prepared before: nothing is allocated, no
    // lock is taken, no destructor runs, and it leaves by execve or _exit. The one thing of ours that it changes is errno:
    // handlers of signals are not shared (CLONE_SIGHAND).
    let pid = unsafe { clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) }?;
    drop(refusal);
    let mut errno = [0; size_of::<i32>()];
    let refused = File::from(answer).read_exact(&mut errno).is_ok();
    Ok((pid, refused.then(|| Errno::from_raw(i32::from_ne_bytes(errno)))))
}

/// What has become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has exited with this status.
    Exited(i32),
    /// This signal has ended it.
    Died(i32),
    /// It is traced, and stands still because of this signal.
    Stopped(i32),
}

/// Waits until one of these children of this thread has changed; `None` when the time is over. When one has ended, so has all
/// that it had started, unless that has left its process group.
///
/// The clock is the parent's: a child, and whoever starts us, can ignore or block SIGALRM.
///
/// # Errors
/// The kernel's, but not EINTR.
pub(crate) fn wait_for_change(children: &[Pid], until: Instant) -> Result<Option<(Pid, Change)>, Errno> {
    /// Another thread, which doesn't block it, may take the signal. It is only a hint that something has happened.
    const GLANCE: Duration = Duration::from_millis(100);
    // Blocked before we look: what happens after that is not missed.
    let old = SigSet::from(Signal::SIGCHLD).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let changed = loop {
        let look = |child: &Pid| change_of(*child).map(|c| c.map(|c| (*child, c))).transpose();
        let left = until.saturating_duration_since(Instant::now());
        match children.iter().find_map(look) {
            Some(changed) => break changed.map(Some),
            None if left.is_zero() => break Ok(None),
            None => match wait_for(&[Signal::SIGCHLD], left.min(GLANCE)) {
                Ok(_) => {}
                Err(errno) => break Err(errno),
            },
        }
    };
    old.thread_set_mask()?;
    changed
}

fn change_of(child: Pid) -> Result<Option<Change>, Errno> {
    let id = child.as_raw().cast_unsigned();
    // Children of other threads are theirs: a tracer is a thread.
    let flags = libc::WNOHANG | libc::__WNOTHREAD;
    let mut status = 0;
    // SAFETY: plain old data, for which zeros are valid; the kernel, or qemu-user, leaves them where nothing has happened.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is ours to write to during the call.
    let looked =
        unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags | libc::WEXITED | libc::WNOWAIT) };
    match Errno::result(looked) {
        Ok(_) if info.si_code == 0 => return Ok(None),
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    // While it is not reaped, nobody else's group can have its number.
    if [libc::CLD_EXITED, libc::CLD_KILLED, libc::CLD_DUMPED].contains(&info.si_code) {
        let _ = killpg(child, Signal::SIGKILL);
    }
    // SAFETY: `status` is ours to write to during the call.
    let reaped = unsafe { libc::waitpid(child.as_raw(), &raw mut status, flags) };
    Ok(match Errno::result(reaped) {
        Ok(0) | Err(Errno::EINTR) => None,
        Err(errno) => return Err(errno),
        Ok(_) if libc::WIFEXITED(status) => Some(Change::Exited(libc::WEXITSTATUS(status))),
        Ok(_) if libc::WIFSIGNALED(status) => Some(Change::Died(libc::WTERMSIG(status))),
        Ok(_) => Some(Change::Stopped(libc::WSTOPSIG(status))),
    })
}

/// Kills a child and all that it has started.
pub(crate) fn end(child: Pid) {
    // It may have left its own group; and either may be gone.
    let _ = killpg(child, Signal::SIGKILL);
    let _ = kill(child, Signal::SIGKILL);
}

/// Waits for a child to end, and kills it when the time is over; its exit status.
fn wait_for_end(child: Pid, mut until: Instant) -> Result<i32, Errno> {
    let mut late = false;
    loop {
        match wait_for_change(&[child], until)? {
            Some((_, Change::Exited(code))) => return Ok(code),
            Some((_, Change::Died(_))) if !late => return Err(Errno::EINTR),
            Some((_, Change::Stopped(_))) => {}
            _ if late => return Err(Errno::ETIMEDOUT),
            _ => {
                end(child);
                (late, until) = (true, Instant::now() + KILL_LIMIT);
            }
        }
    }
}

/// Does something while neither we nor what we start is given huge pages: a short-lived QEMU uses a few kilobytes of the buffer
/// for which it asks for them, and the kernel would clear 2 MB each time, a tenth of what its start costs.
pub(crate) fn without_huge_pages<T>(work: impl FnOnce() -> T) -> T {
    // Where the kernel can't say, or somebody has decided so before, nothing is changed.
    let is_ours = matches!(prctl::get_thp_disable(), Ok(false)) && prctl::set_thp_disable(true).is_ok();
    let done = work();
    if is_ours {
        // A refusal would only cost what we start later some speed.
        let _ = prctl::set_thp_disable(false);
    }
    done
}

/// Lets a child that stands at a trace stop go on, with that signal if there is one; it is not traced any longer.
///
/// # Errors
/// ESRCH where it has died meanwhile.
pub(crate) fn detach(child: Pid, signal: Option<i32>) -> Result<(), Errno> {
    let signal = libc::c_long::from(signal.unwrap_or(0));
    // SAFETY: the call has no pointers. (nix has a name for it, which doesn't compile for s390x with musl.)
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_DETACH, child.as_raw(), 0, signal) }).map(drop)
}

/// Does something in a child, and waits for it: what it changes of itself (namespaces, directories) ends with it.
///
/// # Errors
/// What `work` answers; fork's errors; EINTR where a signal ended the child, ETIMEDOUT where it took longer than [`CHILD_LIMIT`].
pub(crate) fn in_child(work: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    match run_in_child(|| work().map_or_else(|errno| errno as i32, |()| 0))? {
        0 => Ok(()),
        code => Err(Errno::from_raw(code)),
    }
}

/// The exit status of a child that does `work` and exits with what that returns, or executes another program.
fn run_in_child(work: impl FnOnce() -> i32) -> Result<i32, Errno> {
    let parent = getpid();
    // SAFETY: no other thread of ours is running: those that hash have been joined before anything is mounted or registered,
    // so no lock can be held that the child would wait for. It leaves by _exit: nothing of the parent's is flushed twice.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => wait_for_end(child, Instant::now() + CHILD_LIMIT),
        ForkResult::Child => {
            // SAFETY: this is a child, and nothing else runs in it.
            unsafe { confine(parent, Io::None) };
            let code = work();
            // SAFETY: it doesn't return, and runs no code of ours.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Executes `program` from a set-uid file that `owner` owns, on a tmpfs that is mounted on `at` for that only; its exit status.
///
/// # Errors
/// Of fork. What fails in the child is its exit status: an errno.
pub(crate) fn run_set_uid(program: &[u8], argv0: u8, owner: u32, at: &str) -> Result<i32, Errno> {
    run_in_child(|| match set_uid_program(program, owner, at) {
        Ok(path) => {
            let argv0 = [argv0, 0];
            // SAFETY: this is a child; the strings are NUL-terminated, and the list of them ends with NULL.
            unsafe { execute(&path, &[argv0.as_ptr().cast(), std::ptr::null()]) }
        }
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    })
}

fn set_uid_program(program: &[u8], owner: u32, at: &str) -> std::io::Result<CString> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("qus"), at, Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755,size=64k"))?;
    let path = format!("{at}/probe");
    std::fs::write(&path, program)?;
    std::os::unix::fs::chown(&path, Some(owner), None)?;
    // Only now: a change of owner clears the set-uid bit.
    std::fs::set_permissions(&path, Permissions::from_mode(0o4755))?;
    Ok(CString::new(path)?)
}

/// Executes a program with these arguments and no environment; returns the errno where that fails.
///
/// # Safety
/// Only for a child that has nothing else to do; `arguments` are pointers to strings that end with NUL, then NULL.
unsafe fn execute(path: &CStr, arguments: &[*const libc::c_char]) -> i32 {
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: `path` ends with NUL, `environment` with NULL; the caller vouches for `arguments`. The kernel only reads them.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last_raw()
}

/// Can this process, or a set-uid program that it executes, gain privileges?
pub(crate) fn has_no_new_privileges() -> bool {
    prctl::get_no_new_privs().unwrap_or(false)
}

/// Has the kernel keep our children until we have asked how they ended. A caller that ignores SIGCHLD has us inherit that, and
/// then it keeps none.
pub(crate) fn keep_ended_children() {
    // SAFETY: no handler can run, neither before nor after: the signal was ignored, or as it is by default.
    let done = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    // It fails for numbers that are no signal's.
    debug_assert!(done.is_ok());
}

/// From now on these signals wait until [`wait_for`] takes them. Children inherit that.
pub(crate) fn block(signals: &[Signal]) -> Result<(), Errno> {
    signals.iter().copied().collect::<SigSet>().thread_block()
}

/// Waits for one of these signals, which are to be blocked; `None` when the time is over.
///
/// # Errors
/// The kernel's, but not EINTR.
pub(crate) fn wait_for(signals: &[Signal], at_most: Duration) -> Result<Option<Signal>, Errno> {
    let set: SigSet = signals.iter().copied().collect();
    let timeout = libc::timespec {
        tv_sec: at_most.as_secs().try_into().map_err(|_| Errno::EINVAL)?,
        // Below 10⁹: it fits wherever C's long has 32 bits.
        tv_nsec: at_most.subsec_nanos() as libc::c_long,
    };
    // SAFETY: both structures live during the call, which only reads them; there is no siginfo to write to.
    match unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &raw const timeout) } {
        -1 if [Errno::EAGAIN, Errno::EINTR].contains(&Errno::last()) => Ok(None),
        -1 => Err(Errno::last()),
        number => Signal::try_from(number).map(Some),
    }
}

/// Enters a new user namespace in which we are root, and nobody else is anybody. Returns the user and the group that we were.
///
/// # Errors
/// EPERM, ENOSPC or EUSERS where the host doesn't allow it.
pub(crate) fn enter_user_namespace() -> std::io::Result<(Uid, Gid)> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    map_ids((0, uid.as_raw()), (0, gid.as_raw()))?;
    Ok((uid, gid))
}

/// From there, enters another one, in which we are that user and group again. Capabilities last until we execute something.
pub(crate) fn return_to_user(uid: Uid, gid: Gid) -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    map_ids((uid.as_raw(), 0), (gid.as_raw(), 0))
}

/// Writes maps of one user and one group, (inside, outside) of the namespace (user_namespaces(7)).
fn map_ids(user: (u32, u32), group: (u32, u32)) -> std::io::Result<()> {
    // Without it, the kernel lets nobody but root write a map of groups.
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{} {} 1", user.0, user.1))?;
    std::fs::write("/proc/self/gid_map", format!("{} {} 1", group.0, group.1))
}

/// What a child does first, so that it is heard of no more when it has ended, or we have, and begins as if from a clean shell:
///
/// - a process group of its own, by which all that it starts can be killed; and it is killed when we die;
/// - no input, and no output but what is asked for: what a broken QEMU prints is not a result of ours;
/// - no core: the kernel's coredump code takes a limit of 1 for none at all, also where `core_pattern` is a pipe (fs/coredump.c,
///   `do_coredump`), and a QEMU that writes one itself finds that nobody can make a file in /proc;
/// - no signal that is blocked or ignored by whoever started us.
///
/// # Safety
/// Only for a child between fork and exec: other code may be using what it changes. Where that shares our memory, it makes
/// system calls only.
unsafe fn confine(parent: Pid, io: Io) {
    // SAFETY: plain system calls on literal paths, numbers and variables of this function. What can't be had (a seccomp filter,
    // no /dev/null) is done without. The handlers of signals that it resets are the child's own, and none runs.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // 0: we are outside of the PID namespace that children are born into.
        if ![parent.as_raw(), 0].contains(&libc::getppid()) {
            libc::_exit(1);
        }
        libc::chdir(c"/proc".as_ptr());
        let mut core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_CORE, &raw mut core);
        core = libc::rlimit { rlim_cur: 1, rlim_max: core.rlim_max.max(1) };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const core);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, 0);
            libc::dup2(null, 1);
            libc::dup2(null, 2);
        }
        if let Io::Output(file) = io {
            let most = libc::rlimit { rlim_cur: OUTPUT_MAX, rlim_max: OUTPUT_MAX };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const most);
            libc::dup2(file, 1);
        }
        for signal in 1..=libc::SIGRTMAX() {
            // Refused for SIGKILL, SIGSTOP and those of the C library.
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        // Last: from now on a signal would stop it, and we don't look before it has executed something. A refusal is visible: there
        // will be no stop.
        if matches!(io, Io::Traced) {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        }
    }
}
