//! Registering handlers: select → mount and lock → plan → check → try → register → verify → keep.
//!
//! No program of the host ever meets an emulator that was not seen to work: it is tried by a handler that takes this run's probes
//! only. Nothing is replaced before its successor has worked. What this run has written it can tell from all else, by the
//! signature in it, and takes back where a step fails that all of it needs; what it replaced is there again then.

mod check;
mod decide;
mod job;
mod keep;
mod register;
mod select;
mod site;

use super::Done;
use super::hold::{self, Holder};
use crate::emulators::EmulatorDir;
use crate::error::Result;
use crate::outcome::{Outcome, Report, State};
use crate::probe;
use crate::request::Install;
use crate::userns::Namespaces;
use job::Job;
use select::{Selection, note_shadowed_handlers, select};
pub(super) use select::{cannot_tell, not_carried};
use site::Site;

pub(super) fn install(request: &Install, report: &mut Report, holder: &mut Option<Holder>) -> Done {
    let is_held = request.hold.is_some() && !request.dry_run;
    if is_held {
        hold::block_signals()?;
    }
    let place = Namespaces::look()?;
    let Selection { mut jobs, mut results, shadowed, dir } = select(request, place, report)?;
    // Where there is nothing to register, there is nothing to mount.
    let is_idle = jobs.iter().all(|job| job.is_native);
    leave_natives(&mut jobs, request.prove, report);
    let done = if is_idle { Ok(None) } else { attempt(&mut jobs, dir.as_ref(), request, place, report) };
    note_shadowed_handlers(&shadowed, &jobs, request, report);
    let held = match done {
        // What would have been written is shown all the same.
        Err(error) if request.dry_run => {
            report.errors.push(error);
            None
        }
        done => done?,
    };
    if is_held && report.errors.is_empty() {
        *holder = Some(held.unwrap_or_default());
    }
    if place.in_user_namespace && !request.dry_run && jobs.iter().any(Job::has_handler) {
        report.note(
            "registered for this user namespace only: other users and the host don't see these handlers",
        );
    }
    results.extend(jobs.iter().map(|job| job.result(request.dry_run)));
    results.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Outcome::Targets { results, dry_run: request.dry_run })
}

/// What the kernel runs itself is left to it; a stray handler may be in its way.
fn leave_natives(jobs: &mut [Job], is_tried: bool, report: &mut Report) {
    let mut natives: Vec<_> = jobs.iter_mut().filter(|job| job.is_native).collect();
    natives.iter_mut().for_each(|job| job.state = State::Native);
    let arches: Vec<_> = natives.iter().map(|job| job.arch).filter(|_| is_tried).collect();
    for (job, verdict) in natives.iter_mut().zip(probe::run(&arches)) {
        if !verdict.ran() && !verdict.is_unclear() {
            let name = job.arch.name;
            let hint = format!("a handler takes them before the kernel can; `qus remove {name}` removes it");
            job.fail(probe::failure(job.arch, &verdict).hint(hint), report);
        }
    }
}

/// Does all of it at one place, or leaves that place as it was.
fn attempt(
    jobs: &mut [Job],
    dir: Option<&EmulatorDir>,
    request: &Install,
    place: Namespaces,
    report: &mut Report,
) -> Result<Option<Holder>> {
    let mut site = Site::open(request, dir, place).inspect_err(|_| {
        // Nothing is known of what is there.
        jobs.iter_mut().filter(|_| request.dry_run).for_each(|job| job.state = State::Registered);
    })?;
    let done = steps(&mut site, jobs, request, report);
    let is_missed = request.hold.is_some() && !report.errors.is_empty();
    match request.hold.filter(|_| !request.dry_run) {
        Some(hold) if done.is_ok() && !is_missed => return Ok(Some(site.hold(jobs, hold))),
        // Nobody stays for less than what was asked for.
        Some(_) => site.roll_back(jobs, report),
        None if done.is_err() => site.roll_back(jobs, report),
        None => site.leave(),
    }
    done.map(|()| None)
}

/// A target whose step fails is left as it was, while the others go on; an error is of a step that all of them need.
fn steps(site: &mut Site<'_>, jobs: &mut [Job], request: &Install, report: &mut Report) -> Result<()> {
    site.plan(jobs, report);
    site.judge_what_is_there(jobs, report);
    site.check(jobs, report);
    if request.dry_run {
        return site.foresee(jobs, report);
    }
    site.try_out(jobs, report);
    site.write(jobs, report);
    site.verify(jobs, report)?;
    if request.hold.is_some() { Ok(()) } else { site.keep(jobs, report) }
}
