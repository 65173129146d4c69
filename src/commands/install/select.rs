//! What is asked for, what there are emulators for, what runs natively → a job for each handler, a result for the rest.

use std::path::Path;

use nix::errno::Errno;

use super::job::Job;
use crate::arch::{Arch, PREFIX};
use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::commands::rules::{file_name, has_none, renamed, requirements};
use crate::emulators::{EmulatorDir, SUMS};
use crate::error::{Error, Result, Step};
use crate::outcome::{Report, State, TargetResult};
use crate::probe::{self, Native, Verdict};
use crate::request::{HandlerOptions, Install};
use crate::userns::Namespaces;

/// What is to be done.
pub(super) struct Selection {
    /// The handlers that are asked for, as far as there is an emulator for each. In a user namespace, these are more: see
    /// [`carried_over`].
    pub(super) jobs: Vec<Job>,
    /// Results for the rest.
    pub(super) results: Vec<TargetResult>,
    /// The rows that run through outer handlers, which this user namespace will not see any more.
    pub(super) shadowed: Vec<&'static str>,
    /// The emulators, if they are to be seen from here.
    pub(super) dir: Option<EmulatorDir>,
}

/// Is there any emulator to register, where all are asked for?
fn see_emulators(request: &Install) -> Result<Option<EmulatorDir>> {
    let options = &request.options;
    let dir = match EmulatorDir::open(options.dir()) {
        Ok(dir) => dir,
        Err(e) if options.persistent && e.step == Step::Open => {
            return Err(e.hint("QEMU_BIN_DIR or --path names the directory of the emulators"));
        }
        Err(e) if options.persistent => return Err(e),
        // Without F, the path is for whoever executes; it need not exist here.
        Err(_) => return Ok(None),
    };
    let is_needed = options.persistent && !request.targets.are_named();
    let mut emulators = request.targets.rows().map(|arch| arch.emulator);
    if is_needed && !emulators.any(|e| dir.find(e, &options.prefix, &options.suffix).is_some()) {
        return Err(has_none(options));
    }
    Ok(Some(dir))
}

/// Looks at what is asked for and what is there.
pub(super) fn select(request: &Install, place: Namespaces, report: &mut Report) -> Result<Selection> {
    let options = &request.options;
    let dir = see_emulators(request)?;
    let rows = request.targets.rows().collect::<Vec<_>>();
    let natives = probe::natives(&rows);
    let find =
        |arch: &Arch| dir.as_ref().and_then(|d| d.find(arch.emulator, &options.prefix, &options.suffix));
    let is_named = request.targets.are_named();
    let has_none = dir.as_ref().is_none_or(|d| !d.has_any(&options.prefix, &options.suffix));
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
    let shadowed = carried_over(&mut jobs, dir.as_ref(), find, request, place)?;
    remarks(&jobs, dir.as_ref(), options, report);
    Ok(Selection { jobs, results, shadowed, dir })
}

pub(in crate::commands) fn not_carried(arch: &Arch, options: &HandlerOptions) -> Error {
    let path = options.dir().join(file_name(arch, options));
    Error::new(Step::Open, path.display().to_string(), Errno::ENOENT).hint(format!(
        "there is no emulator for {} here; --path or QEMU_BIN_DIR names another directory",
        arch.target
    ))
}

/// With a handler for what the kernel runs itself, nothing would run any more: what can't be tried is not registered.
pub(in crate::commands) fn cannot_tell(names: &str, arch: &Arch, verdict: &Verdict) -> Error {
    let Error { why, hint, .. } = probe::failure(arch, verdict);
    // What has run or failed was no kernel: that says no, or runs it.
    let taken = || Some("a handler takes them before the kernel can; `qus list` shows which".to_owned());
    let hint = if verdict.is_unclear() { hint } else { taken() };
    let why = format!("cannot tell whether this kernel runs them natively: {why}");
    Error { hint, ..Error::new(Step::Register, format!("anything for {names} programs"), why) }
}

/// Adds what has to be registered besides, so that nobody has less than before: from the first mount of binfmt_misc on, a user
/// namespace no longer sees the outer handlers, not even after the umount (docs/kernel.md). Returns all that runs through them.
fn carried_over(
    jobs: &mut Vec<Job>,
    dir: Option<&EmulatorDir>,
    find: impl Fn(&Arch) -> Option<String>,
    request: &Install,
    place: Namespaces,
) -> Result<Vec<&'static str>> {
    let outer = match place.run_by_outer_handlers(request.mount.as_deref()) {
        Err(_) if request.shadow_host => Vec::new(),
        outer => outer.map_err(|error| {
            error.hint("what outer handlers run could be lost here, and can't be seen; --shadow-host registers all the same")
        })?,
    };
    if outer.is_empty() {
        return Ok(Vec::new());
    }
    let options = HandlerOptions { persistent: true, ..request.options.clone() };
    let shadowed: Vec<_> = outer.iter().map(|arch| arch.name).collect();
    let mut lost = Vec::new();
    for arch in outer {
        // Checked before anything is mounted: afterwards it is too late.
        match find(arch).filter(|file| dir.is_some_and(|d| d.check(file, None, requirements(true)).is_ok())) {
            Some(_) if jobs.iter().any(|job| job.arch.name == arch.name) => {}
            Some(file) => jobs.push(Job::new(arch, &options, file, false)),
            None => lost.push(arch.name),
        }
    }
    if !lost.is_empty() && !request.shadow_host {
        let lost = lost.join(" ");
        let why = format!("it would lose the host's handlers, and there is no good emulator here for {lost}");
        return Err(Error::new(Step::Register, "anything in this user namespace", why)
            .hint("--shadow-host goes on without them; or register on the host, as root"));
    }
    // Of a binfmt_misc that may be written to, the handlers are not the host's.
    let own = Binfmt::at(request.mount.as_deref().unwrap_or(Path::new(USUAL_DIR)));
    let will_last = request.options.persistent || request.hold.is_some() || own.lock().is_ok();
    if !will_last && !request.shadow_host {
        let names = shadowed.join(" ");
        let why =
            format!("nothing in this user namespace would hold them, and it would lose the host's: {names}");
        return Err(
            Error::new(Step::Keep, "the handlers", why).hint("add -p; or stay in the container with --hold")
        );
    }
    Ok(shadowed)
}

/// What has come of all that ran through outer handlers, now that this user namespace doesn't see them any more.
pub(super) fn note_shadowed_handlers(
    shadowed: &[&'static str],
    jobs: &[Job],
    request: &Install,
    report: &mut Report,
) {
    let is_there = |name: &str| jobs.iter().any(|j| j.arch.name == name && j.has_handler());
    let is_asked = |name: &str| request.targets.rows().any(|a| a.name == name);
    let (carried, lost): (Vec<&str>, Vec<&str>) = shadowed.iter().partition(|name| is_there(name));
    let carried = carried.into_iter().filter(|name| !is_asked(name)).collect();
    for (names, what) in [(carried, "also registered here"), (lost, "nothing runs them here now")] {
        if !names.is_empty() {
            report.note(format!(
                "the host's handlers are not seen in this user namespace any more: {what}: {}",
                names.join(" ")
            ));
        }
    }
}

/// What users should know of their choice, though it is theirs.
fn remarks(jobs: &[Job], dir: Option<&EmulatorDir>, options: &HandlerOptions, report: &mut Report) {
    let path = options.dir();
    if let Some(note) = renamed(&mut jobs.iter().map(|j| (j.arch, j.file.as_str())), options) {
        report.note(note);
    }
    if options.persistent && dir.is_some_and(|d| !d.is_verified()) {
        report.note(format!("there is no {}: the binaries are not verified", path.join(SUMS).display()));
    }
    if !options.persistent {
        let file = format!("{PREFIX}TARGET{}", options.suffix);
        report.note(format!(
            "without -p the emulator is looked up at exec time: every container needs {}",
            path.join(file).display()
        ));
    }
}
