//! Does a program of this architecture run here, and by what? Answered by running one.
//!
//! The programs are a hundred bytes each (docs/probes.md): one exits with `(argv[0][0] + geteuid()) & 0xff`, so its status
//! says that it ran and whether it saw the `argv[0]` that it was given. Each is traced up to its first instruction, where
//! `/proc/PID/exe` names what the kernel has loaded: the program itself (native) or an interpreter. It registers nothing.
//!
//! What the kernel runs *itself* is a question of its own: a handler may take such programs before it. It is put with a program
//! that the kernel runs as well as any other, and handlers don't know ([`natives`]).

mod programs;

use std::ffi::CString;
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, geteuid};

use crate::arch::{ARCHES, Arch};
use crate::elf::Machine;
use crate::error::{Cause, Error, Step};
use crate::host::{self, Confinement};
use crate::sys::{self, CHILD_LIMIT, Change, KILL_LIMIT};

/// How many run at the same time: more than two to four gains nothing (docs/probes.md).
const WIDTH: usize = 4;

/// One that takes longer than this is likely to hang, and holds up nobody else.
const SLOW: Duration = Duration::from_secs(1);

/// `e_ident[EI_VERSION]`: the kernel's ELF loader doesn't look at it (fs/binfmt_elf.c), and every QEMU's pattern does.
const EI_VERSION: usize = 6;

/// `e_ident[EI_PAD]` and what is before it: no kernel and no QEMU looks at these bytes, and no pattern of ours.
const FREE: std::ops::Range<usize> = 8..16;

/// A value that no mask in use (0xff, 0xfe) takes for `EV_CURRENT`, and no handler asks for.
const NO_VERSION: u8 = 0xf0;

/// Eight bytes that a program can carry, and that a handler can ask for.
pub(crate) type Mark = [u8; 8];

/// What came of running a program of one architecture.
#[derive(Debug)]
pub(crate) enum Verdict {
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
    /// This signal ended what was running it.
    Died(i32),
    /// It did not finish within [`CHILD_LIMIT`], and was ended.
    TimedOut,
    /// Something ran and exited with a status that the program never gives.
    Exited(i32),
    /// It could not be tried at all.
    Untried(Errno),
}

/// Does the kernel run programs of an architecture itself, whatever handlers there are?
#[derive(Debug)]
pub(crate) enum Native {
    /// It does: a handler would take them away from it.
    Yes,
    /// It doesn't.
    No,
    /// That could not be seen, because of this.
    Unclear(Verdict),
}

impl Native {
    /// Does it?
    pub(crate) const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// What a program says that the kernel alone can run.
    fn of(verdict: Verdict) -> Self {
        match verdict {
            // Where nothing can be traced (under emulation), nothing but the kernel is likely to have run it.
            Verdict::Ran { by: RanBy::Kernel | RanBy::Unknown, .. } => Self::Yes,
            Verdict::Refused(Errno::ENOEXEC) => Self::No,
            other => Self::Unclear(other),
        }
    }
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
    pub(crate) const fn ran(&self) -> bool {
        matches!(self, Self::Ran { .. })
    }

    /// Was it kept from running by something else than its architecture? Then it says nothing of that.
    pub(crate) const fn is_unclear(&self) -> bool {
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

/// Why programs of this architecture don't run, for a verdict that says that they don't.
pub(crate) fn failure(arch: &Arch, verdict: &Verdict) -> Error {
    let failed = |why: Cause| Error::new(Step::Prove, format!("{} programs", arch.name), why);
    match verdict {
        Verdict::Refused(errno @ (Errno::EACCES | Errno::EPERM))
        | Verdict::Untried(errno @ (Errno::EACCES | Errno::EPERM)) => {
            failed((*errno).into()).hint(forbidden())
        }
        Verdict::Refused(errno) | Verdict::Untried(errno) => failed((*errno).into()),
        Verdict::Died(signal) => {
            let signal = Signal::try_from(*signal).map_or(format!("signal {signal}"), |s| s.to_string());
            failed(format!("their interpreter died of {signal}").into())
                .hint("another version of QEMU may do better: images are tagged by it")
        }
        Verdict::TimedOut => failed(format!("they did not finish in {} s", CHILD_LIMIT.as_secs()).into()),
        Verdict::Exited(code) => failed(format!("their interpreter exited with status {code}").into()),
        Verdict::Ran { .. } => failed("another handler took them".into()),
    }
}

/// What forbids to execute programs in memory.
fn forbidden() -> String {
    let sysctl = std::fs::read_to_string("/proc/sys/vm/memfd_noexec").is_ok_and(|set| set.trim() == "2");
    let by = match Confinement::look() {
        _ if sysctl => "vm.memfd_noexec=2 forbids that; `sysctl vm.memfd_noexec=1` allows it".to_owned(),
        Some(Confinement { by, label, option }) => {
            format!("{by}'s {label} may forbid that; a container may with {option}")
        }
        None => "a security module may forbid that".to_owned(),
    };
    format!("programs in memory can't be executed here: {by}")
}

/// The program of a row; every row has one.
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

/// The same program, for the kernel alone: no handler of QEMU's kind takes it.
fn unhandled(arch: &Arch) -> Vec<u8> {
    let mut program = marked(arch, [NO_VERSION; 8]);
    if let Some(version) = program.get_mut(EI_VERSION) {
        *version = NO_VERSION;
    }
    program
}

/// A child that is at work.
struct Running {
    pid: Pid,
    index: usize,
    program: File,
    started: Instant,
    /// When it is killed; when it has been, when it is given up.
    until: Instant,
    is_late: bool,
    by: Option<RanBy>,
    /// Why it could not execute its program, if that is so.
    refused: Option<Errno>,
    /// Why it could not be let go, if that is so.
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
pub(crate) fn run(arches: &[&Arch]) -> Vec<Verdict> {
    run_marked(arches, [0; 8])
}

/// Runs one.
pub(crate) fn run_one(arch: &Arch) -> Verdict {
    run(&[arch]).remove(0)
}

/// Runs one of every architecture.
pub(crate) fn run_every() -> Vec<(&'static Arch, Verdict)> {
    let every: Vec<_> = ARCHES.iter().collect();
    every.iter().copied().zip(run(&every)).collect()
}

/// Is there anything that a handler runs? Where that can't be told, there may be.
pub(crate) fn may_run_by_handlers() -> bool {
    let every: Vec<_> = ARCHES.iter().collect();
    let others = every.iter().zip(natives(&every)).filter(|(_, native)| !native.is_yes());
    let programs = others.map(|(arch, _)| marked(arch, [0; 8])).collect();
    sys::executes_any(programs, Instant::now() + CHILD_LIMIT).unwrap_or(true)
}

/// Runs programs that carry this mark: a handler whose pattern asks for it takes those only.
pub(crate) fn run_marked(arches: &[&Arch], mark: Mark) -> Vec<Verdict> {
    run_all(arches.iter().map(|arch| marked(arch, mark)).collect(), CHILD_LIMIT)
}

/// Has an emulator run a program of this architecture, without any handler.
pub(crate) fn run_by(emulator: &File, arch: &Arch) -> Verdict {
    let started = Instant::now();
    let raw = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(Errno::EIO as i32));
    let run = || {
        let program = sys::program_in_memory(program(arch)).map_err(raw)?;
        let path =
            CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
        sys::exit_code_of(emulator, &[c"qemu", &path], started + CHILD_LIMIT)
    };
    match run() {
        Ok(code) if code == Challenge::new().answer(b'/') => {
            Verdict::Ran { by: RanBy::Unknown, argv0: true, took: started.elapsed() }
        }
        Ok(code) => Verdict::Exited(code),
        Err(Errno::ETIMEDOUT) => Verdict::TimedOut,
        Err(Errno::EINTR) => Verdict::Died(0),
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
                // It was killed, and can't die: it hangs in the kernel.
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
    verdicts.sort_by_key(|(index, _)| *index);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Does a set-uid program of this architecture get its owner's rights, as flag `C` promises? `at` is a directory to mount on.
///
/// # Errors
/// Why that can't be seen here: EPERM under `no_new_privs`, EINVAL in a user namespace with a single user.
pub(crate) fn honours_set_uid(arch: &Arch, at: &str) -> Result<bool, Errno> {
    /// Any user but root, whose rights we have already; 9 is `news` on most systems, and owns nothing here.
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

/// Which of these does the kernel run itself? The answers are in the same order.
///
/// The kernel's word for what it is comes before any trial, and so does its family: it doesn't run others. The rest is tried with
/// programs that only the kernel runs, so that it doesn't matter which handlers there are.
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

/// An architecture, what ran its program, and whether the kernel runs it without handlers.
pub(crate) type Surveyed = (&'static Arch, Verdict, Native);

/// Tries all architectures both ways.
pub(crate) fn survey() -> Vec<Surveyed> {
    let natives = natives(&ARCHES.iter().collect::<Vec<_>>());
    run_every().into_iter().zip(natives).map(|((arch, verdict), native)| (arch, verdict, native)).collect()
}

/// Does the kernel run programs of this architecture itself?
pub(crate) fn is_native(arch: &Arch) -> bool {
    natives(&[arch])[0].is_yes()
}

/// Does this host execute programs of that machine, for emulators: those that qus is one of, emulated or not, and those that the
/// kernel runs itself?
pub(crate) fn is_runnable(machine: Machine) -> bool {
    let is_of = |arch: &Arch| arch.machine_bytes() == machine;
    // What needs no trial comes first: most emulators are programs of the architecture that qus is one of.
    is_of(host::build_arch()) || ARCHES.iter().find(|arch| is_of(arch)).is_some_and(is_native)
}

fn start(index: usize, program: &[u8], challenge: &Challenge, limit: Duration) -> Result<Running, Errno> {
    let raw = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(Errno::EIO as i32));
    let program = sys::program_in_memory(program).map_err(raw)?;
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
            // The first stop is the one that execve causes; any other signal is the program's own affair.
            let passed_on = if signal == libc::SIGTRAP && child.by.is_none() {
                child.by = Some(loaded(pid, &child.program));
                None
            } else {
                Some(signal)
            };
            // One that can't be let go would stand still for ever, and we would wait for it. How a child ended, this one or one
            // that has died meanwhile, is what the next wait reports.
            if let Err(errno) = sys::detach(pid, passed_on) {
                child.stuck = Some(errno);
                sys::end(pid);
            }
            return;
        }
        Change::Died(signal) => match child {
            Running { is_late: true, .. } => Verdict::TimedOut,
            Running { stuck: Some(errno), .. } => Verdict::Untried(*errno),
            // The kernel had loaded it, and somebody ended it (out of memory): that says nothing of its architecture.
            Running { by: Some(RanBy::Kernel), .. } => Verdict::Untried(Errno::EINTR),
            // The kernel took it, and could not load it: pages of 16k, for one, don't hold programs that are laid out for 4k.
            Running { by: None, .. } if signal == libc::SIGSEGV => Verdict::Refused(Errno::ENOEXEC),
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
                Verdict::Exited(code)
            }
        }
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
pub(crate) type Identity = (u64, u64);

/// Which file this is; `None` where even that can't be read.
pub(crate) fn identity(file: &File) -> Option<Identity> {
    file.metadata().map(|m| identity_of(&m)).ok()
}

/// The same, of what is known about it.
pub(crate) fn identity_of(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
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
