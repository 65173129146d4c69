//! System calls that nix has no safe name for. The only room with `unsafe`; everything here is small and says why it is sound.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, clone, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, getegid, geteuid, pipe2};

/// Seconds that a probe may take before the kernel ends it. QEMU starts in some 10 ms; emulated twice on a busy board, in 2 s.
pub const PROBE_SECONDS: libc::c_uint = 20;

/// Clones the mount tree below `at` into a tree that belongs to no namespace (`open_tree(2)`, Linux 5.2).
///
/// # Errors
/// The kernel's: EPERM without CAP_SYS_ADMIN, ENOSYS before 5.2, EINVAL where a mount below is locked.
pub fn clone_tree(at: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    let flags = flags | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE).cast_unsigned();
    // SAFETY: the path is a NUL-terminated literal that the kernel only reads; the descriptor is open while `at` is borrowed.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, at.as_fd().as_raw_fd(), c"".as_ptr(), flags) };
    let fd = Errno::result(fd)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An executable file in memory that holds `bytes`.
///
/// # Errors
/// The kernel's: EACCES where the sysctl `vm.memfd_noexec` forbids it, ENOMEM, EMFILE.
pub fn program_in_memory(bytes: &[u8]) -> std::io::Result<File> {
    // Kernels before 6.3 do not know the flag; later ones want to be told that it shall be executable.
    let fd = memfd_create(c"qus-probe", MFdFlags::from_bits_retain(libc::MFD_EXEC))
        .or_else(|_| memfd_create(c"qus-probe", MFdFlags::empty()))?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    Ok(file)
}

/// Bytes of stack for a child that makes a few system calls.
const CHILD_STACK: usize = 16 * 1024;

/// Starts `program` with that `argv[0]`, no further arguments and no environment, traced by us; the child, and why it could not
/// execute that, if so. We stand still until it has done one or the other, as with vfork(2): a copy of our memory would cost
/// more than all that it does.
///
/// Where tracing works, the child stops with SIGTRAP once its new program is in place and must be detached from. Where it
/// does not (under qemu-user), the child just goes on. SIGALRM ends it after [`PROBE_SECONDS`].
///
/// # Errors
/// The kernel's answer to clone and pipe2: EAGAIN, ENOMEM, EMFILE.
pub fn spawn_traced(program: &File, argv0: u8) -> Result<(Pid, Option<Errno>), Errno> {
    let path = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    // Closed by execve. It is no matter of memory that we share: qemu-user makes a fork of what follows.
    let (answer, refusal) = pipe2(OFlag::O_CLOEXEC)?;
    let child = || {
        // SAFETY: the call has no pointers. A refusal is visible to the parent: there will be no stop.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        let errno = execute(&path, argv0).to_ne_bytes();
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
    // lock is taken, no destructor runs, and it leaves by execve or _exit. The one thing of ours that it changes is errno.
    let pid = unsafe { clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) }?;
    drop(refusal);
    let mut errno = [0; size_of::<i32>()];
    let refused = File::from(answer).read_exact(&mut errno).is_ok();
    Ok((pid, refused.then(|| Errno::from_raw(i32::from_ne_bytes(errno)))))
}

/// Does something while neither we nor what we start is given huge pages: a short-lived QEMU uses a few kilobytes of the buffer
/// for which it asks for them, and the kernel would clear 2 MB each time, a tenth of what its start costs.
pub fn without_huge_pages<T>(work: impl FnOnce() -> T) -> T {
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
pub fn detach(child: Pid, signal: Option<Signal>) -> Result<(), Errno> {
    let signal = libc::c_long::from(signal.map_or(0, |s| s as i32));
    // SAFETY: the call has no pointers. (nix has a name for it, which doesn't compile for s390x with musl.)
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_DETACH, child.as_raw(), 0, signal) }).map(drop)
}

/// Does something in a child, and waits for it: what it changes of itself (namespaces, directories) ends with it.
///
/// # Errors
/// What `work` answers; fork's errors; EINTR where a signal ended the child.
pub fn in_child(work: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    match run_in_child(|| work().map_or_else(|errno| errno as i32, |()| 0))? {
        0 => Ok(()),
        code => Err(Errno::from_raw(code)),
    }
}

/// The exit status of a child that does `work` and exits with what that returns, or executes another program.
fn run_in_child(work: impl FnOnce() -> i32) -> Result<i32, Errno> {
    // SAFETY: no other thread of ours is running: those that hash have been joined before anything is mounted or registered,
    // so no lock can be held that the child would wait for. It leaves by _exit: nothing of the parent's is flushed twice.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => loop {
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(code),
                Ok(_) => return Err(Errno::EINTR),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        },
        ForkResult::Child => {
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
pub fn run_set_uid(program: &[u8], argv0: u8, owner: u32, at: &str) -> Result<i32, Errno> {
    run_in_child(|| match set_uid_program(program, owner, at) {
        Ok(path) => execute(&path, argv0),
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

/// Executes a program with that `argv[0]`, no further arguments and no environment; returns the errno where that fails.
fn execute(path: &CStr, argv0: u8) -> i32 {
    let argv0 = [argv0, 0];
    let argv = [argv0.as_ptr().cast::<libc::c_char>(), std::ptr::null()];
    let envp = [std::ptr::null::<libc::c_char>()];
    // SAFETY: only system calls on memory of this function and on a string that the caller keeps; `path` and `argv0` are
    // NUL-terminated, `argv` and `envp` end with NULL. Callers are children that have nothing else to do.
    unsafe {
        silence();
        libc::alarm(PROBE_SECONDS);
        libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
    }
    Errno::last_raw()
}

/// Can this process, or a set-uid program that it executes, gain privileges?
#[must_use]
pub fn has_no_new_privileges() -> bool {
    prctl::get_no_new_privs().unwrap_or(false)
}

/// Has the kernel keep our children until we have asked how they ended. A caller that ignores SIGCHLD has us inherit that, and
/// then it keeps none.
pub fn keep_ended_children() {
    // SAFETY: no handler can run, neither before nor after: the signal was ignored, or as it is by default.
    let done = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    // It fails for numbers that are no signal's.
    debug_assert!(done.is_ok());
}

/// From now on these signals wait until [`wait_for`] takes them. Children inherit that.
///
/// # Errors
/// The kernel's.
pub fn block(signals: &[Signal]) -> Result<(), Errno> {
    signals.iter().copied().collect::<SigSet>().thread_block()
}

/// Waits for one of these signals, which are to be blocked; `None` when the time is over.
///
/// # Errors
/// The kernel's, but not EINTR.
pub fn wait_for(signals: &[Signal], at_most: Duration) -> Result<Option<Signal>, Errno> {
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
pub fn enter_user_namespace() -> std::io::Result<(Uid, Gid)> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    map_ids((0, uid.as_raw()), (0, gid.as_raw()))?;
    Ok((uid, gid))
}

/// From there, enters another one, in which we are that user and group again. Capabilities last until we execute something.
///
/// # Errors
/// As above.
pub fn return_to_user(uid: Uid, gid: Gid) -> std::io::Result<()> {
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

/// Sends stdout and stderr of a forked child to /dev/null: what a broken QEMU prints is not a result of ours.
///
/// # Safety
/// Only for a child between fork and exec: other code may be using descriptors 1 and 2.
unsafe fn silence() {
    // SAFETY: plain system calls on a literal path and on numbers; where there is no /dev/null nothing changes.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, 1);
            libc::dup2(null, 2);
        }
    }
}
