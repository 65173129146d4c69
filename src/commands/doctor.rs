//! Diagnoses this host. Each problem comes with the command that fixes it. Changes nothing.

use std::borrow::Cow;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::utsname::uname;
use nix::unistd::{AccessFlags, access};

use super::Done;
use super::export::export;
use super::install::remedy as remedy_to_last;
use super::rules::{rule, tried_by};
use crate::anchor::BinfmtMount;
use crate::arch::{Arch, PREFIX, named};
use crate::binfmt::USUAL_DIR;
use crate::emulators::Emulator;
use crate::error::{Cause, Error, Result, Step, quoted};
use crate::host::{self, Confinement};
use crate::mounts::Instance;
use crate::outcome::{Finding, Grade, Outcome, Report};
use crate::plan::covers;
use crate::probe::{self, Native, RanBy, Surveyed, Verdict};
use crate::request::{Export, Format, HandlerOptions, Targets};
use crate::rule::{Entry, Flags, Match, Owner};
use crate::userns::Namespaces;

fn finding(about: &str, grade: Grade, seen: impl Into<String>, remedy: Option<&str>) -> Finding {
    Finding { about: about.to_owned(), grade, seen: seen.into(), remedy: remedy.map(str::to_owned) }
}

const MOUNT: &str = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc";

pub(super) fn doctor(report: &mut Report) -> Done {
    let place = Namespaces::look()?;
    // Before anything is mounted: a first mount hides the outer handlers from a user namespace.
    let rows = probe::survey();
    // Before listing the handlers, which may mount it at the same place.
    let is_there = place.is_own_mounted(Path::new(USUAL_DIR)).unwrap_or(false);
    let mut findings = vec![kernel(), namespace(place), privileges(place.on_host && is_there)];
    let seen = place.binfmt_for_reading(None);
    let seen = seen.and_then(|binfmt| Ok((binfmt.entries()?, binfmt.is_enabled()?, binfmt)));
    findings.extend(confinement(seen.as_ref().err()));
    let is_mountable = seen.is_ok() && !is_there;
    let (entries, enabled, binfmt) = match seen {
        Ok((entries, enabled, binfmt)) => {
            findings.push(mount(place, is_there, enabled));
            (entries, enabled, Some(binfmt))
        }
        Err(error) => {
            let remedy = error.hint.clone();
            // A number alone says nothing of the call.
            let seen = match &error.why {
                Cause::Found(why) => why.clone(),
                Cause::Errno(_) => error.to_string(),
            };
            findings.push(Finding { remedy, ..finding("binfmt_misc", Grade::Broken, seen, None) });
            (Vec::new(), false, None)
        }
    };
    findings.extend(flushing(place, &entries));
    findings.extend(host::user_namespaces_forbidden_by().map(|allowed| {
        let seen = "users must not create user namespaces, which `qus run` and rootless engines need";
        finding("namespaces", Grade::Warning, seen, Some(&format!("sysctl {allowed}")))
    }));
    findings.extend(entries.iter().map(|e| handler(e, &entries, &rows, place, enabled)));
    // Disabled, they take nothing.
    findings.extend(targets(&rows, if enabled { &entries } else { &[] }));
    // Last, because it unmounts binfmt_misc.
    drop(binfmt);
    if is_mountable && !place.on_host && !would_last(place).unwrap_or(true) {
        let seen = "handlers that are registered from here would vanish with the process (exit code 3)";
        findings.push(finding("keeping", Grade::Warning, seen, Some(&remedy_to_last(place, true))));
    }
    report.unhealthy |= findings.iter().any(|f| f.grade == Grade::Broken);
    Ok(Outcome::Findings { findings })
}

/// Would a registration from here outlive it?
fn would_last(place: Namespaces) -> Result<bool> {
    let mut mount = BinfmtMount::for_registering(place, None, true, Instance::Own)?;
    Ok(mount.is_held_by_host()
        || mount.kernel_keeps_trees().unwrap_or(false)
        || mount.is_there_without_us(&mut || {})?)
}

fn kernel() -> Finding {
    let text = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
    match uname() {
        Ok(u) => finding(
            "kernel",
            Grade::Good,
            format!("Linux {} on {}", text(u.release()), text(u.machine())),
            None,
        ),
        Err(errno) => finding("kernel", Grade::Warning, errno.desc(), None),
    }
}

fn namespace(place: Namespaces) -> Finding {
    let seen = match place {
        Namespaces { in_user_namespace: true, .. } => {
            "in a user namespace (rootless): handlers are for this namespace only"
        }
        Namespaces { on_host: true, .. } => "on the host",
        Namespaces { host_in_sight: true, .. } if !Path::new("/proc/1").exists() => {
            "among the host's processes, the first of which is hidden (hidepid)"
        }
        Namespaces { host_in_sight: true, .. } => "in a container that sees the host's processes",
        _ => "in a container",
    };
    finding("place", Grade::Good, seen, None)
}

/// Does this process have the capability to mount, and to register where nothing needs to be mounted?
fn privileges(is_mounted: bool) -> Finding {
    /// `CAP_SYS_ADMIN` in include/uapi/linux/capability.h.
    const SYS_ADMIN: u32 = 21;
    const STATUS: &str = "/proc/self/status";
    let status = match std::fs::read_to_string(STATUS).map_err(|e| Error::new(Step::Read, STATUS, e)) {
        Ok(status) => status,
        Err(e) => return finding("privileges", Grade::Warning, e.to_string(), None),
    };
    let effective = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|h| u64::from_str_radix(h.trim(), 16).ok());
    if effective.is_some_and(|caps| caps >> SYS_ADMIN & 1 == 1) {
        return finding("privileges", Grade::Good, "CAP_SYS_ADMIN", None);
    }
    let register = Path::new(USUAL_DIR).join("register");
    if is_mounted && access(register.as_path(), AccessFlags::W_OK).is_ok() {
        return finding("privileges", Grade::Good, "to register; no CAP_SYS_ADMIN, so not to mount", None);
    }
    finding(
        "privileges",
        Grade::Warning,
        "no CAP_SYS_ADMIN: cannot mount or register anything from here",
        Some("run as root, or run the container with --cap-add SYS_ADMIN; `qus run` needs neither"),
    )
}

/// The security module that confines this process, and may forbid to mount.
fn confinement(refused: Option<&Error>) -> Option<Finding> {
    let Confinement { by, label, option } = Confinement::look()?;
    let is_why = refused.is_some_and(|e| e.step == Step::Mount && e.why == Cause::Errno(Errno::EACCES));
    Some(if is_why {
        let remedy = format!("run the container with {option}");
        finding(by, Grade::Broken, format!("{label} forbids mounting"), Some(&remedy))
    } else {
        finding(by, Grade::Good, label, None)
    })
}

fn mount(place: Namespaces, is_there: bool, enabled: bool) -> Finding {
    if !enabled {
        return finding(
            "binfmt_misc",
            Grade::Broken,
            "disabled: the kernel uses no handler",
            Some("echo 1 > /proc/sys/fs/binfmt_misc/status"),
        );
    }
    match (place.on_host, is_there) {
        (true, true) => {
            finding("binfmt_misc", Grade::Good, "mounted on the host, which keeps the handlers", None)
        }
        (true, false) => finding(
            "binfmt_misc",
            Grade::Warning,
            "not mounted on the host: handlers vanish when nothing else holds it",
            Some(MOUNT),
        ),
        (false, true) => finding("binfmt_misc", Grade::Good, "mounted here", None),
        (false, false) => finding("binfmt_misc", Grade::Good, "can be mounted here", None),
    }
}

/// The directories of systemd-binfmt (binfmt.d(5)), and that of units which start with it.
const BINFMT_D: [&str; 4] =
    ["/etc/binfmt.d", "/run/binfmt.d", "/usr/local/lib/binfmt.d", "/usr/lib/binfmt.d"];
const WANTED: &str = "/etc/systemd/system/systemd-binfmt.service.wants";

/// systemd-binfmt writes -1 to `status` when it starts or stops, and registers only what its files say. Without files, it does
/// neither.
fn flushing(place: Namespaces, entries: &[Entry]) -> Option<Finding> {
    let arch = |e: &Entry| arch_of(&e.name).or_else(|| named(e.name.strip_prefix(PREFIX)?).next());
    let ours: Vec<_> = entries.iter().filter_map(|e| Some((e, arch(e)?))).collect();
    if !place.on_host || ours.is_empty() || !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let is_back =
        ["qus.service", "qus-host.service"].iter().any(|unit| Path::new(WANTED).join(unit).exists());
    let is_in_file = |(e, arch): &(&Entry, &Arch)| {
        // One of qus's name serves, too.
        let files = [&e.name, &arch.handler_name()].map(|name| format!("{name}.conf"));
        BINFMT_D.iter().any(|dir| files.iter().any(|file| Path::new(dir).join(file).exists()))
    };
    let (kept, lost): (Vec<_>, Vec<_>) = ours.into_iter().partition(is_in_file);
    if is_back || lost.is_empty() {
        let by = if is_back { "a unit of qus brings" } else { "files in binfmt.d bring" };
        let seen = format!("{by} the handlers back when systemd-binfmt restarts");
        return Some(finding("systemd", Grade::Good, seen, None));
    }
    // Files need emulators on the host; those of an image need the unit.
    let dir = Path::new(&lost[0].0.interpreter).parent()?;
    // Options, and the targets whose handlers have the flags of these.
    let mut groups: Vec<(String, String)> = Vec::new();
    let (mut all, mut is_exported) = (String::new(), true);
    for (e, arch) in &lost {
        // Two handlers of a target come back as one.
        if all.split(' ').any(|name| name == arch.target) {
            continue;
        }
        all = all + " " + arch.target;
        is_exported = is_exported && is_exported_from(dir, e, arch);
        let options = options(e, arch);
        match groups.iter_mut().find(|(o, _)| *o == options) {
            Some((_, names)) => *names = format!("{names} {}", arch.target),
            None => groups.push((options, format!(" {}", arch.target))),
        }
    }
    let each = |before: &str, between: &str| {
        let mut text = String::new();
        for (options, names) in &groups {
            let between = if text.is_empty() { "" } else { between };
            text = text + between + before + options + names;
        }
        text
    };
    // Nothing that qus exports has flag O without C.
    let is_opened = |flags: Flags| flags.open_binary && !flags.credentials;
    let less =
        if lost.iter().any(|(e, _)| is_opened(Flags::parse(&e.flags))) { " # without flag O" } else { "" };
    let has_file = |dir: &&str| std::fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some());
    let seen = if BINFMT_D.iter().any(has_file) || !kept.is_empty() {
        format!("a restart of systemd-binfmt, as by packages, removes{all}")
    } else {
        format!(
            "systemd-binfmt has no files, and does nothing; with a file from a package, it will remove{all}"
        )
    };
    let remedy = match dir.to_str().and_then(quoted).filter(|_| is_exported) {
        Some(dir) => {
            let to = BINFMT_D[0];
            let mkdir = if Path::new(to).exists() { "" } else { "mkdir -p /etc/binfmt.d && " };
            let lines = each(&format!("qus export binfmt.d --path {dir} -e {to}"), " && ");
            format!("{mkdir}{lines}{less}")
        }
        None => {
            let is_there = |engine| Path::new("/usr/bin").join(engine).exists();
            let engine = if is_there("podman") && !is_there("docker") { "--engine podman " } else { "" };
            let edit = match groups.iter().all(|(options, _)| options.is_empty()) {
                true => String::new(),
                // A unit of this kind may start several programs.
                false => format!(
                    "sed -i 's/\\(ExecStart=.* install\\).*/{}/' /etc/systemd/system/qus.service && ",
                    each("\\1", "\\n")
                ),
            };
            format!(
                "qus export systemd {engine}--image IMAGE -e /etc/systemd/system{all} && {edit}\
                 systemctl enable --now qus # IMAGE: the image of qus that you use{less}"
            )
        }
    };
    Some(finding("systemd", Grade::Warning, seen, Some(&remedy)))
}

/// The options, each after a blank, by which a handler comes back with its flags.
fn options(e: &Entry, arch: &Arch) -> String {
    let (wanted, usual) = (Flags::parse(&e.flags), rule(arch, &HandlerOptions::default(), None).flags);
    let mut options = String::new();
    for (option, is_set, usual) in [
        (" --persistent", wanted.fix_binary, usual.fix_binary),
        (" --credentials", wanted.credentials, usual.credentials),
        (" --preserve-argv0", wanted.preserve_argv0, usual.preserve_argv0),
    ] {
        if is_set != usual {
            options = options + option + if is_set { " yes" } else { " no" };
        }
    }
    options
}

/// Would `qus export binfmt.d` write this handler, with the flags and the emulator that it has?
fn is_exported_from(dir: &Path, e: &Entry, arch: &Arch) -> bool {
    let Flags { fix_binary, credentials, preserve_argv0, .. } = Flags::parse(&e.flags);
    let request = Export {
        targets: Targets::These(vec![arch.target]),
        options: HandlerOptions {
            dir: Some(dir.to_owned()),
            persistent: fix_binary,
            credentials,
            preserve_argv0: Some(preserve_argv0),
            ..HandlerOptions::default()
        },
        format: Format::BinfmtD,
        to: None,
        host: None,
        force: false,
        dry_run: true,
    };
    let Ok(Outcome::Printed { files, .. }) = export(&request, &mut Report::default()) else { return false };
    // After its interpreter, a line has its flags.
    let is_same = |line: &str| line.rsplit(line.chars().next().unwrap_or(':')).nth(1) == Some(&e.interpreter);
    files.iter().any(|(_, line)| is_same(line))
}

/// The finding about a handler.
fn handler(e: &Entry, entries: &[Entry], rows: &[Surveyed], place: Namespaces, enabled: bool) -> Finding {
    let is_third_party = !e.name.starts_with(PREFIX) && !e.is_qemu();
    let fixed = Flags::parse(&e.flags).fix_binary;
    let taken = || taken_by(e, rows);
    let runs = taken().all(|(_, verdict, _)| verdict.ran()) && taken().next().is_some();
    // A limit of this process is no fault of the handler.
    let is_its_own = |verdict: &Verdict| !verdict.ran() && probe::limit_on(verdict).is_none();
    let fails = enabled && taken().any(|row| is_its_own(&row.1)) && probe::untried(rows).is_none();
    let stray = taken().find(|(_, _, native)| native.is_yes());
    let rival = |other: &&Entry| {
        let (a, b) = (&other.matches, &e.matches);
        other.name != e.name && other.enabled && !other.is_trial() && (covers(a, b) || covers(b, a))
    };
    let rival = entries.iter().find(rival);
    let owner = match e.owner() {
        Owner::ThirdParty | Owner::Wsl => "third-party: ",
        Owner::Distribution => "the distribution's: ",
        Owner::Qus | Owner::Qemu => "",
    };
    let interpreter = &e.interpreter;
    let missing = || match Path::new(interpreter).try_exists() {
        Ok(true) => None,
        Ok(false) => Some(format!("stale: no {interpreter} here, and no flag F")),
        Err(e) => Some(format!("no flag F, and cannot reach {interpreter}: {}", Cause::from(e))),
    };
    let missing = if fixed { None } else { missing() };
    // The file at its path, if that is what runs.
    let loader =
        || Emulator::at(Path::new(interpreter)).ok().filter(|_| ran(e, rows) == Some(true))?.loader();
    // What a third-party handler takes from each container.
    let needed = || {
        let is_its_own = rival.is_none() || ran(e, rows) == Some(true);
        match taken().find_map(|(_, verdict, _)| verdict.loader()).filter(|_| is_its_own) {
            _ if taken().next().is_none() => String::new(),
            Some(loader) => {
                format!("; what it runs is dynamically linked: every container needs {loader}")
            }
            None if fixed => String::new(),
            None => ", which every container needs (no flag F)".to_owned(),
        }
    };
    let is_missing = missing.is_some();
    let (grade, seen) = match (stray, missing) {
        _ if !e.enabled && is_third_party => {
            // Disabled on purpose.
            (Grade::Good, format!("third-party, disabled: {interpreter}"))
        }
        _ if e.is_trial() => {
            (Grade::Warning, "left by a run of qus, unless that is still at work".to_owned())
        }
        _ if !e.enabled => (Grade::Broken, "disabled".to_owned()),
        _ if stood_in_for(e).is_some() => (
            Grade::Warning,
            "a stand-in, left by a run of qus, unless that is still at work: it runs the programs".to_owned(),
        ),
        (Some((arch, ..)), _) => {
            let name = arch.name;
            (
                Grade::Broken,
                format!("it takes {name} programs, which this kernel runs natively: {interpreter}"),
            )
        }
        (None, None) if fails && rival.is_none() && !is_third_party => {
            (Grade::Broken, format!("its programs do not run: {} {interpreter}", e.flags))
        }
        // The host's files aren't visible from here.
        _ if is_third_party && !place.on_host => (Grade::Good, format!("{owner}{interpreter}{}", needed())),
        // Harmless if its programs run anyway.
        (None, Some(missing)) => (if runs { Grade::Warning } else { Grade::Broken }, missing),
        // Nobody but its owner knows whether containers are meant to use it.
        _ if !e.is_qemu() => (Grade::Good, format!("{owner}{interpreter}{}", needed())),
        _ => match (loader(), rival) {
            (Some(loader), _) => (
                Grade::Warning,
                format!("{interpreter} is dynamically linked: every container needs {loader}"),
            ),
            _ if !fixed && (rival.is_none() || ran(e, rows) != Some(false)) => {
                (Grade::Warning, format!("no flag F: every container needs {interpreter}"))
            }
            (None, Some(other)) => (
                // One of the two was preferred to the other, and works.
                if other.is_qemu() || !runs { Grade::Warning } else { Grade::Good },
                format!(
                    "{} takes the same programs; the kernel uses the handler that was registered last",
                    other.name
                ),
            ),
            (None, None) => (Grade::Good, format!("{owner}{} {interpreter}", e.flags)),
        },
    };
    let own = arch_of(&e.name);
    // By another name, it may be the one that runs programs: it goes once one of qus's name does.
    let is_needed = e.enabled && runs && !is_missing;
    let is_replaced = |other: &Entry| arch_of(&other.name).is_some() && ran(other, rows) == Some(true);
    let needed = || taken().next().filter(|_| is_needed && !rival.is_some_and(is_replaced));
    let arch = || stood_in_for(e).map_or(own, arch_of).or_else(|| needed().map(|(arch, ..)| *arch));
    let remedy = || match arch() {
        Some(arch) if stray.is_none() => match rival {
            // A run puts an end to a stand-in.
            Some(other) if stood_in_for(e).or(stood_in_for(other)).is_some() => installation(arch, entries),
            // A second QEMU is of no use, if it isn't the one that works.
            Some(other)
                if own.is_some() && e.enabled && fixed && other.is_qemu() && ran(e, rows) == Some(true) =>
            {
                removal(other)
            }
            _ => installation(arch, entries),
        },
        _ => removal(e),
    };
    let remedy = (grade != Grade::Good).then(remedy);
    Finding { remedy, ..finding(&e.name, grade, seen, None) }
}

/// The architectures whose programs it takes.
fn taken_by<'a>(e: &Entry, rows: &'a [Surveyed]) -> impl Iterator<Item = &'a Surveyed> {
    rows.iter().filter(|(arch, ..)| covers(&e.matches, &Match::from(&arch.pattern)))
}

/// Does the file at its path run the programs that it takes? `None` if unknown: of several handlers, nobody can ask the kernel which
/// comes first.
fn ran(e: &Entry, rows: &[Surveyed]) -> Option<bool> {
    let mut loaded = taken_by(e, rows).filter_map(|(_, verdict, _)| match verdict {
        Verdict::Ran { by, .. } => Some(by),
        _ => None,
    });
    match loaded.next() {
        None | Some(RanBy::Kernel) => Some(false),
        Some(RanBy::Interpreter(file)) => {
            Emulator::at(Path::new(&e.interpreter)).and_then(|own| own.is_same_as(file)).ok()
        }
        Some(RanBy::Unknown) => None,
    }
}

/// The architecture that a handler of that name is for.
fn arch_of(name: &str) -> Option<&'static Arch> {
    named(name.strip_prefix(PREFIX)?).find(|arch| arch.handler_name() == name)
}

/// The handler whose stand-in this entry is, left by an interrupted run.
fn stood_in_for(e: &Entry) -> Option<&str> {
    tried_by(&e.name).filter(|_| e.signature().is_some() && !e.is_trial())
}

/// The command that removes a handler.
fn removal(e: &Entry) -> String {
    if let Some(arch) = arch_of(&e.name) {
        return format!("qus remove {}", arch.target);
    }
    // Several words would be taken for several names.
    let is_plain = !e.name.contains(',') && matches!(quoted(&e.name), Some(Cow::Borrowed(_)));
    if e.name.starts_with(PREFIX) && is_plain {
        return format!("qus remove {}", e.name);
    }
    match quoted(&format!("{USUAL_DIR}/{}", e.name)) {
        Some(file) => format!("echo -1 > {file}"),
        None => format!("write -1 to its file in {USUAL_DIR}"),
    }
}

/// The command that registers a handler for an architecture.
fn installation(arch: &Arch, entries: &[Entry]) -> String {
    let is_rival = |e: &Entry| !e.is_qemu() && e.matches(arch.pattern.magic());
    let force = if entries.iter().any(is_rival) { "--force " } else { "" };
    format!("qus install {force}{}", arch.target)
}

/// The architectures that run, and each that doesn't although a handler takes its programs.
fn targets(rows: &[Surveyed], entries: &[Entry]) -> Vec<Finding> {
    let names = |is_native: bool| {
        let ran = rows.iter().filter(|(_, verdict, native)| verdict.ran() && native.is_yes() == is_native);
        let names: Vec<_> = ran.map(|(arch, ..)| arch.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    if let Some((arch, verdict, _)) = probe::untried(rows) {
        let error = probe::failure(arch, verdict);
        let seen = format!("cannot tell what runs: {}", error.why);
        return vec![finding("programs", Grade::Broken, seen, error.hint.as_deref())];
    }
    let mut findings = vec![
        finding("native", Grade::Good, names(true), None),
        finding("emulated", Grade::Good, names(false), None),
    ];
    for (arch, verdict, native) in rows.iter().filter(|(_, verdict, _)| !verdict.ran()) {
        let (mut names, mut removals) = (String::new(), String::new());
        for taker in entries.iter().filter(|e| probe::takes(e, arch)) {
            let (and, then) = if names.is_empty() { ("", "") } else { (" and ", "; ") };
            names = names + and + &taker.name;
            removals = removals + then + &removal(taker);
        }
        if names.is_empty() {
            // None takes them.
            if matches!(verdict, Verdict::Refused(Errno::ENOEXEC) | Verdict::Unloadable) {
                continue;
            }
            names.push_str("a handler that is not visible from here");
            removals.push_str("remove it where it was registered");
        }
        // Where the kernel runs them, or nobody can tell, qus registers nothing.
        let remedy = match native {
            Native::No => probe::limit_on(verdict).unwrap_or_else(|| installation(arch, entries)),
            _ => removals,
        };
        let failure = probe::failure(arch, verdict);
        let seen = format!("its programs do not run through {names}: {}", failure.why);
        findings.push(finding(arch.name, Grade::Broken, seen, Some(&remedy)));
    }
    findings
}
