//! Registering handlers, in this order: look → plan → verify → register → keep → prove → report.
//!
//! Nothing is registered before its binary was opened and checked, nothing is replaced before its successor was seen to
//! work, and a target whose step failed is taken back while the others go on.

mod check;
mod job;
mod select;

use std::path::Path;

use nix::errno::Errno;

use super::Done;
use super::hold::{self, Holder};
use crate::anchor::{BinfmtMount, Keeper, Namespaces};
use crate::arch::own;
use crate::error::{Cause, Error, Result, Step};
use crate::outcome::{Outcome, Report, State, TargetResult};
use crate::probe::{self, RanBy, Verdict};
use crate::request::{HandlerOptions, Install};
use check::{Checked, verify};
use job::{Job, is_tried};
use select::{Collected, collect};
pub(super) use select::{cannot_tell, not_carried};

pub(super) fn install(request: &Install, report: &mut Report, holder: &mut Option<Holder>) -> Done {
    if request.hold.is_some() && !request.dry_run {
        hold::begin()?;
    }
    let place = Namespaces::look()?;
    let Collected { mut jobs, mut lines, hidden } = collect(request, place, report)?;
    if request.dry_run {
        let outcome = preview(&mut jobs, lines, place, request, report);
        tell_hidden(&hidden, &jobs, request, report);
        return Ok(outcome);
    }
    if jobs.iter().all(Job::is_native) {
        // Nothing to register, so nothing to mount.
        jobs.iter_mut().for_each(|job| job.plan(&[], request));
        lines.extend(jobs.iter().map(|job| job.line(false)));
        return Ok(finished(lines, None, false));
    }
    let options = &request.options;
    let mut ground = BinfmtMount::to_register_in(
        place,
        options.persistent.then_some(options.dir()),
        request.mount.as_deref(),
    )?;
    if let Err(error) = register(&mut jobs, &ground, request, report) {
        ground.abandon();
        tell_hidden(&hidden, &[], request, report);
        return Err(error);
    }
    let mut keeper = Some(Keeper::Ourselves);
    if request.hold.is_none() {
        jobs.iter_mut().for_each(Job::close);
        let is_new = jobs.iter().any(|j| matches!(j.state, State::Registered | State::Replaced));
        keeper = match ground.settle(&names(&jobs), is_new) {
            Ok(Some(keeper)) => Some(keeper),
            Ok(None) => {
                tell_hidden(&hidden, &[], request, report);
                return Err(cannot_last(place, options, ground.unanchored()));
            }
            Err(error) => {
                report.errors.push(error);
                None
            }
        };
    }
    if keeper.is_some()
        && let Err(error) = prove(&mut jobs, &ground, request, report)
    {
        report.errors.push(error);
        keeper = None;
    }
    if keeper.is_none() || request.hold.is_some() && !report.errors.is_empty() {
        give_up(&mut jobs, &ground, report);
    }
    lines.extend(jobs.iter().map(|job| job.line(false)));
    tell_hidden(&hidden, &jobs, request, report);
    if !jobs.iter().any(Job::is_registered) {
        ground.abandon();
        return Ok(finished(lines, None, false));
    }
    if place.in_user_namespace {
        report.note(
            "registered for this user namespace only: other users and the host don't see these handlers",
        );
    }
    if let Some(hold) = request.hold.filter(|_| report.errors.is_empty()) {
        let arches = jobs.iter().filter(|j| j.is_registered()).map(|j| j.arch).collect();
        *holder = Some(Holder { ground, names: names(&jobs), arches, clean: hold.clean });
    }
    let keeper = keeper.filter(|k| *k != Keeper::Ourselves || holder.is_some());
    Ok(finished(lines, keeper, false))
}

/// What has come of all that ran through the host's handlers, now that this user namespace doesn't see them any more.
fn tell_hidden(hidden: &[&'static str], jobs: &[Job], request: &Install, report: &mut Report) {
    let is_there = |name: &str| jobs.iter().any(|j| j.arch.name == name && j.is_registered());
    let is_asked = |name: &str| request.targets.rows().any(|a| a.name == name);
    let (mut carried, mut lost) = (String::new(), String::new());
    for name in hidden {
        let names = if is_there(name) { &mut carried } else { &mut lost };
        if !is_there(name) || !is_asked(name) {
            names.push(' ');
            names.push_str(name);
        }
    }
    for (names, what) in [(carried, "also registered here"), (lost, "nothing runs them here now")] {
        if !names.is_empty() {
            report.note(format!(
                "the host's handlers are not seen in this user namespace any more: {what}:{names}"
            ));
        }
    }
}

/// The handlers that are there now because of us, or were there and are right.
fn names(jobs: &[Job]) -> Vec<String> {
    jobs.iter().filter(|j| j.is_registered()).map(|j| j.rule.name.clone()).collect()
}

/// Where a step failed that all of them need, or there is nothing to stay for: what this run has registered goes again. What it
/// has put in another's place was seen to work before that, and stays.
fn give_up(jobs: &mut [Job], ground: &BinfmtMount, report: &mut Report) {
    for job in jobs.iter_mut().filter(|j| j.state == State::Registered) {
        match ground.take_back(&job.rule.name) {
            Ok(()) => (job.state, job.proof) = (State::Removed, None),
            Err(error) => report.errors.push(error),
        }
    }
    report.note("not everything could be done, so what was registered is removed again");
}

/// What would be done. Nothing is mounted for longer than it takes to look, and nothing is written.
fn preview(
    jobs: &mut [Job],
    mut lines: Vec<TargetResult>,
    place: Namespaces,
    request: &Install,
    report: &mut Report,
) -> Outcome {
    let entries = super::list::ground(place, request.mount.as_deref()).and_then(|g| g.binfmt().entries());
    let entries = entries.unwrap_or_else(|error| {
        report.note(format!("the handlers that are there could not be seen ({})", error.why));
        Vec::new()
    });
    for job in &mut *jobs {
        job.plan(&entries, request);
        let sayable =
            job.rule.line().map_err(|u| Error::new(Step::Register, job.rule.name.as_str(), u.to_string()));
        let sayable = sayable.map(drop);
        if job.is_registered() {
            job.fail_on(sayable, report);
        }
    }
    lines.extend(jobs.iter().map(|job| job.line(true)));
    finished(lines, None, true)
}

fn finished(mut lines: Vec<TargetResult>, keeper: Option<Keeper>, dry_run: bool) -> Outcome {
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    for line in &mut lines {
        line.keeper = keeper.filter(|_| line.handler.is_some());
    }
    Outcome::Targets { results: lines, dry_run }
}

/// Plans, verifies and registers, while no other qus is at it.
fn register(jobs: &mut Vec<Job>, ground: &BinfmtMount, request: &Install, report: &mut Report) -> Result<()> {
    let binfmt = ground.binfmt();
    let _lock = binfmt.lock()?;
    if !binfmt.is_enabled()? {
        let why = "binfmt_misc is switched off on this host (its status is disabled)";
        return Err(Error::new(Step::Register, "anything", why).hint(
            "whoever did that may have a reason; `echo 1 > /proc/sys/fs/binfmt_misc/status` switches it on",
        ));
    }
    binfmt.check_writable()?;
    let entries = binfmt.entries()?;
    jobs.iter_mut().for_each(|job| job.plan(&entries, request));
    verify(jobs, ground, &request.options, report);
    let to_do = jobs.iter().filter(|j| j.runs_us(&entries).is_none());
    if to_do.filter_map(|j| j.emulator.as_ref()).any(Checked::is_as_we_are)
        && entries.iter().any(|e| e.takes(own().pattern.magic()))
        && !matches!(probe::run([own()])[..], [Verdict::Ran { by: RanBy::Kernel, .. }])
    {
        report.note(format!(
            "this is qus for {}, running under emulation: so will all that it registers; take qus for this machine's own \
             architecture",
            own().name
        ));
    }
    for job in jobs {
        let done = job.act(ground, &entries, request, report);
        job.fail_on(done, report);
    }
    Ok(())
}

/// Executes a program of each architecture that was registered; what doesn't run through our handler is taken back.
fn prove(jobs: &mut [Job], ground: &BinfmtMount, request: &Install, report: &mut Report) -> Result<()> {
    let binfmt = ground.binfmt();
    let _lock = binfmt.lock()?;
    let there = binfmt.names()?;
    for job in jobs.iter_mut().filter(|j| j.is_registered()) {
        if !there.iter().any(|name| *name == *job.rule.name) {
            let name = job.rule.name.as_str();
            job.fail_on(Err(Error::new(Step::Register, name, "somebody has removed it meanwhile")), report);
        }
    }
    let is_open = |j: &&mut Job| j.is_registered() && j.emulator.is_some() && j.proof.is_none();
    let mut open: Vec<_> = jobs.iter_mut().filter(|j| is_tried(request, ground) && is_open(j)).collect();
    let verdicts = probe::run(open.iter().map(|j| j.arch));
    for (job, verdict) in open.iter_mut().zip(verdicts) {
        let proven = job
            .judge(&verdict, || binfmt.entries())
            .and_then(|took| job.judge_credentials(report).map(|()| took));
        match proven {
            Ok(took) => job.proof = Some(took),
            // It was seen to work before it took another's place: removed, it would leave nothing there.
            Err(error) if job.state == State::Replaced => report.errors.push(error),
            Err(error) => {
                if job.state != State::Already {
                    report.errors.extend(binfmt.remove(&job.rule.name).err());
                }
                job.fail_on(Err(error), report);
            }
        }
    }
    Ok(())
}

/// There is no way to keep the handlers; what could help on this host.
fn cannot_last(place: Namespaces, options: &HandlerOptions, refused: Option<Errno>) -> Error {
    let mut hints = Vec::new();
    if !options.persistent {
        hints.push("add -p");
    }
    if place.in_user_namespace {
        hints.push("stay in the container with --hold");
    } else if Path::new("/run/systemd/system").exists() {
        hints.push("run `ls /proc/sys/fs/binfmt_misc` on the host once, which mounts it");
    } else {
        hints.push("run `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc` on the host");
        hints.push("start the container with --pid=host");
        hints.push("stay in it with --hold");
    }
    let mut why = "they are gone without our own mount of binfmt_misc: nothing else holds one (or another tool has removed them)".to_owned();
    if let Some(errno) = refused {
        why = format!("{why}, and they can't be made to hold it themselves: {}", Cause::Errno(errno));
    }
    Error::new(Step::Keep, "the handlers", why).hint(hints.join("; or "))
}
