//! Does a program of this architecture run here, and by what? Answered by running one.
//!
//! The programs are a hundred bytes each (docs/probes.md): one exits with `(argv[0][0] + geteuid()) & 0xff`, so its status
//! says that it ran and whether it saw the `argv[0]` that it was given. Each is traced up to its first instruction, where
//! `/proc/PID/exe` names what the kernel has loaded: the program itself (native) or an interpreter. It registers nothing.

mod programs;

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, geteuid};

use crate::arch::{ARCHES, Arch, host_family, named, own};
use crate::elf::Machine;
use crate::error::{Cause, Error, Step};
use crate::sys;

/// How many run at the same time: more than two to four gains nothing (docs/probes.md).
const WIDTH: usize = 4;

/// What came of running a program of one architecture.
#[derive(Debug)]
pub enum Verdict {
    /// It ran.
    Ran {
        /// What ran it.
        by: RanBy,
        /// Did it see the `argv[0]` that it was given? Without flag `P` it sees its path.
        argv0: bool,
        /// From fork to exit.
        took: Duration,
    },
    /// The kernel would not execute it: ENOEXEC where nothing is registered for it.
    Refused(Errno),
    /// A signal ended what was running it; SIGALRM: it took longer than [`sys::PROBE_SECONDS`].
    Died(Signal),
    /// Something ran and exited with a status that the program never gives.
    Exited(i32),
    /// It could not be tried at all.
    Untried(Errno),
    /// It was not tried: this kernel is of another family, so it can't run it itself.
    OtherFamily,
}

/// What ran a program.
#[derive(Debug)]
pub enum RanBy {
    /// This kernel itself.
    Kernel,
    /// An interpreter: this file, opened through the running process.
    Interpreter(File),
    /// Not known: it could not be traced (that is so under emulation).
    Unknown,
}

impl Verdict {
    /// Did it run?
    #[must_use]
    pub const fn ran(&self) -> bool {
        matches!(self, Self::Ran { .. })
    }

    /// Was it kept from running by something else than its architecture? Then it says nothing of that.
    #[must_use]
    pub const fn is_unclear(&self) -> bool {
        match self {
            Self::Untried(_) => true,
            Self::Refused(errno) => is_refused_to_all(*errno),
            _ => false,
        }
    }
}

/// Does the kernel give this answer whatever architecture a program is of? EACCES and EPERM: files in memory must not be
/// executed (the sysctl `vm.memfd_noexec`, a security module). The rest: it has run out of something, or a disk is broken.
const fn is_refused_to_all(errno: Errno) -> bool {
    use Errno::{EACCES, EAGAIN, EIO, EMFILE, ENFILE, ENOMEM, EPERM, ETXTBSY};
    matches!(errno, EACCES | EAGAIN | EIO | EMFILE | ENFILE | ENOMEM | EPERM | ETXTBSY)
}

/// Cause programs of this architecture don't run, for a verdict that says that they don't.
#[must_use]
pub fn failure(arch: &Arch, verdict: &Verdict) -> Error {
    let failed = |why: Cause| Error::new(Step::Prove, format!("{} programs", arch.name), why);
    match verdict {
        Verdict::Refused(errno @ (Errno::EACCES | Errno::EPERM)) => failed((*errno).into())
            .hint("programs in memory can't be executed here; the sysctl vm.memfd_noexec may forbid that"),
        Verdict::Refused(errno) | Verdict::Untried(errno) => failed((*errno).into()),
        Verdict::Died(signal) => failed(format!("their interpreter died of {signal}").into())
            .hint("another version of QEMU may do better: images are tagged by it"),
        Verdict::Exited(code) => failed(format!("their interpreter exited with status {code}").into()),
        Verdict::Ran { .. } | Verdict::OtherFamily => failed("they were not tried".into()),
    }
}

/// The program of a row; every row has one.
fn program(arch: &Arch) -> &'static [u8] {
    let found = programs::PROGRAMS.binary_search_by_key(&arch.name, |(name, _)| name);
    found.map_or(&[], |i| programs::PROGRAMS[i].1)
}

/// A child that is at work.
struct Running {
    pid: Pid,
    index: usize,
    program: File,
    started: Instant,
    by: Option<RanBy>,
    /// Cause it could not execute its program, if that is so.
    refused: Option<Errno>,
    /// Cause it could not be let go, if that is so.
    stuck: Option<Errno>,
}

/// What the exit status says, for the process that asks.
#[derive(Clone, Copy)]
struct Challenge {
    argv0: u8,
    euid: u8,
}

impl Challenge {
    /// An `argv[0]` whose answer can't be mistaken for an errno (of [`honours_set_uid`]), nor for the answer of a program that saw
    /// its path.
    fn new() -> Self {
        let euid = geteuid().as_raw().to_le_bytes()[0];
        let argv0 = [200u8, 201, 202]
            .into_iter()
            .map(|wanted| wanted.wrapping_sub(euid))
            .find(|c| ![0, b'/'].contains(c));
        Self { argv0: argv0.unwrap_or(b'Q'), euid }
    }

    fn answer(&self, to: u8) -> i32 {
        i32::from(to.wrapping_add(self.euid))
    }
}

/// Runs a program of each of these architectures; the verdicts are in the same order.
pub fn run<'a>(arches: impl IntoIterator<Item = &'a Arch>) -> Vec<Verdict> {
    sys::without_huge_pages(|| run_all(arches))
}

fn run_all<'a>(arches: impl IntoIterator<Item = &'a Arch>) -> Vec<Verdict> {
    let challenge = Challenge::new();
    let mut waiting = arches.into_iter().enumerate();
    let mut running: Vec<Running> = Vec::with_capacity(WIDTH);
    let mut verdicts: Vec<(usize, Verdict)> = Vec::new();
    loop {
        while running.len() < WIDTH
            && let Some((index, arch)) = waiting.next()
        {
            match start(index, arch, &challenge) {
                Ok(child) => running.push(child),
                Err(errno) => verdicts.push((index, Verdict::Untried(errno))),
            }
        }
        if running.is_empty() {
            break;
        }
        // Only children of this thread: a tracer is a thread, and other threads' children are not ours to reap.
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Ok(status) => settle(status, &mut running, &mut verdicts, &challenge),
            Err(Errno::EINTR) => {}
            Err(errno) => verdicts.extend(running.drain(..).map(|r| (r.index, Verdict::Untried(errno)))),
        }
    }
    verdicts.sort_by_key(|(index, _)| *index);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Does a set-uid program of this architecture get its owner's rights, as flag `C` promises? `at` is a directory to mount on.
///
/// # Errors
/// Cause that can't be seen here: EPERM under `no_new_privs`, EINVAL in a user namespace with a single user.
pub fn honours_set_uid(arch: &Arch, at: &str) -> Result<bool, Errno> {
    /// Any user but root, whose rights we have already; 9 is `news` on most systems, and owns nothing here.
    const OWNER: u8 = 9;
    if sys::has_no_new_privileges() {
        return Err(Errno::EPERM);
    }
    let ours = Challenge::new();
    let owners = Challenge { euid: OWNER, ..ours };
    let code = sys::run_set_uid(program(arch), ours.argv0, u32::from(OWNER), at)?;
    let is_answer = |c: &Challenge| [ours.argv0, b'/'].iter().any(|&word| c.answer(word) == code);
    match code {
        _ if is_answer(&owners) => Ok(true),
        _ if is_answer(&ours) => Ok(false),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// Which of these does the kernel run itself, or by a handler? Those that it can't run itself are not tried, where the kernel
/// says of what family it is.
pub fn run_natives<'a>(arches: impl IntoIterator<Item = &'a Arch>) -> Vec<Verdict> {
    let is_alien = aliens();
    let arches: Vec<_> = arches.into_iter().collect();
    let mut tried = run(arches.iter().copied().filter(|a| !is_alien(a))).into_iter();
    let verdict = |a: &&Arch| if is_alien(a) { Some(Verdict::OtherFamily) } else { tried.next() };
    arches.iter().map_while(verdict).collect()
}

/// Does this kernel execute programs of that machine itself? Those of our own, those that it says it is of, and what it can run
/// besides (i386 on amd64).
#[must_use]
pub fn runs_natively(machine: Machine) -> bool {
    let is_native = |v: &Verdict| matches!(v, Verdict::Ran { by: RanBy::Kernel, .. });
    let row = || ARCHES.iter().find(|a| a.machine_bytes() == machine);
    // The kernel's word comes before a trial: under emulation that could not be traced, and QEMU sometimes hangs where several
    // threads, as those that check binaries, start processes at the same time.
    machine == own().machine_bytes()
        || kernel().is_some_and(|kernel| kernel.machine_bytes() == machine)
        || row().is_some_and(|a| run_natives([a]).iter().any(is_native))
}

/// What this host is. Under emulation that is not what we are ourselves.
#[must_use]
pub fn host() -> &'static Arch {
    kernel().unwrap_or_else(own)
}

/// Tells of a row whether this kernel can't run it itself: it is of another family.
pub fn aliens() -> impl Fn(&Arch) -> bool {
    let family = kernel_family();
    move |arch| family.as_ref().is_some_and(|family| arch.family != family)
}

/// The architecture that this kernel says it is of; `None` where the table doesn't know that one.
fn kernel() -> Option<&'static Arch> {
    named(&kernel_name()?).next()
}

/// The family of it.
fn kernel_family() -> Option<String> {
    let name = kernel_name()?;
    let family = host_family(&name);
    ARCHES.iter().any(|a| a.family == family).then(|| family.to_owned())
}

/// What this kernel says that it is, since Linux 6.1; unlike `uname`, this is the truth under emulation as well.
fn kernel_name() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/arch").ok().map(|name| name.trim().to_owned())
}

fn start(index: usize, arch: &Arch, challenge: &Challenge) -> Result<Running, Errno> {
    let raw = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(Errno::EIO as i32));
    let program = sys::program_in_memory(program(arch)).map_err(raw)?;
    let started = Instant::now();
    let (pid, refused) = sys::spawn_traced(&program, challenge.argv0)?;
    Ok(Running { pid, index, program, started, by: None, refused, stuck: None })
}

fn settle(
    status: WaitStatus,
    running: &mut Vec<Running>,
    verdicts: &mut Vec<(usize, Verdict)>,
    challenge: &Challenge,
) {
    let Some(at) = status.pid().and_then(|pid| running.iter().position(|r| r.pid == pid)) else { return };
    let verdict = match status {
        WaitStatus::Stopped(pid, signal) => {
            let child = &mut running[at];
            // The first stop is the one that execve causes; any other signal is the program's own affair.
            let passed_on = if signal == Signal::SIGTRAP && child.by.is_none() {
                child.by = Some(loaded(pid, &child.program));
                None
            } else {
                Some(signal)
            };
            // One that can't be let go would stand still for ever, and we would wait for it. How a child ended, this one or one
            // that has died meanwhile, is what the next wait reports.
            if let Err(errno) = sys::detach(pid, passed_on) {
                child.stuck = Some(errno);
                let _ = kill(pid, Signal::SIGKILL);
            }
            return;
        }
        WaitStatus::Signaled(_, signal, _) => match running[at] {
            Running { stuck: Some(errno), .. } => Verdict::Untried(errno),
            // The kernel had loaded it, and somebody ended it (out of memory): that says nothing of its architecture.
            Running { by: Some(RanBy::Kernel), .. } => Verdict::Untried(Errno::EINTR),
            _ => Verdict::Died(signal),
        },
        WaitStatus::Exited(_, code) => {
            let child = &mut running[at];
            let took = child.started.elapsed();
            let argv0 = code == challenge.answer(challenge.argv0);
            if let Some(errno) = child.refused {
                Verdict::Refused(errno)
            } else if argv0 || code == challenge.answer(b'/') {
                Verdict::Ran { by: child.by.take().unwrap_or(RanBy::Unknown), argv0, took }
            } else {
                Verdict::Exited(code)
            }
        }
        _ => return,
    };
    verdicts.push((running.swap_remove(at).index, verdict));
}

/// What the kernel has loaded into a child that stands at its first instruction.
fn loaded(pid: Pid, program: &File) -> RanBy {
    let Ok(exe) = File::open(format!("/proc/{pid}/exe")) else { return RanBy::Unknown };
    match (identity(&exe), identity(program)) {
        (Some(loaded), Some(ours)) if loaded == ours => RanBy::Kernel,
        (Some(_), Some(_)) => RanBy::Interpreter(exe),
        _ => RanBy::Unknown,
    }
}

/// Device and inode of an open file.
pub type Identity = (u64, u64);

/// Which file this is; `None` where even that can't be read.
#[must_use]
pub fn identity(file: &File) -> Option<Identity> {
    file.metadata().map(|m| identity_of(&m)).ok()
}

/// The same, of what is known about it.
#[must_use]
pub fn identity_of(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_program_that_its_own_pattern_takes() {
        for arch in ARCHES {
            let head = program(arch);
            assert!(head.len() > 64, "{}: no program; scripts/probes makes them", arch.name);
            let takers: Vec<_> = ARCHES.iter().filter(|a| a.pattern.matches(head)).map(|a| a.name).collect();
            assert_eq!(takers, [arch.name]);
        }
    }

    #[test]
    fn what_the_kernel_cannot_run_itself_is_not_tried_and_all_else_is() {
        for (arch, verdict) in ARCHES.iter().zip(run_natives(ARCHES)) {
            let is_of_its_family = kernel_family().is_none_or(|family| arch.family == family);
            assert_eq!(matches!(verdict, Verdict::OtherFamily), !is_of_its_family, "{}", arch.name);
        }
    }

    #[test]
    fn this_machines_own_program_runs_natively() {
        let own = named(std::env::consts::ARCH).next().unwrap();
        let verdicts = run([own, own]);
        assert!(
            matches!(verdicts[..], [Verdict::Ran { by: RanBy::Kernel, argv0: true, .. }, _]),
            "{verdicts:?}"
        );
    }
}
