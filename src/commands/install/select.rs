//! (requested, emulators, native) → a job for each handler, a result for the rest.

use std::path::absolute;

use nix::errno::Errno;

use super::job::Job;
use crate::arch::{Arch, PREFIX};
use crate::commands::rules::{OTHER_DIR, file_name, has_none, renamed};
use crate::emulators::{EmulatorDir, SUMS};
use crate::error::{Cause, Error, Result, Step, quoted};
use crate::outcome::{Report, State, TargetResult};
use crate::probe::{self, Native, Verdict};
use crate::request::{HandlerOptions, Install};
use crate::sys;
use crate::userns::{Namespaces, Outer};

pub(super) struct Selection {
    /// For the requested handlers that have an emulator, and for those of [`also_needed`].
    pub(super) jobs: Vec<Job>,
    /// Results for the rest.
    pub(super) results: Vec<TargetResult>,
    /// What outer handlers run, which this user namespace will no longer see.
    pub(super) outer: Outer,
    /// `None` if the directory isn't here.
    pub(super) dir: Option<EmulatorDir>,
}

/// Opens the directory of the emulators. If all targets are requested, there must be an emulator.
fn see_emulators(request: &Install) -> Result<Option<EmulatorDir>> {
    let options = &request.options;
    let dir = match options.open_dir() {
        Ok(dir) => dir,
        // Without flag F, the path is looked up at exec time, and need not exist here.
        Err(e)
            if !options.persistent
                && e.why == Cause::Errno(Errno::ENOENT)
                && e.on == options.dir().to_string_lossy() =>
        {
            return Ok(None);
        }
        Err(e) if e.step == Step::Open => {
            return Err(e.hint(OTHER_DIR));
        }
        Err(e) => return Err(e),
    };
    let is_needed = options.persistent && !request.targets.are_named();
    if is_needed && !request.targets.rows().any(|arch| dir.find(arch).is_some()) {
        return Err(has_none(options));
    }
    Ok(Some(dir))
}

/// Raises the limit on open files. If it is too low all the same, nothing is begun: with no descriptor left, nothing could be removed.
fn see_limit(targets: usize) -> Result<()> {
    // A target's emulator, that of the handler that it replaces, and some for mounts and probes.
    let needed = 64 + 2 * targets;
    let limit = sys::raise_limit_on_files();
    if limit >= needed as u64 {
        return Ok(());
    }
    let why = format!("the limit on open files is {limit}, and this takes {needed}");
    Err(Error::new(Step::Open, "the emulators", why)
        .hint("raise it: `ulimit -n 1024`, or for a container --ulimit nofile=1024"))
}

pub(super) fn select(request: &Install, place: Namespaces, report: &mut Report) -> Result<Selection> {
    let options = &request.options;
    let rows = request.targets.rows().collect::<Vec<_>>();
    see_limit(rows.len())?;
    let dir = see_emulators(request)?;
    let natives = probe::natives(&rows);
    let find = |arch: &Arch| dir.as_ref().and_then(|d| d.find(arch));
    let is_named = request.targets.are_named();
    let has_none = dir.as_ref().is_none_or(|d| d.emulators().is_empty());
    let by_name_only = !options.persistent && (is_named || has_none);
    let (mut jobs, mut results, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
    for (arch, native) in rows.iter().zip(natives) {
        let (file, is_native) = (find(arch), native.is_yes());
        match (file, native) {
            (file, Native::Unclear(verdict)) if file.is_some() || by_name_only => {
                results.push(TargetResult::new(arch.name, State::Failed));
                unclear.push((*arch, verdict));
            }
            (Some(file), _) => jobs.push(Job::new(arch, options, file, is_native)),
            (None, _) if by_name_only || is_native => {
                jobs.push(Job::new(arch, options, file_name(arch, options), is_native));
            }
            (None, _) if is_named => {
                report.errors.push(not_carried(arch, options));
                results.push(TargetResult::new(arch.name, State::Failed));
            }
            (None, _) => results.push(TargetResult::new(arch.name, State::NotCarried)),
        }
    }
    if let Some((arch, verdict)) = unclear.first() {
        let names: Vec<_> = unclear.iter().map(|(arch, _)| arch.name).collect();
        report.errors.push(cannot_tell(&names.join(", "), arch, verdict));
    }
    let outer = also_needed(&mut jobs, find, request, place)?;
    remarks(&jobs, dir.as_ref(), options, report);
    Ok(Selection { jobs, results, outer, dir })
}

pub(in crate::commands) fn not_carried(arch: &Arch, options: &HandlerOptions) -> Error {
    let path = options.dir().join(file_name(arch, options));
    let dir = quoted(&options.dir().to_string_lossy()).map(|dir| format!(" --path {dir}"));
    Error::at(Step::Open, &path, Errno::ENOENT).hint(format!(
        "there is no emulator for {} here: `qus verify{}` lists those that there are; {OTHER_DIR}",
        arch.target,
        dir.unwrap_or_default(),
    ))
}

/// A handler for native programs would break the host, so nothing is registered that may be native.
pub(in crate::commands) fn cannot_tell(names: &str, arch: &Arch, verdict: &Verdict) -> Error {
    let failure = probe::failure(arch, verdict);
    let why = format!("cannot tell whether this kernel runs them natively: {}", failure.why);
    let error = Error::new(Step::Register, format!("handlers for {names} programs"), why);
    match verdict.is_unclear() {
        true => error.maybe_hint(failure.hint.clone()),
        // The kernel either refuses such a program or runs it: anything else was a handler.
        false => error.hint("a handler takes them first; `qus list` shows it"),
    }
}

/// Adds jobs for everything that outer handlers run, which is returned: from the first mount of binfmt_misc on, a user namespace
/// no longer sees the outer handlers, not even after umount (docs/kernel.md).
fn also_needed(
    jobs: &mut Vec<Job>,
    find: impl Fn(&Arch) -> Option<String>,
    request: &Install,
    place: Namespaces,
) -> Result<Outer> {
    // Nothing is mounted then.
    if jobs.iter().all(|job| job.is_native) {
        return Ok(Outer::default());
    }
    let outer = match place.outer(request.mount.as_deref()) {
        Err(_) if request.shadow_host => Outer::default(),
        outer => outer.map_err(|error| {
            error.or_hint("programs that the host's handlers run could stop working here; `qus install --shadow-host` registers anyway")
        })?,
    };
    if outer.is_empty() {
        return Ok(outer);
    }
    let options = HandlerOptions { persistent: true, ..request.options.clone() };
    let mut lost = Vec::new();
    for arch in &outer.arches {
        match find(arch) {
            Some(_) if jobs.iter().any(|job| job.arch.name == arch.name) => {}
            Some(file) => jobs.push(Job::new(arch, &options, file, false)),
            None => lost.push(arch.name),
        }
    }
    if request.shadow_host {
        return Ok(outer);
    }
    let others: Vec<_> = outer.others.iter().map(String::as_str).collect();
    let lost =
        [("there is no good emulator here for", lost.join(" ")), ("qus cannot carry over", others.join(" "))];
    let mut why = String::new();
    for (what, names) in lost.iter().filter(|(_, names)| !names.is_empty()) {
        why = format!("{why}, and {what} {names}");
    }
    if !why.is_empty() {
        let why = format!("it {} no longer see the host's handlers{why}", outer.would());
        return Err(Error::new(Step::Register, HERE, why).hint(DO_WITHOUT));
    }
    // Nothing else keeps the first binfmt_misc of a namespace.
    if !request.options.persistent && request.hold.is_none() {
        let names = outer.names();
        let why = format!(
            "nothing in this user namespace would keep them, and it {} no longer see the host's: {names}",
            outer.would()
        );
        return Err(Error::new(Step::Keep, "the handlers", why)
            .hint("set flag F, as `qus install` does; or keep the container running with `qus hold`"));
    }
    Ok(outer)
}

pub(super) const HERE: &str = "handlers in this user namespace";

/// The hint where outer handlers would be lost.
pub(super) const DO_WITHOUT: &str =
    "register on the host, as root; or do without them: `qus install --shadow-host`";

/// Notes what this user namespace has lost with the outer handlers, and what it has instead; with a dry run, what it would.
pub(super) fn note_shadowed_handlers(
    outer: &Outer,
    jobs: &[Job],
    is_done: bool,
    request: &Install,
    report: &mut Report,
) {
    // Then nothing would be mounted.
    if request.dry_run && !is_done && !request.shadow_host {
        return;
    }
    let is_there = |name: &str| is_done && jobs.iter().any(|j| j.arch.name == name && j.has_handler());
    let is_asked = |name: &str| request.targets.rows().any(|a| a.name == name);
    let names = outer.arches.iter().map(|arch| arch.name);
    let (replaced, mut lost): (Vec<&str>, Vec<&str>) = names.partition(|name| is_there(name));
    lost.extend(outer.others.iter().map(String::as_str));
    let replaced = replaced.into_iter().filter(|name| !is_asked(name)).collect();
    let (would, see, also) = match request.dry_run {
        false => (String::new(), "sees", "also registered here"),
        true => (format!("{} ", outer.would()), "see", "it would also register"),
    };
    for (names, what) in [(replaced, also), (lost, &*format!("{would}no longer run here"))] {
        if !names.is_empty() {
            let names = names.join(" ");
            report.note(format!(
                "this user namespace {would}no longer {see} the host's handlers: {what}: {names}"
            ));
        }
    }
}

/// Notes about the consequences of the options.
fn remarks(jobs: &[Job], dir: Option<&EmulatorDir>, options: &HandlerOptions, report: &mut Report) {
    let path = options.dir();
    if let Some(note) = renamed(&mut jobs.iter().map(|j| (j.arch, j.file.as_str())), options) {
        report.note(note);
    }
    if options.persistent && dir.is_some_and(|d| !d.is_verified()) {
        report.note(format!("no {}: the emulators are not verified", path.join(SUMS).display()));
    }
}

/// Notes that handlers name a path only.
pub(super) fn note_paths(jobs: &[Job], options: &HandlerOptions, report: &mut Report) {
    if jobs.iter().any(|job| job.has_handler() && !job.rule.flags.fix_binary) {
        let file = options.dir().join(format!("{PREFIX}TARGET{}", options.suffix));
        report.note(format!(
            "without flag F the emulator is looked up at exec time: every container needs {}",
            absolute(&file).unwrap_or(file).display()
        ));
    }
}
