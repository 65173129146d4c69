//! What is asked for, what is carried, what runs natively → a job for each handler, a line for the rest.

use std::path::Path;

use nix::errno::Errno;

use super::job::Job;
use crate::anchor::Namespaces;
use crate::arch::{ARCHES, Arch, PREFIX};
use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::commands::list::runs_through_host;
use crate::commands::rules::{file_name, rule};
use crate::emulators::{EmulatorDir, Requirements, STATIC, SUMS};
use crate::error::{Error, Result, Step};
use crate::outcome::{Report, State, TargetResult};
use crate::probe::{self, RanBy, Verdict};
use crate::request::{HandlerOptions, Install, Targets};

/// What is to be done.
pub(super) struct Collected {
    /// The handlers that are asked for, as far as there is a binary for each. In a user namespace, these are more: see
    /// [`carried_over`].
    pub(super) jobs: Vec<Job>,
    /// Lines for the rest.
    pub(super) lines: Vec<TargetResult>,
    /// The rows that run through the host's handlers, which this user namespace will not see any more.
    pub(super) hidden: Vec<&'static str>,
}

/// Looks at what is asked for and what is there.
pub(super) fn collect(request: &Install, place: Namespaces, report: &mut Report) -> Result<Collected> {
    let options = &request.options;
    let rows = request.targets.rows().collect::<Vec<_>>();
    let natives = probe::run_natives(rows.iter().copied());
    let store = match EmulatorDir::open(options.dir(), options.dir()) {
        Ok(store) => Some(store),
        Err(e) if options.persistent && e.step == Step::Open => {
            return Err(e.hint("QEMU_BIN_DIR or --path says where the QEMU binaries are"));
        }
        Err(e) if options.persistent => return Err(e),
        // Without F, the path is for whoever executes; it need not exist here.
        Err(_) => None,
    };
    let find =
        |arch: &Arch| store.as_ref().and_then(|s| s.find(arch.emulator, &options.prefix, &options.suffix));
    let named = request.targets != Targets::All;
    let by_name_only = !options.persistent && (named || store.as_ref().is_none_or(EmulatorDir::is_empty));
    let (mut jobs, mut lines, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
    for (arch, native) in rows.iter().zip(natives) {
        let is_native = matches!(native, Verdict::Ran { by: RanBy::Kernel, .. });
        let file = find(arch);
        if native.is_unclear() && (file.is_some() || by_name_only) {
            lines.push(TargetResult::new(arch.name, State::Failed));
            unclear.push((*arch, native));
            continue;
        }
        match file {
            Some(file) => jobs.push(job(arch, options, file, native)),
            None if by_name_only || is_native => {
                jobs.push(job(arch, options, file_name(arch, options), native))
            }
            None if named => {
                report.errors.push(not_carried(arch, options));
                lines.push(TargetResult::new(arch.name, State::Failed));
            }
            None => lines.push(TargetResult::new(arch.name, State::NotCarried)),
        }
    }
    if let Some((arch, verdict)) = unclear.first() {
        let names: Vec<_> = unclear.iter().map(|(arch, _)| arch.name).collect();
        report.errors.push(cannot_tell(&names.join(", "), arch, verdict));
    }
    let carries_none = options.persistent && store.as_ref().is_none_or(EmulatorDir::is_empty);
    let has_none = jobs.is_empty() && report.errors.is_empty();
    if !named && (has_none || carries_none) {
        return Err(Error::new(
            Step::Open,
            options.dir().display().to_string(),
            "there is no QEMU binary in it",
        )
        .hint("QEMU_BIN_DIR or --path says where they are; images tagged `register` carry none"));
    }
    let mut hidden = Vec::new();
    if place.in_user_namespace {
        let (carried, through_host) = carried_over(&rows, store.as_ref(), find, request)?;
        jobs.extend(carried);
        hidden = through_host;
    }
    remarks(&jobs, store.as_ref(), options, report);
    Ok(Collected { jobs, lines, hidden })
}

fn job(arch: &'static Arch, options: &HandlerOptions, file: String, native: Verdict) -> Job {
    Job {
        rule: rule(arch, options, Some(&file)),
        arch,
        file,
        native,
        state: State::Failed,
        emulator: None,
        proof: None,
    }
}

pub(in crate::commands) fn not_carried(arch: &Arch, options: &HandlerOptions) -> Error {
    let path = options.dir().join(file_name(arch, options));
    Error::new(Step::Open, path.display().to_string(), Errno::ENOENT).hint(format!(
        "no emulator for {} is carried here; --path or QEMU_BIN_DIR names another directory",
        arch.target
    ))
}

/// With a handler for what the kernel runs itself, nothing would run any more: what can't be tried is not registered.
pub(in crate::commands) fn cannot_tell(names: &str, arch: &Arch, verdict: &Verdict) -> Error {
    let Error { why, hint, .. } = probe::failure(arch, verdict);
    let why = format!("whether this kernel runs them itself can't be tried: {why}");
    Error { hint, ..Error::new(Step::Register, format!("anything for {names} programs"), why) }
}

/// What has to be registered besides, so that nobody has less than before: from the first mount of binfmt_misc on, a user
/// namespace no longer sees the host's handlers, not even after the umount (docs/kernel.md). And all that runs through them.
fn carried_over(
    asked: &[&Arch],
    store: Option<&EmulatorDir>,
    find: impl Fn(&Arch) -> Option<String>,
    request: &Install,
) -> Result<(Vec<Job>, Vec<&'static str>)> {
    let options = HandlerOptions { persistent: true, ..request.options.clone() };
    let demands = Requirements { runs: &probe::runs_natively, host: probe::host, is_static: true };
    let (mut jobs, mut lost) = (Vec::new(), Vec::new());
    let through_host = runs_through_host(ARCHES, request.shadow_host).map_err(|error| {
        error.hint("what the host's handlers run could be lost here, and can't be seen; --shadow-host registers all the same")
    })?;
    let hidden: Vec<_> = through_host.iter().map(|arch| arch.name).collect();
    for arch in through_host {
        // Checked before anything is mounted: afterwards it is too late.
        match find(arch).filter(|file| store.is_some_and(|s| s.check(file, demands).is_ok())) {
            Some(_) if asked.iter().any(|a| a.name == arch.name) => {}
            // Not what a handler of the host's did is to be judged, but what ours does.
            Some(file) => jobs.push(job(arch, &options, file, Verdict::Untried(Errno::EALREADY))),
            None => lost.push(arch.name),
        }
    }
    if !lost.is_empty() && !request.shadow_host {
        return Err(Error::new(
            Step::Register,
            "anything in this user namespace",
            format!(
                "it would lose the host's handlers, and there is no good emulator here for {}",
                lost.join(" ")
            ),
        )
        .hint("--shadow-host goes on without them; or register on the host, as root"));
    }
    // Where the host's handlers are still seen, nobody has mounted binfmt_misc in this namespace, who would keep it. Of one that we
    // may write to, they aren't the host's, whoever their files belong to.
    let ours = Binfmt::at(request.mount.as_deref().unwrap_or(Path::new(USUAL_DIR)));
    let will_last = request.options.persistent || request.hold.is_some() || ours.check_writable().is_ok();
    if !hidden.is_empty() && !will_last && !request.shadow_host {
        return Err(Error::new(
            Step::Keep,
            "the handlers",
            format!(
                "nothing in this user namespace would hold them, and it would lose the host's: {}",
                hidden.join(" ")
            ),
        )
        .hint("add -p; or stay in the container with --hold"));
    }
    Ok((jobs, hidden))
}

/// What users should know of their choice, though it is theirs.
fn remarks(jobs: &[Job], store: Option<&EmulatorDir>, options: &HandlerOptions, report: &mut Report) {
    let dir = options.dir();
    if jobs.iter().any(|j| j.file != file_name(j.arch, options)) {
        report.note(format!(
            "there are only {PREFIX}*{STATIC} binaries in {}: using those, as with -s",
            dir.display()
        ));
    }
    if options.persistent && store.is_some_and(|s| !s.is_verified()) {
        report.note(format!("there is no {}: the binaries are not verified", dir.join(SUMS).display()));
    }
    if !options.persistent {
        let file = format!("{PREFIX}TARGET{}", options.suffix);
        report.note(format!(
            "without -p, a handler only names a path: whoever executes must have {}",
            dir.join(file).display()
        ));
    }
}
