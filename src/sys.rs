//! System calls that nix doesn't wrap safely, and child processes. The only file with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, CpuSet, clone, sched_getaffinity, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, signal};
use nix::unistd::{ForkResult, Gid, Pid, Uid, execvp, getegid, geteuid, getpid, pipe2};

use crate::error::{Error, Step};

/// The time limit of a child. QEMU starts in some 10 ms; emulated twice on a busy board, in 2 s.
pub(crate) const CHILD_LIMIT: Duration = Duration::from_secs(20);

/// How long to wait for a killed child, which may hang in the kernel.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(2);

/// The limit of a child's output, in bytes; SIGXFSZ ends it at more.
const OUTPUT_MAX: u64 = 64 * 1024;

/// How much of a line on stderr is worth telling, in characters.
const LINE_MAX: usize = 200;

/// The path to an open file, for this process only, and a child that inherits the file.
pub(crate) fn own_path(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// As the kernel takes it.
pub(crate) fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// The kernel's answer in that error, or EIO.
pub(crate) fn errno_of(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// mount(2), compiled once: nix's is generic. Where the kernel needs no source, it ignores it.
pub(crate) fn mount(
    source: impl AsRef<Path>,
    at: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), Errno> {
    nix::mount::mount(Some(source.as_ref()), at, kind, flags, options)
}

/// Makes the mounts of this namespace its own.
pub(crate) fn make_mounts_private() -> Result<(), Errno> {
    mount("none", Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)
}

/// Clones the mount tree at `at` into a detached one (`open_tree(2)`, Linux 5.2).
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN, ENOSYS before Linux 5.2, EINVAL if a mount in it is locked.
pub(crate) fn clone_tree(at: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    let flags = flags | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE).cast_unsigned();
    // SAFETY: the path is a NUL-terminated literal that the kernel only reads; the descriptor is open while `at` is borrowed.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, at.as_fd().as_raw_fd(), c"".as_ptr(), flags) };
    let fd = Errno::result(fd)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Is this process privileged in the user namespace that mounted the file system of this file?
///
/// `FITHAW` on a file system that isn't frozen changes nothing: the answer is EINVAL with CAP_SYS_ADMIN in that namespace, and EPERM
/// without (`ioctl_fsthaw` in fs/ioctl.c).
pub(crate) fn owns_file_system(file: &File) -> bool {
    /// `_IOWR('X', 120, int)` in include/uapi/linux/fs.h.
    const FITHAW: u32 = 0xC004_5878;
    // SAFETY: the kernel takes no third argument for this request; the descriptor is open while `file` is borrowed.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), FITHAW as _, 0) };
    answer == 0 || Errno::last() == Errno::EINVAL
}

/// Does the mount namespace of this process belong to an outer user namespace? Then nothing can be mounted in it (ioctl_nsfs(2)).
pub(crate) fn is_in_outer_mount_namespace() -> bool {
    let Ok(own) = File::open("/proc/self/ns/mnt") else { return false };
    // SAFETY: the kernel takes no third argument for this request; the descriptor is open during the call.
    let owner = unsafe { libc::ioctl(own.as_raw_fd(), libc::NS_GET_USERNS) };
    if owner < 0 {
        return Errno::last() == Errno::EPERM;
    }
    // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(owner) });
    false
}

/// The number of the mount that a file has been opened through (proc_pid_fdinfo(5)).
///
/// # Errors
/// Those of reading that.
pub(crate) fn mount_of(file: &File) -> std::io::Result<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(number.unwrap_or_default().trim().to_owned())
}

/// The SELinux label of a file; `None` without SELinux.
pub(crate) fn label_of(file: &File) -> Option<String> {
    let mut label = [0_u8; 256];
    // SAFETY: the name is a NUL-terminated literal; the kernel writes to `label` as many bytes as it is long, at most.
    let len = unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            c"security.selinux".as_ptr(),
            label.as_mut_ptr().cast(),
            label.len(),
        )
    };
    let label = label.get(..usize::try_from(len).ok()?)?;
    Some(String::from_utf8_lossy(label).trim_end_matches('\0').to_owned())
}

/// May this process have memory that is writable and executable, as every QEMU needs? SELinux (`execmem`), `PR_SET_MDWE` and filters
/// of systemd's `MemoryDenyWriteExecute=` refuse it, and a child inherits that.
pub(crate) fn may_write_code() -> bool {
    const LEN: usize = 4096;
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the kernel chooses an address that is free; nothing refers to the mapping before it is unmapped.
    unsafe {
        let mapping = libc::mmap(std::ptr::null_mut(), LEN, protection, flags, -1, 0);
        if mapping == libc::MAP_FAILED {
            return !matches!(Errno::last(), Errno::EACCES | Errno::EPERM);
        }
        libc::munmap(mapping, LEN);
    }
    true
}

/// An executable file in memory.
///
/// # Errors
/// EACCES if the sysctl `vm.memfd_noexec` forbids it, ENOMEM, EMFILE.
pub(crate) fn program_in_memory(bytes: &[u8]) -> Result<File, Errno> {
    let mut file = file_in_memory(c"qus-probe", MFdFlags::from_bits_retain(libc::MFD_EXEC))?;
    file.write_all(bytes).map_err(errno_of)?;
    Ok(file)
}

/// Kernels before 6.3 don't have the flags `MFD_EXEC` and `MFD_NOEXEC_SEAL`; later ones expect one of them.
fn file_in_memory(name: &CStr, flags: MFdFlags) -> Result<File, Errno> {
    let created = memfd_create(name, flags);
    created.or_else(|_| memfd_create(name, flags & MFdFlags::MFD_CLOEXEC)).map(File::from)
}

/// The stack of a child that makes a few system calls, in bytes.
const CHILD_STACK: usize = 16 * 1024;

/// Starts `program`, traced, with that `argv[0]` and no environment. Returns the child, and the error of execve, if any.
///
/// The child stops with SIGTRAP after execve, and must then be detached; under qemu-user, which has no ptrace, it continues. It is to
/// be waited for with [`wait_for_change`].
///
/// # Errors
/// Of clone and pipe2: EAGAIN, ENOMEM, EMFILE.
pub(crate) fn spawn_traced(program: &File, argv0: u8) -> Result<(Pid, Option<Errno>), Errno> {
    let argv0 = [argv0, 0];
    let argv0 = CStr::from_bytes_with_nul(&argv0).map_err(|_| Errno::EINVAL)?;
    spawn(&own_path(program), &[argv0], Io::Traced)
}

/// The stdout of a program with these arguments, `argv[0]` included, and no environment.
///
/// # Errors
/// Those of starting it; ETIMEDOUT; EIO if it failed or printed more than [`OUTPUT_MAX`].
pub(crate) fn output_of(program: &Path, arguments: &[&CStr], until: Instant) -> std::io::Result<Vec<u8>> {
    // Not a pipe: a process that inherits it could keep it open.
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let mut output = file_in_memory(c"qus-output", flags)?;
    let program = std::path::absolute(program)?;
    let (child, refused) = spawn(&program, arguments, Io::Output(output.as_raw_fd()))?;
    let end = wait_for_end(child, until)?;
    match refused {
        Some(errno) => return Err(errno.into()),
        None if end != Change::Exited(0) => return Err(Errno::EIO.into()),
        None => {}
    }
    let mut bytes = Vec::new();
    output.rewind()?;
    output.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Executes an open file with these arguments, and no environment; returns how it ended, and the first line that it wrote to stderr.
///
/// # Errors
/// Those of starting it; ETIMEDOUT.
pub(crate) fn end_of(program: &File, arguments: &[&CStr], until: Instant) -> Result<(Change, String), Errno> {
    // Not a pipe, as above.
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let mut errors = file_in_memory(c"qus-errors", flags)?;
    let (child, refused) = spawn(&own_path(program), arguments, Io::Errors(errors.as_raw_fd()))?;
    let end = wait_for_end(child, until)?;
    if let Some(errno) = refused {
        return Err(errno);
    }
    let mut bytes = Vec::new();
    // What can't be read is not worth an error.
    let _ = errors.rewind().and_then(|()| errors.take(OUTPUT_MAX).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok((end, line.chars().take(LINE_MAX).collect()))
}

/// Raises the soft limit on open files to the hard one; returns the limit, a high one if it is unknown.
pub(crate) fn raise_limit_on_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structures live during the calls, which read or write nothing else.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return u64::MAX;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 { raised } else { limit }.rlim_cur
    }
}

/// Can any of these programs be executed? A single child tries all, which is much cheaper than a child for each.
///
/// # Errors
/// Those of starting it; any errno of execve but ENOEXEC.
pub(crate) fn executes_any(programs: Vec<Vec<u8>>, until: Instant) -> std::io::Result<bool> {
    let file = program_in_memory(b"")?;
    let contents: Vec<_> = programs.into_iter().map(|bytes| (file.as_raw_fd(), bytes)).collect();
    let (child, refused) = spawn_any(&own_path(&file), &[c"qus"], Io::None, &contents)?;
    // One was executed, however it ended.
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

/// Executes a program from PATH, with default signals; returns only if that fails.
pub(crate) fn exec(program: &OsStr, arguments: &[OsString]) -> std::io::Error {
    let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    let words: Vec<_> = match words.map(|word| CString::new(word.as_bytes())).collect() {
        Ok(words) => words,
        Err(error) => return error.into(),
    };
    for ignored in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: no handler is installed. Rust's runtime ignores the first, and [`set_signals`] the other.
        let _ = unsafe { signal(ignored, SigHandler::SigDfl) };
    }
    let _ = SigSet::empty().thread_set_mask();
    match execvp(&words[0], &words) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// The standard streams of a child, and whether it is traced.
#[derive(Clone, Copy)]
enum Io {
    /// None of them.
    None,
    /// None of them; traced.
    Traced,
    /// Stdout is this file.
    Output(RawFd),
    /// Stderr is this file.
    Errors(RawFd),
}

/// Starts a program. Returns the child, and the error of execve, if any. As with vfork(2), this thread waits until then: copying its
/// memory would cost more than everything that the child does.
fn spawn(path: &Path, arguments: &[&CStr], io: Io) -> Result<(Pid, Option<Errno>), Errno> {
    spawn_any(path, arguments, io, &[])
}

/// The same. If there are contents, they are written to the file in turn, until one can be executed.
fn spawn_any(
    path: &Path,
    arguments: &[&CStr],
    io: Io,
    contents: &[(RawFd, Vec<u8>)],
) -> Result<(Pid, Option<Errno>), Errno> {
    let path = c_path(path)?;
    let arguments: Vec<_> =
        arguments.iter().map(|a| a.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
    // Closed by execve. Not in shared memory: under qemu-user, the following is a fork.
    let (answer, refusal) = pipe2(OFlag::O_CLOEXEC)?;
    let parent = getpid();
    let child = || {
        // SAFETY: this is a child on the way to execve. The strings end with NUL, their list with NULL; the parent, which waits,
        // has prepared them.
        let errno = unsafe {
            confine(parent, io);
            let mut errno = if contents.is_empty() { execute(&path, &arguments) } else { libc::ENOEXEC };
            for (file, bytes) in contents {
                if errno != libc::ENOEXEC {
                    break;
                }
                libc::ftruncate(*file, 0);
                libc::pwrite(*file, bytes.as_ptr().cast(), bytes.len(), 0);
                errno = execute(&path, &arguments);
            }
            errno
        };
        let errno = errno.to_ne_bytes();
        // SAFETY: `errno` lives during the calls. The second doesn't return, and neither runs other code of this program.
        unsafe {
            libc::write(refusal.as_raw_fd(), errno.as_ptr().cast(), errno.len());
            libc::_exit(1)
        }
    };
    let mut stack = [0; CHILD_STACK];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: this thread waits until the child has left the shared memory (CLONE_VFORK), so the stack and everything that `child`
    // refers to outlive its use of them. The child only makes system calls on memory that was prepared before: nothing is
    // allocated, no lock is taken, no destructor runs, and it leaves by execve or _exit. It changes nothing of the parent but
    // errno: signal handlers are not shared (no CLONE_SIGHAND).
    let pid = unsafe { clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) }?;
    drop(refusal);
    let mut errno = [0; size_of::<i32>()];
    let refused = File::from(answer).read_exact(&mut errno).is_ok();
    Ok((pid, refused.then(|| Errno::from_raw(i32::from_ne_bytes(errno)))))
}

/// A change of a child's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Died(i32),
    /// It is traced, and this signal stopped it.
    Stopped(i32),
}

/// Waits until one of these children of this thread changes its state; `None` at the time limit. When a child has ended, its process
/// group is killed.
///
/// The clock is the parent's: a child could ignore or block SIGALRM.
///
/// # Errors
/// Of waitid, waitpid and sigtimedwait, except EINTR.
pub(crate) fn wait_for_change(children: &[Pid], until: Instant) -> Result<Option<(Pid, Change)>, Errno> {
    /// Another thread, which doesn't block the signal, may take it: this is how often to look anyway.
    const GLANCE: Duration = Duration::from_millis(100);
    // Blocked before looking, so that no change is missed.
    let ends = SigSet::from(Signal::SIGCHLD);
    let old = ends.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let changed = loop {
        let look = |child: &Pid| change_of(*child).map(|c| c.map(|c| (*child, c))).transpose();
        let left = until.saturating_duration_since(Instant::now());
        match children.iter().find_map(look) {
            Some(changed) => break changed.map(Some),
            None if left.is_zero() => break Ok(None),
            None => match wait_for(&ends, left.min(GLANCE)) {
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
    // Only children of this thread: the tracer is a thread.
    let flags = libc::WNOHANG | libc::__WNOTHREAD;
    let mut status = 0;
    // SAFETY: plain old data, for which zeros are valid. Kernel and qemu-user leave them if nothing has happened.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a local variable that lives during the call.
    let looked =
        unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags | libc::WEXITED | libc::WNOWAIT) };
    match Errno::result(looked) {
        Ok(_) if info.si_code == 0 => return Ok(None),
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    // Before it is reaped, no other group can have its number.
    if [libc::CLD_EXITED, libc::CLD_KILLED, libc::CLD_DUMPED].contains(&info.si_code) {
        let _ = killpg(child, Signal::SIGKILL);
    }
    // SAFETY: `status` is a local variable that lives during the call.
    let reaped = unsafe { libc::waitpid(child.as_raw(), &raw mut status, flags) };
    Ok(match Errno::result(reaped) {
        Ok(0) | Err(Errno::EINTR) => None,
        Err(errno) => return Err(errno),
        Ok(_) if libc::WIFEXITED(status) => Some(Change::Exited(libc::WEXITSTATUS(status))),
        Ok(_) if libc::WIFSIGNALED(status) => Some(Change::Died(libc::WTERMSIG(status))),
        Ok(_) => Some(Change::Stopped(libc::WSTOPSIG(status))),
    })
}

/// Kills a child and its process group.
pub(crate) fn end(child: Pid) {
    // It may have left its group, and either may be gone.
    let _ = killpg(child, Signal::SIGKILL);
    let _ = kill(child, Signal::SIGKILL);
}

/// Waits for a child to exit or die, and kills it at the time limit.
fn wait_for_end(child: Pid, mut until: Instant) -> Result<Change, Errno> {
    let mut late = false;
    loop {
        match wait_for_change(&[child], until)? {
            Some((_, end @ Change::Exited(_))) => return Ok(end),
            Some((_, end @ Change::Died(_))) if !late => return Ok(end),
            Some((_, Change::Stopped(_))) => {}
            _ if late => return Err(Errno::ETIMEDOUT),
            _ => {
                end(child);
                (late, until) = (true, Instant::now() + KILL_LIMIT);
            }
        }
    }
}

/// Disables huge pages for this process and its children during `work`. QEMU requests them for a buffer of which the probes use a few
/// kilobytes: clearing 2 MB takes a tenth of its start.
pub(crate) fn without_huge_pages<T>(work: impl FnOnce() -> T) -> T {
    // Unchanged if unknown, or already disabled.
    let is_ours = matches!(prctl::get_thp_disable(), Ok(false)) && prctl::set_thp_disable(true).is_ok();
    let done = work();
    if is_ours {
        // A failure would only cost later children some speed.
        let _ = prctl::set_thp_disable(false);
    }
    done
}

/// Detaches a stopped child, which continues with that signal, if any.
///
/// # Errors
/// ESRCH if it has died.
pub(crate) fn detach(child: Pid, signal: Option<i32>) -> Result<(), Errno> {
    let signal = libc::c_long::from(signal.unwrap_or(0));
    // SAFETY: the call has no pointers. (nix's wrapper doesn't compile for s390x with musl.)
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_DETACH, child.as_raw(), 0, signal) }).map(drop)
}

/// Does `work` in a child, so that its changes (namespaces, directory) end with that.
///
/// # Errors
/// Those of `work` and of fork; EINTR if a signal ended the child, ETIMEDOUT after [`CHILD_LIMIT`].
pub(crate) fn in_child(work: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    in_child_for(CHILD_LIMIT, work)
}

/// The same, for as long as `limit`.
pub(crate) fn in_child_for(limit: Duration, work: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    match run_in_child(limit, || work().map_or_else(|errno| errno as i32, |()| 0))? {
        0 => Ok(()),
        code => Err(Errno::from_raw(code)),
    }
}

/// Forks a child that does `work` and exits with its result, or executes another program; returns the exit status.
fn run_in_child(limit: Duration, work: impl FnOnce() -> i32) -> Result<i32, Errno> {
    let parent = getpid();
    // SAFETY: no other thread runs: those that hash are joined before anything is mounted or registered, so no lock can be held
    // that the child would wait for. It leaves by _exit, so nothing is flushed twice.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => match wait_for_end(child, Instant::now() + limit)? {
            Change::Exited(code) => Ok(code),
            _ => Err(Errno::EINTR),
        },
        ForkResult::Child => {
            // SAFETY: this is a child with a single thread.
            unsafe { confine(parent, Io::None) };
            let code = work();
            // SAFETY: it doesn't return, and runs no other code of this program.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Executes `program` from a setuid file of `owner`, on a tmpfs on `at`, in a child; returns its exit status, which is an errno if
/// something failed in the child.
///
/// # Errors
/// As for [`in_child`].
pub(crate) fn run_setuid(program: &[u8], argv0: u8, owner: u32, at: &str) -> Result<i32, Errno> {
    let prepare = || c_path(&program_on_tmpfs(program, owner, at, "probe").map_err(errno_of)?);
    run_in_child(CHILD_LIMIT, || match prepare() {
        Ok(path) => {
            let argv0 = [argv0, 0];
            // SAFETY: this is a child; the strings end with NUL, and their list with NULL.
            unsafe { execute(&path, &[argv0.as_ptr().cast(), std::ptr::null()]) }
        }
        Err(errno) => errno as i32,
    })
}

/// Can a file of this name, with these bytes, be executed on a tmpfs on `at`? Tried in a child. What the kernel has loaded for it is
/// ended before its first instruction.
///
/// # Errors
/// As for [`in_child`].
pub(crate) fn can_start(bytes: &[u8], name: &str, at: &str) -> Result<(), Errno> {
    in_child(|| start(&program_on_tmpfs(bytes, 0, at, name).map_err(errno_of)?))
}

/// Would the kernel execute this file? What it has loaded is ended before its first instruction.
///
/// # Errors
/// Those of starting it, and of execve.
pub(crate) fn see_whether_executed(file: &File) -> Result<(), Errno> {
    start(&own_path(file))
}

fn start(path: &Path) -> Result<(), Errno> {
    let (child, refused) = spawn(path, &[c"qus"], Io::Traced)?;
    end(child);
    let _ = wait_for_end(child, Instant::now() + KILL_LIMIT);
    refused.map_or(Ok(()), Err)
}

fn program_on_tmpfs(program: &[u8], owner: u32, at: &str, name: &str) -> std::io::Result<PathBuf> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    make_mounts_private()?;
    mount("qus", Path::new(at), Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755,size=64k"))?;
    let path = Path::new(at).join(name);
    std::fs::write(&path, program)?;
    std::os::unix::fs::chown(&path, Some(owner), None)?;
    // After chown, which clears the setuid bit.
    std::fs::set_permissions(&path, Permissions::from_mode(0o4755))?;
    Ok(path)
}

/// Executes a program with these arguments and no environment; returns the errno if that fails.
///
/// # Safety
/// Only for a child with nothing else to do. `arguments` are pointers to strings that end with NUL, and a final NULL.
unsafe fn execute(path: &CStr, arguments: &[*const libc::c_char]) -> i32 {
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: `path` ends with NUL, `environment` with NULL; the caller guarantees `arguments`. The kernel only reads them.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last_raw()
}

/// Is `no_new_privs` set, so that setuid programs gain no privileges?
pub(crate) fn has_no_new_privileges() -> bool {
    prctl::get_no_new_privs().unwrap_or(false)
}

/// Resets SIGCHLD to its default: if the caller ignores it, the kernel would reap the children of this process. Ignores SIGXFSZ:
/// what is longer than the limit on files fails with EFBIG.
pub(crate) fn set_signals() {
    // SAFETY: no handler is involved: the signals were ignored or at their default.
    let done =
        unsafe { [signal(Signal::SIGCHLD, SigHandler::SigDfl), signal(Signal::SIGXFSZ, SigHandler::SigIgn)] };
    // It only fails for invalid numbers.
    debug_assert!(done.iter().all(Result::is_ok));
}

/// The signals that would end this process; those of faults end it all the same.
pub(crate) fn ending_signals() -> SigSet {
    use Signal::{SIGCHLD, SIGCONT, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, SIGXFSZ};
    let mut signals = SigSet::all();
    // They stop it, or are ignored.
    for other in [SIGCHLD, SIGCONT, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, SIGXFSZ] {
        signals.remove(other);
    }
    signals
}

/// Waits for one of these signals, which must be blocked; `None` at the time limit, or sooner.
///
/// # Errors
/// Of sigtimedwait, except EINTR.
pub(crate) fn wait_for(signals: &SigSet, at_most: Duration) -> Result<Option<i32>, Errno> {
    let timeout = libc::timespec {
        tv_sec: at_most.as_secs().try_into().map_err(|_| Errno::EINVAL)?,
        // Below 10⁹, it fits 32 bits.
        tv_nsec: at_most.subsec_nanos() as libc::c_long,
    };
    // SAFETY: both structures live during the call, which only reads them; there is no siginfo to write.
    match unsafe { libc::sigtimedwait(signals.as_ref(), std::ptr::null_mut(), &raw const timeout) } {
        -1 if [Errno::EAGAIN, Errno::EINTR].contains(&Errno::last()) => Ok(None),
        -1 => Err(Errno::last()),
        number => Ok(Some(number)),
    }
}

/// Enters a new user namespace with this user as root, and no other user. Returns the user and group from before.
///
/// # Errors
/// [`Step::Unshare`]: EPERM, ENOSPC or EUSERS if the host doesn't allow it; [`Step::Write`] of its maps.
pub(crate) fn enter_user_namespace() -> Result<(Uid, Gid), Error> {
    let (uid, gid) = (geteuid(), getegid());
    unshare_user()?;
    map_ids((0, uid.as_raw()), (0, gid.as_raw()))?;
    Ok((uid, gid))
}

/// Enters another user namespace from there, with that user and group again. Capabilities last until execve.
///
/// # Errors
/// As for [`enter_user_namespace`].
pub(crate) fn return_to_user(uid: Uid, gid: Gid) -> Result<(), Error> {
    unshare_user()?;
    map_ids((uid.as_raw(), 0), (gid.as_raw(), 0))
}

fn unshare_user() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| Error::new(Step::Unshare, "the user namespace", e))
}

/// Maps one user and one group, as (inside, outside) the namespace (user_namespaces(7)).
fn map_ids(user: (u32, u32), group: (u32, u32)) -> Result<(), Error> {
    let write =
        |path: &str, text: String| std::fs::write(path, text).map_err(|e| Error::new(Step::Write, path, e));
    // Required for gid_map without privileges.
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("{} {} 1", user.0, user.1))?;
    write("/proc/self/gid_map", format!("{} {} 1", group.0, group.1))
}

/// Prepares a child for execve:
///
/// - a new process group, so that its children can be killed; killed if the parent dies;
/// - stdin, stdout and stderr are /dev/null, except for requested output;
/// - no core file: a limit of 1 disables it, also for a pipe in `core_pattern` (`do_coredump` in fs/coredump.c); QEMU, which writes
///   one itself, can't create a file in /proc;
/// - default signals, none blocked.
///
/// # Safety
/// Only for a child between fork and exec. It makes system calls only, for one that shares memory with its parent.
unsafe fn confine(parent: Pid, io: Io) {
    // SAFETY: system calls on literal paths, numbers and local variables. Failures (a seccomp filter, no /dev/null) are accepted. The
    // signal handlers that it resets are the child's own, and none runs.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // 0: the parent is outside the PID namespace of its children.
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
        if let Io::Output(file) | Io::Errors(file) = io {
            let most = libc::rlimit { rlim_cur: OUTPUT_MAX, rlim_max: OUTPUT_MAX };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const most);
            libc::dup2(file, if matches!(io, Io::Errors(_)) { 2 } else { 1 });
        }
        for signal in 1..=libc::SIGRTMAX() {
            // Fails for SIGKILL, SIGSTOP and those of the C library.
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        // Last: any signal would now stop it, unnoticed before execve. If this fails, there is no stop at execve.
        if matches!(io, Io::Traced) {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        }
    }
}
