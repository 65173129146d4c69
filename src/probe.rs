//! Runs tiny programs to find out which architectures run here, and what runs them. Registers nothing.
//!
//! A program has some hundred bytes (docs/probes.md). It exits with `(argv[0][0] + geteuid()) & 0xff`, so its status shows that it
//! ran, and whether it saw its own `argv[0]`. It is traced up to its first instruction, where `/proc/PID/exe` is what the kernel has
//! loaded: the program itself (native) or an interpreter.
//!
//! Whether the kernel runs an architecture natively is found out by a program that no handler takes ([`natives`]).

mod programs;

use std::ffi::CStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, geteuid};

use crate::arch::{ARCHES, Arch};
use crate::elf::Machine;
use crate::emulators::Emulator;
use crate::error::{Cause, Error, Step};
use crate::host::{self, Confinement};
use crate::rule::Entry;
use crate::selinux;
use crate::sys::{self, CHILD_LIMIT, Change, KILL_LIMIT, errno_of};

/// How many run concurrently: more gains nothing (docs/probes.md).
const WIDTH: usize = 4;

/// One that takes longer probably hangs, and others no longer wait for it.
const SLOW: Duration = Duration::from_secs(1);

/// `e_ident[EI_VERSION]`: ignored by the kernel's ELF loader (fs/binfmt_elf.c), and compared by all patterns of QEMU.
const EI_VERSION: usize = 6;

/// `EI_ABIVERSION` and `EI_PAD`: ignored by kernel, QEMU and all patterns of qus.
const FREE: std::ops::Range<usize> = 8..16;

/// Differs from `EV_CURRENT` under all masks in use (0xff, 0xfe), and no handler has it.
const NO_VERSION: u8 = 0xf0;

/// Eight bytes in a program that a handler can compare.
pub(crate) type Mark = [u8; 8];

/// The result of running a program.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It ran.
    Ran {
        /// What ran it.
        by: RanBy,
        /// Did it see its own `argv[0]`? Without flag `P`, it sees its path.
        argv0: bool,
        /// From fork to exit.
        took: Duration,
    },
    /// execve failed: ENOEXEC if there is no handler.
    Refused(Errno),
    /// This signal ended its interpreter.
    Died(i32),
    /// The kernel killed it while loading it or its interpreter.
    Unloadable,
    /// It was killed after [`CHILD_LIMIT`].
    TimedOut,
    /// It exited with a status that the program never has, and with that line on stderr, if any.
    Exited(i32, String),
    /// It could not be tried.
    Untried(Errno),
}

/// Does the kernel run programs of an architecture without handlers?
#[derive(Debug)]
pub(crate) enum Native {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Unknown, because of this verdict.
    Unclear(Verdict),
}

impl Native {
    /// Is it [`Native::Yes`]?
    pub(crate) const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// From the verdict of a program that no handler takes.
    fn of(verdict: Verdict) -> Self {
        match verdict {
            // Unknown: under emulation, nothing can be traced.
            Verdict::Ran { by: RanBy::Kernel | RanBy::Unknown, .. } => Self::Yes,
            // Such as a program for 4K pages with 16K ones.
            Verdict::Refused(Errno::ENOEXEC) | Verdict::Unloadable => Self::No,
            other => Self::Unclear(other),
        }
    }
}

/// What ran a program.
#[derive(Debug)]
pub enum RanBy {
    /// The kernel.
    Kernel,
    /// This interpreter, opened through /proc/PID/exe.
    Interpreter(File),
    /// Unknown: it could not be traced, as under emulation.
    Unknown,
}

impl Verdict {
    /// Did it run?
    pub(crate) const fn ran(&self) -> bool {
        matches!(self, Self::Ran { .. })
    }

    /// The dynamic loader of what ran it, which other root file systems lack.
    pub(crate) fn loader(&self) -> Option<String> {
        let Self::Ran { by: RanBy::Interpreter(file), .. } = self else { return None };
        Emulator::running(file.try_clone().ok()?).ok()?.loader()
    }

    /// Did it fail for a reason that says nothing about its architecture?
    pub(crate) const fn is_unclear(&self) -> bool {
        match self {
            Self::Untried(_) => true,
            Self::Refused(errno) => is_refused_to_all(*errno),
            _ => false,
        }
    }
}

/// Is this an errno that doesn't depend on the architecture? EACCES and EPERM: memory files must not be executed (the sysctl
/// `vm.memfd_noexec`, a security module). The others: out of resources, or a broken disk.
const fn is_refused_to_all(errno: Errno) -> bool {
    use Errno::{EACCES, EAGAIN, EIO, EMFILE, ENFILE, ENOMEM, EPERM, ETXTBSY};
    matches!(errno, EACCES | EAGAIN | EIO | EMFILE | ENFILE | ENOMEM | EPERM | ETXTBSY)
}

/// The error for a verdict other than [`Verdict::Ran`].
pub(crate) fn failure(arch: &Arch, verdict: &Verdict) -> Error {
    let failed = |why: Cause| Error::new(Step::Prove, format!("{} programs", arch.name), why);
    match verdict {
        Verdict::Refused(errno @ (Errno::EACCES | Errno::EPERM))
        | Verdict::Untried(errno @ (Errno::EACCES | Errno::EPERM)) => {
            failed((*errno).into()).hint(forbidden())
        }
        Verdict::Refused(errno) | Verdict::Untried(errno) => failed((*errno).into()),
        Verdict::Died(_) | Verdict::Exited(..) if !sys::may_write_code() => match selinux::is_enabled() {
            true => failed("SELinux denies this domain execmem, which every QEMU needs".into())
                .hint(selinux::EXECMEM),
            false => failed("no memory may be writable and executable here, which every QEMU needs".into())
                .hint("in a systemd unit, `MemoryDenyWriteExecute=no` allows it"),
        },
        Verdict::Died(signal) => {
            let signal = Signal::try_from(*signal);
            let remedy = match signal {
                Ok(Signal::SIGKILL) => {
                    "if it took more memory than its container or unit may: raise that limit"
                }
                Ok(Signal::SIGSYS) => {
                    "a seccomp filter forbids one of its system calls: in a systemd unit, `SystemCallFilter=`"
                }
                // QEMU's own end, such as without a second thread.
                Ok(Signal::SIGABRT) => {
                    "if its threads or its memory are limited (`ulimit -u`, or by its container or unit): raise that limit; or try another version of QEMU"
                }
                Ok(Signal::SIGXCPU) => "run it without the limit on processor time (`ulimit -t`)",
                _ => "try another version of QEMU: images are tagged by version",
            };
            let signal = signal.map_or("a signal", Signal::as_str);
            failed(format!("their interpreter died of {signal}").into())
                .hint(limit_on(verdict).unwrap_or_else(|| remedy.to_owned()))
        }
        Verdict::Unloadable => {
            failed("the kernel could not load them or their interpreter".into()).maybe_hint(limit_on(verdict))
        }
        Verdict::TimedOut => failed(format!("they did not finish in {} s", CHILD_LIMIT.as_secs()).into()),
        Verdict::Exited(code, said) => {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            failed(format!("their interpreter exited with status {code}{said}").into())
                .maybe_hint(limit_on(verdict))
        }
        Verdict::Ran { .. } => failed("another handler took them".into()),
    }
}

/// The limit that an emulator fails for: of address space, QEMU reserves 4 GiB for a 32-bit target; of that and of data, 128 MiB for its
/// code. With much less than that, the kernel can't load it, or it dies.
pub(crate) fn limit_on(verdict: &Verdict) -> Option<String> {
    let is_about =
        |said: &String| ["guest_base", "address space", "allocate"].iter().any(|w| said.contains(w));
    let (space, data): (u64, u64) = match verdict {
        Verdict::Exited(_, said) if is_about(said) => (5 << 30, 192 << 20),
        Verdict::Unloadable | Verdict::Died(_) => (128 << 20, 128 << 20),
        _ => return None,
    };
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let of = |(name, option, enough): (&str, char, u64)| {
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max ")?.strip_prefix(name))?;
        let bytes: u64 = limit.split_ascii_whitespace().next()?.parse().ok()?;
        let hint =
            || format!("run it without the limit on {name} (`ulimit -{option}` is {} here)", bytes >> 10);
        (bytes < enough).then(hint)
    };
    [("address space", 'v', space), ("data size", 'd', data)].into_iter().find_map(of)
}

/// Explains that programs in memory can't be executed, or that an emulator can't.
fn forbidden() -> String {
    if run_one(host::build_arch()).ran() {
        return "their handler's emulator can't be executed: see its mode, its directories, and whether it is on a mount with noexec"
            .to_owned();
    }
    let sysctl = std::fs::read_to_string("/proc/sys/vm/memfd_noexec").is_ok_and(|set| set.trim() == "2");
    let by = match Confinement::look() {
        _ if sysctl => "vm.memfd_noexec=2 forbids that; `sysctl vm.memfd_noexec=1` allows it".to_owned(),
        Some(Confinement { by, label, option }) => {
            format!("{by} may forbid that ({label}); run the container with {option}")
        }
        None => "a security module may forbid that".to_owned(),
    };
    format!("cannot execute programs in memory: {by}")
}

/// The program of an architecture.
fn program(arch: &Arch) -> &'static [u8] {
    let found = programs::PROGRAMS.binary_search_by_key(&arch.name, |(name, _)| name);
    found.map_or(&[], |i| programs::PROGRAMS[i].1)
}

/// The same program, with this mark.
fn marked(arch: &Arch, mark: Mark) -> Vec<u8> {
    let mut program = program(arch).to_vec();
    if let Some(free) = program.get_mut(FREE) {
        free.copy_from_slice(&mark);
    }
    program
}

/// The same program, which no handler for QEMU takes.
fn unhandled(arch: &Arch) -> Vec<u8> {
    let mut program = marked(arch, [NO_VERSION; 8]);
    if let Some(version) = program.get_mut(EI_VERSION) {
        *version = NO_VERSION;
    }
    program
}

/// A running child.
struct Running {
    pid: Pid,
    index: usize,
    program: File,
    started: Instant,
    /// When it will be killed; once it is, when to stop waiting for it.
    until: Instant,
    is_late: bool,
    by: Option<RanBy>,
    /// The error of execve.
    refused: Option<Errno>,
    /// The error of detaching it.
    stuck: Option<Errno>,
}

/// Predicts exit statuses.
#[derive(Clone, Copy)]
struct Challenge {
    argv0: u8,
    euid: u8,
}

impl Challenge {
    /// Chooses an `argv[0]` whose status is neither an errno (of [`honours_setuid`]) nor that of a program that saw its path.
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

/// Runs a program of each architecture; the verdicts are in the same order.
pub(crate) fn run(arches: &[&Arch]) -> Vec<Verdict> {
    run_marked(arches, [0; 8])
}

/// Runs a program of one.
pub(crate) fn run_one(arch: &Arch) -> Verdict {
    run(&[arch]).remove(0)
}

/// May a handler take any program? `true` if unknown.
pub(crate) fn may_be_taken() -> bool {
    let every: Vec<_> = ARCHES.iter().collect();
    let others = every.iter().zip(natives(&every)).filter(|(_, native)| !native.is_yes());
    let programs = others.map(|(arch, _)| marked(arch, [0; 8])).collect();
    sys::executes_any(programs, Instant::now() + CHILD_LIMIT).unwrap_or(true)
}

/// Runs programs with this mark, which a handler can compare.
pub(crate) fn run_marked(arches: &[&Arch], mark: Mark) -> Vec<Verdict> {
    run_all(arches.iter().map(|arch| marked(arch, mark)).collect(), CHILD_LIMIT)
}

/// Runs a program by this emulator, without a handler.
pub(crate) fn run_by(emulator: &File, arch: &Arch) -> Verdict {
    let started = Instant::now();
    let run = || {
        let program = sys::program_in_memory(program(arch))?;
        let path = sys::c_path(&sys::own_path(&program))?;
        let (end, line) = sys::end_of(emulator, &[c"qemu", &path], started + CHILD_LIMIT)?;
        Ok((end, without_path(&line, &program)))
    };
    match run() {
        Ok((Change::Exited(code), _)) if code == Challenge::new().answer(b'/') => {
            Verdict::Ran { by: RanBy::Unknown, argv0: true, took: started.elapsed() }
        }
        Ok((Change::Exited(code), said)) => Verdict::Exited(code, said),
        Ok((Change::Died(signal) | Change::Stopped(signal), _)) => Verdict::Died(signal),
        Err(Errno::ETIMEDOUT) => Verdict::TimedOut,
        Err(errno) => Verdict::Refused(errno),
    }
}

fn run_all(programs: Vec<Vec<u8>>, limit: Duration) -> Vec<Verdict> {
    if programs.is_empty() { Vec::new() } else { sys::without_huge_pages(|| run_each(programs, limit)) }
}

fn run_each(programs: Vec<Vec<u8>>, limit: Duration) -> Vec<Verdict> {
    let challenge = Challenge::new();
    let mut waiting = programs.into_iter().enumerate();
    let mut running: Vec<Running> = Vec::with_capacity(WIDTH);
    let mut verdicts: Vec<(usize, Verdict)> = Vec::new();
    loop {
        while running.iter().filter(|r| r.started.elapsed() < SLOW).count() < WIDTH
            && let Some((index, program)) = waiting.next()
        {
            match start(index, &program, &challenge, limit) {
                Ok(child) => running.push(child),
                Err(errno) => verdicts.push((index, Verdict::Untried(errno))),
            }
        }
        let Some(until) = running.iter().map(|r| r.until).min() else { break };
        let until = if waiting.len() > 0 { until.min(Instant::now() + SLOW) } else { until };
        let pids: Vec<_> = running.iter().map(|r| r.pid).collect();
        match sys::wait_for_change(&pids, until) {
            Ok(Some((pid, change))) => settle(pid, change, &mut running, &mut verdicts, &challenge),
            Ok(None) => {
                let now = Instant::now();
                // Killed, but it hangs in the kernel.
                let stuck = running.extract_if(.., |r| r.is_late && r.until <= now);
                verdicts.extend(stuck.map(|r| (r.index, Verdict::TimedOut)));
                for late in running.iter_mut().filter(|r| r.until <= now) {
                    sys::end(late.pid);
                    (late.is_late, late.until) = (true, now + KILL_LIMIT);
                }
            }
            Err(errno) => verdicts.extend(running.drain(..).map(|r| {
                sys::end(r.pid);
                (r.index, Verdict::Untried(errno))
            })),
        }
    }
    verdicts.sort_unstable_by_key(|(index, _)| *index);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Does a setuid program of this architecture gain its owner's privileges (flag `C`)? `at` is a mount point for it.
///
/// # Errors
/// EPERM under `no_new_privs`, EINVAL in a user namespace with a single user; those of mount and execve.
pub(crate) fn honours_setuid(arch: &Arch, at: &str) -> Result<bool, Errno> {
    /// Any user but root: `news` on most systems.
    const OWNER: u8 = 9;
    if sys::has_no_new_privileges() {
        return Err(Errno::EPERM);
    }
    let ours = Challenge::new();
    let owners = Challenge { euid: OWNER, ..ours };
    let code = sys::run_setuid(program(arch), ours.argv0, u32::from(OWNER), at)?;
    let is_answer = |c: &Challenge| [ours.argv0, b'/'].iter().any(|&word| c.answer(word) == code);
    match code {
        _ if is_answer(&owners) => Ok(true),
        _ if is_answer(&ours) => Ok(false),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// Which of these does the kernel run natively? The answers are in the same order.
///
/// The architecture and family that the kernel reports come first. The rest is tried with programs that no handler takes.
pub(crate) fn natives(arches: &[&Arch]) -> Vec<Native> {
    let kernel = host::kernel_arch();
    let known = |arch: &Arch| match kernel {
        Some(kernel) if kernel.name == arch.name => Some(Native::Yes),
        _ => host::is_of_other_family(arch).then_some(Native::No),
    };
    let open = arches.iter().filter(|arch| known(arch).is_none());
    let mut tried = run_all(open.map(|arch| unhandled(arch)).collect(), CHILD_LIMIT).into_iter();
    arches.iter().filter_map(|arch| known(arch).or_else(|| tried.next().map(Native::of))).collect()
}

/// An architecture, the verdict on its program, and whether it is native.
pub(crate) type Surveyed = (&'static Arch, Verdict, Native);

/// Tries all architectures, with and without handlers.
pub(crate) fn survey() -> Vec<Surveyed> {
    let every: Vec<&'static Arch> = ARCHES.iter().collect();
    let natives = natives(&every);
    let verdicts = run(&every).into_iter().zip(natives);
    let surveyed = every.iter().zip(verdicts).map(|(arch, (verdict, native))| match verdict {
        // Whatever the trial without handlers said.
        Verdict::Ran { by: RanBy::Kernel, .. } => (*arch, verdict, Native::Yes),
        _ => (*arch, verdict, native),
    });
    surveyed.collect()
}

/// One that could not be tried. If any program runs, programs in memory may be executed: a handler's emulator may not.
pub(crate) fn untried(rows: &[Surveyed]) -> Option<&Surveyed> {
    let any_ran = rows.iter().any(|(_, verdict, _)| verdict.ran());
    let is_handlers = |v: &Verdict| any_ran && matches!(v, Verdict::Refused(Errno::EACCES | Errno::EPERM));
    rows.iter().find(|(_, verdict, _)| verdict.is_unclear() && !is_handlers(verdict))
}

/// Does this handler take the program of this architecture?
pub(crate) fn takes(entry: &Entry, arch: &Arch) -> bool {
    entry.matches(program(arch))
}

/// Does this handler take the program of an architecture that the kernel doesn't run natively?
pub(crate) fn is_foreign(entry: &Entry) -> bool {
    ARCHES.iter().any(|arch| takes(entry, arch) && !is_native(arch))
}

/// Does the kernel run this architecture natively?
pub(crate) fn is_native(arch: &Arch) -> bool {
    natives(&[arch])[0].is_yes()
}

/// Can emulators for that machine run here? Those for the architecture of qus can, emulated or not, and native ones.
pub(crate) fn is_runnable(machine: Machine) -> bool {
    let is_of = |arch: &Arch| arch.machine_bytes() == machine;
    // First without a trial: most emulators are of the architecture of qus.
    is_of(host::build_arch()) || ARCHES.iter().find(|arch| is_of(arch)).is_some_and(is_native)
}

fn start(index: usize, program: &[u8], challenge: &Challenge, limit: Duration) -> Result<Running, Errno> {
    let program = sys::program_in_memory(program)?;
    let started = Instant::now();
    let (pid, refused) = sys::spawn_traced(&program, challenge.argv0)?;
    let until = started + limit;
    Ok(Running { pid, index, program, started, until, is_late: false, by: None, refused, stuck: None })
}

fn settle(
    pid: Pid,
    change: Change,
    running: &mut Vec<Running>,
    verdicts: &mut Vec<(usize, Verdict)>,
    challenge: &Challenge,
) {
    let Some(at) = running.iter().position(|r| r.pid == pid) else { return };
    let child = &mut running[at];
    let verdict = match change {
        Change::Stopped(signal) => {
            // The first stop is that of execve; other signals belong to the program.
            let looked = if signal == libc::SIGTRAP && child.by.is_none() {
                loaded(pid, &child.program).map(|by| child.by = Some(by)).map(|()| None)
            } else {
                Ok(Some(signal))
            };
            // A child that can't be detached would stay stopped forever. The next wait reports how it ended.
            if let Err(errno) = looked.and_then(|passed_on| sys::detach(pid, passed_on)) {
                child.stuck = Some(errno);
                sys::end(pid);
            }
            return;
        }
        Change::Died(signal) => match child {
            Running { is_late: true, .. } => Verdict::TimedOut,
            Running { stuck: Some(errno), .. } => Verdict::Untried(*errno),
            // Loaded natively, then killed (out of memory): that says nothing about its architecture.
            Running { by: Some(RanBy::Kernel), .. } => Verdict::Untried(Errno::EINTR),
            Running { by: None, .. } if signal == libc::SIGSEGV => Verdict::Unloadable,
            _ => Verdict::Died(signal),
        },
        Change::Exited(code) => {
            let took = child.started.elapsed();
            let argv0 = code == challenge.answer(challenge.argv0);
            if let Some(errno) = child.refused {
                Verdict::Refused(errno)
            } else if argv0 || code == challenge.answer(b'/') {
                Verdict::Ran { by: child.by.take().unwrap_or(RanBy::Unknown), argv0, took }
            } else {
                Verdict::Exited(code, said(child, challenge, code))
            }
        }
    };
    verdicts.push((running.swap_remove(at).index, verdict));
}

/// What its interpreter says on stderr when the program is run again; nothing if that ends in another way.
fn said(child: &Running, challenge: &Challenge, code: i32) -> String {
    let argv0 = [challenge.argv0, 0];
    let argv0 = CStr::from_bytes_with_nul(&argv0).unwrap_or(c"qus");
    match sys::end_of(&child.program, &[argv0], child.until.min(Instant::now() + SLOW)) {
        Ok((again, line)) if again == Change::Exited(code) => without_path(&line, &child.program),
        _ => String::new(),
    }
}

/// What was said about a program in memory, without its path, which nobody else knows.
fn without_path(line: &str, program: &File) -> String {
    line.replace(&format!("{}: ", sys::own_path(program).display()), "")
}

/// What the kernel has loaded into a child that is stopped at its first instruction; unknown where /proc doesn't show it.
fn loaded(pid: Pid, program: &File) -> Result<RanBy, Errno> {
    let exe = match File::open(format!("/proc/{pid}/exe")) {
        Ok(exe) => exe,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            return Ok(RanBy::Unknown);
        }
        Err(e) => return Err(errno_of(e)),
    };
    let identity = |file: &File| file.metadata().map(|m| (m.dev(), m.ino())).map_err(errno_of);
    let is_program = identity(&exe)? == identity(program)?;
    Ok(if is_program { RanBy::Kernel } else { RanBy::Interpreter(exe) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_program_that_its_own_pattern_takes() {
        for arch in ARCHES {
            let head = program(arch);
            assert!(head.len() > 64, "{}: no program; scripts/update/assemble-probes makes them", arch.name);
            let takers: Vec<_> = ARCHES.iter().filter(|a| a.pattern.matches(head)).map(|a| a.name).collect();
            assert_eq!(takers, [arch.name]);
        }
    }

    #[test]
    fn a_program_for_the_kernel_alone_is_taken_by_no_pattern() {
        for arch in ARCHES {
            let head = unhandled(arch);
            assert!(!ARCHES.iter().any(|a| a.pattern.matches(&head)), "{}", arch.name);
            assert!(arch.pattern.matches(&marked(arch, *b"12345678")), "{}: marks are free", arch.name);
        }
    }

    #[test]
    fn the_kernels_word_comes_before_a_trial() {
        let kernel = host::kernel_arch();
        for (arch, native) in ARCHES.iter().zip(natives(&ARCHES.iter().collect::<Vec<_>>())) {
            assert!(!matches!(native, Native::Unclear(_)), "{}: {native:?}", arch.name);
            assert!(!(host::is_of_other_family(arch) && native.is_yes()), "{}", arch.name);
            assert!(kernel.is_none_or(|k| k.name != arch.name) || native.is_yes(), "{}", arch.name);
        }
    }

    #[test]
    fn only_a_refusal_says_that_the_kernel_does_not_run_it() {
        let by = |by| Native::of(Verdict::Ran { by, argv0: true, took: Duration::ZERO });
        assert!(by(RanBy::Kernel).is_yes() && by(RanBy::Unknown).is_yes());
        let taken = by(RanBy::Interpreter(File::open("/proc/self/exe").unwrap()));
        assert!(matches!(taken, Native::Unclear(Verdict::Ran { .. })));
        assert!(matches!(Native::of(Verdict::Refused(Errno::ENOEXEC)), Native::No));
        for unclear in [Verdict::Refused(Errno::ENOENT), Verdict::Refused(Errno::EACCES), Verdict::TimedOut] {
            assert!(matches!(Native::of(unclear), Native::Unclear(_)));
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_loops_is_ended_in_time_and_holds_up_nobody() {
        let own = program(host::build_arch());
        let mut looping = own.to_vec();
        looping[120..122].copy_from_slice(b"\xeb\xfe");
        let programs = [vec![looping; WIDTH + 2], vec![own.to_vec()]].concat();
        let started = Instant::now();
        let mut verdicts = run_all(programs, Duration::from_millis(100));
        assert!(verdicts.pop().unwrap().ran());
        assert!(verdicts.iter().all(|v| matches!(v, Verdict::TimedOut)), "{verdicts:?}");
        assert!(started.elapsed() < KILL_LIMIT);
    }

    #[test]
    fn this_machines_own_program_runs_natively() {
        let own = crate::arch::named(std::env::consts::ARCH).next().unwrap();
        let verdicts = run(&[own, own]);
        assert!(
            matches!(verdicts[..], [Verdict::Ran { by: RanBy::Kernel, argv0: true, .. }, _]),
            "{verdicts:?}"
        );
    }
}
