//! Registers handlers: select → mount and lock → plan → check → try → register → verify → keep.
//!
//! No program of the host meets an emulator before it has worked: it is tried by a handler that takes only the probes of this run.
//! Nothing is replaced before its replacement has worked. If a step fails that all targets need, everything that has the signature
//! of this run is removed, and what it replaced is restored.

mod check;
mod decide;
mod job;
mod keep;
mod register;
mod select;
mod site;

use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::getpid;

use super::Done;
use super::hold::{self, Holder};
use crate::anchor::BinfmtMount;
use crate::arch::Arch;
use crate::emulators::EmulatorDir;
use crate::error::{Error, Result, Step};
use crate::mounts::Instance;
use crate::outcome::{Outcome, Report, State};
use crate::probe;
use crate::request::Install;
use crate::selinux;
use crate::sys;
use crate::userns::{Namespaces, Outer};
use job::Job;
pub(super) use keep::remedy;
use select::{DO_WITHOUT, HERE, Selection, note_paths, note_shadowed_handlers, select};
pub(super) use select::{cannot_tell, not_carried};
use site::Site;

pub(super) fn install(request: &Install, report: &mut Report, holder: &mut Option<Holder>) -> Done {
    let is_held = request.hold.is_some() && !request.dry_run;
    if is_held {
        hold::block_signals()?;
    }
    let place = Namespaces::look()?;
    let is_containers_own = place.is_containers_own();
    // Process 1 is the last of its container.
    if is_containers_own && getpid().as_raw() == 1 && !request.shadow_host {
        let why = "the engine made this user namespace for this container alone, and it ends with it";
        return Err(Error::new(Step::Keep, "the handlers", why).hint(
            "run the container with --userns=host; in a pod that shares the namespace, use `qus install --shadow-host`",
        ));
    }
    let Selection { mut jobs, mut results, mut outer, dir } = select(request, place, report)?;
    // Mount only if there is something to register.
    let is_idle = jobs.iter().all(|job| job.is_native);
    leave_natives(&mut jobs, request.prove, report);
    let run = Run { dir: dir.as_ref(), request, place };
    let done = match is_idle {
        true => Ok(None),
        false => rehearse(&mut jobs, run, &mut outer, report)
            .and_then(|()| attempt(&mut jobs, run, &mut outer, report)),
    };
    note_paths(&jobs, &request.options, report);
    note_shadowed_handlers(&outer, &jobs, done.is_ok(), request, report);
    let held = match done {
        // The plan is shown anyway.
        Err(error) if request.dry_run => {
            report.errors.push(error);
            None
        }
        done => done?,
    };
    if is_held && report.errors.is_empty() {
        *holder = Some(held.unwrap_or_default());
    }
    if !place.in_user_namespace && jobs.iter().any(Job::is_new) && selinux::forbids_execmem(selinux::USER) {
        report.note(format!(
            "SELinux denies execmem to the users of the host, so these programs run in containers only: {}",
            selinux::EXECMEM
        ));
    }
    if place.in_user_namespace && !request.dry_run && jobs.iter().any(Job::has_handler) {
        report.note(if is_containers_own {
            "registered for the user namespace of this container only: for others, run it with --userns=host"
        } else {
            "registered for this user namespace only: other users and the host do not see these handlers; they go with its last \
             process: when the user logs out (unless `loginctl enable-linger`), and with `podman system migrate`"
        });
    }
    results.extend(jobs.iter().map(|job| job.result(request.dry_run)));
    results.sort_by(|a, b| a.name.cmp(&b.name));
    let in_user_namespace = place.in_user_namespace;
    Ok(Outcome::Targets { results, dry_run: request.dry_run, in_user_namespace })
}

/// Leaves native programs to the kernel. It is an error if a handler takes them first.
fn leave_natives(jobs: &mut [Job], is_tried: bool, report: &mut Report) {
    let mut natives: Vec<_> = jobs.iter_mut().filter(|job| job.is_native).collect();
    natives.iter_mut().for_each(|job| job.state = State::Native);
    let arches: Vec<_> = natives.iter().map(|job| job.arch).filter(|_| is_tried).collect();
    for (job, verdict) in natives.iter_mut().zip(probe::run(&arches)) {
        if !verdict.ran() && !verdict.is_unclear() {
            let hint = "a handler takes them first; `qus doctor` names it, and what removes it";
            job.fail(probe::failure(job.arch, &verdict).hint(hint), report);
        }
    }
}

/// What is requested, and of what and where.
#[derive(Clone, Copy)]
struct Run<'a> {
    dir: Option<&'a EmulatorDir>,
    request: &'a Install,
    place: Namespaces,
}

/// A hold holds all or nothing: has one target failed?
const fn is_missed(request: &Install, report: &Report) -> bool {
    request.hold.is_some() && !report.errors.is_empty()
}

/// The time limit for a dry run: some seconds, on a slow board, for all targets.
const REHEARSED_FOR: Duration = Duration::from_secs(300);

/// A first mount of binfmt_misc can't be taken back. So where it would hide handlers, a dry run must have shown that what they run
/// goes on.
fn rehearse(jobs: &mut [Job], run: Run<'_>, outer: &mut Outer, report: &mut Report) -> Result<()> {
    let request = run.request;
    if outer.is_empty() || request.shadow_host || request.dry_run {
        return Ok(());
    }
    let dry = Install { dry_run: true, ..request.clone() };
    let mut foretell =
        |report: &mut Report| attempt(jobs, Run { request: &dry, ..run }, outer, report).map(drop);
    let here = std::env::current_dir();
    // Its mounts and all that it notes end with the child.
    let tried = sys::in_child_for(REHEARSED_FOR, || {
        let _ = here.map(std::env::set_current_dir);
        foretell(&mut Report::default()).map_err(|_| Errno::ECANCELED)
    });
    // Again, for its words.
    let said = tried.or_else(|errno| {
        foretell(report).and(Err(Error::new(Step::Register, HERE, errno).or_hint(DO_WITHOUT)))
    });
    said.inspect_err(|_| *outer = Outer::default())
}

/// Would what outer handlers run go on?
fn see_what_goes_on(jobs: &[Job], outer: &Outer, request: &Install, report: &Report) -> Result<()> {
    let goes_on = |arch: &&Arch| jobs.iter().any(|job| job.arch.name == arch.name && job.has_handler());
    if request.shadow_host
        || outer.is_empty()
        || outer.arches.iter().all(goes_on) && !is_missed(request, report)
    {
        return Ok(());
    }
    let why = format!(
        "not all would run that the host's handlers run, which it {} no longer see: {}",
        outer.would(),
        outer.names()
    );
    Err(Error::new(Step::Register, HERE, why).hint(DO_WITHOUT))
}

/// Does everything, or leaves binfmt_misc as it was.
fn attempt(jobs: &mut [Job], run: Run<'_>, outer: &mut Outer, report: &mut Report) -> Result<Option<Holder>> {
    let Run { dir, request, place } = run;
    let instance = if request.dry_run && !outer.is_empty() { Instance::StandIn } else { Instance::Own };
    let mount = BinfmtMount::for_registering(place, request.mount.as_deref(), request.dry_run, instance);
    // Nothing is hidden.
    let mount = mount.inspect_err(|_| *outer = Outer::default());
    let mut site = mount.and_then(|mount| Site::open(request, dir, place, mount)).inspect_err(|_| {
        // The entries are unknown.
        let is_shown = |job: &&mut Job| request.dry_run && !job.is_native;
        jobs.iter_mut().filter(is_shown).for_each(|job| job.state = State::Registered);
    })?;
    // A first mount shows none: those of the host were hidden already.
    if instance == Instance::Own && !site.entries.is_empty() {
        *outer = Outer::default();
    }
    let done = steps(&mut site, jobs, request, report);
    if done.is_ok() && !is_missed(request, report) {
        site.note_lost_flags(report);
    }
    match request.hold.filter(|_| !request.dry_run) {
        Some(hold) if done.is_ok() && !is_missed(request, report) => return Ok(Some(site.hold(jobs, hold))),
        Some(_) => site.roll_back(jobs, report),
        None if done.is_err() && !request.dry_run => site.roll_back(jobs, report),
        None => site.leave(),
    }
    done.and_then(
        |()| if request.dry_run { see_what_goes_on(jobs, outer, request, report) } else { Ok(()) },
    )?;
    Ok(None)
}

/// A failed target is left as it was, and the others go on. An error is of a step that all targets need.
fn steps(site: &mut Site<'_>, jobs: &mut [Job], request: &Install, report: &mut Report) -> Result<()> {
    site.plan(jobs, report);
    site.judge_what_is_there(jobs, report);
    site.check(jobs, report);
    if request.dry_run {
        return site.foresee(jobs, report);
    }
    let is_unheld = |job: &Job| job.is_due() && job.tree.is_none() && !site.mount.is_held_by_host();
    if request.hold.is_none() && jobs.iter().any(is_unheld) {
        site.mount.watch_end()?;
    }
    site.try_out(jobs, report);
    if is_missed(request, report) {
        return Ok(());
    }
    site.write(jobs, report);
    site.verify(jobs, report)?;
    if request.hold.is_none() {
        return site.keep(jobs, report);
    }
    site.clear_stand_ins(jobs, report);
    Ok(())
}
