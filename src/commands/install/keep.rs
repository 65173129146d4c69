//! Finds out what keeps the handlers after this process exits.

use std::path::Path;

use super::job::Job;
use super::site::Site;
use crate::anchor::Keeper;
use crate::commands::hold::{Held, Holder};
use crate::commands::undo::Undo;
use crate::error::{Error, Result, Step};
use crate::outcome::{Report, State};
use crate::request::Hold;
use crate::rule::Entry;
use crate::userns::Namespaces;

impl Site<'_> {
    /// Finds out what keeps each handler.
    pub(super) fn keep(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        // Nothing of this process may hold them.
        jobs.iter_mut().for_each(Job::close);
        let trees = self.mount.release_trees();
        let mut keeps = trees.contains(&true).then_some(true);
        let is_host = self.mount.is_held_by_host();
        for job in jobs.iter_mut().filter(|job| job.has_handler()) {
            let anchored = |e: &Entry| e.name == job.rule.name && e.signature().is_some_and(|s| s.anchored);
            let is_kept = if is_host || job.is_new() {
                job.tree.is_some_and(|tree| trees.get(tree) == Some(&true))
            } else if self.entries.iter().any(anchored) {
                let seen = keeps.map_or_else(|| self.mount.kernel_keeps_trees(), Ok);
                *keeps.insert(seen?)
            } else {
                false
            };
            job.keeper = if is_host { Some(Keeper::Host) } else { is_kept.then_some(Keeper::Anchor) };
        }
        // While binfmt_misc is mounted here.
        self.clear_stand_ins(jobs, report);
        self.watch(jobs, report)
    }

    /// Handlers without a known keeper must stay without this process' mounts.
    fn watch(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        let is_open = |job: &&mut Job| job.has_handler() && job.keeper.is_none();
        let open: Vec<_> = jobs.iter_mut().filter(is_open).collect();
        if open.is_empty() {
            return Ok(());
        }
        let Self { mount, undo, registrar, .. } = self;
        let mut release = || {
            let replaced = undo.iter_mut().filter_map(|undo| undo.replaced.as_mut());
            replaced.for_each(|(_, file)| *file = None);
            registrar.close();
        };
        let is_there = match mount.is_there_without_us(&mut release) {
            // Nothing is there to be rolled back.
            Err(error) if error.step == Step::Wait => {
                report.errors.push(error);
                return Ok(());
            }
            is_there => is_there?,
        };
        if !is_there {
            // The handlers vanished with binfmt_misc.
            self.undo.clear();
            return Err(self.cannot_last());
        }
        open.into_iter().for_each(|job| job.keeper = Some(Keeper::Unseen));
        if !self.place.in_user_namespace {
            report
                .note("qus cannot see from here what holds binfmt_misc; with --privileged --pid=host it can");
        }
        Ok(())
    }

    /// Foretells the end for a dry run, without registering anything.
    pub(super) fn foresee(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        if self.request.hold.is_some() {
            let undone = jobs.iter_mut().filter(|job| job.is_new() && !report.errors.is_empty());
            undone.for_each(|job| job.state = State::Failed);
            return Ok(());
        }
        let would_be_anchored = jobs.iter().all(|job| !job.is_new() || job.tree.is_some());
        jobs.iter_mut().for_each(Job::close);
        self.mount.release_trees();
        if self.mount.is_held_by_host() || !jobs.iter().any(Job::has_handler) {
            return Ok(());
        }
        let is_new = jobs.iter().any(Job::is_new);
        if is_new && would_be_anchored && self.mount.kernel_keeps_trees()? {
            return Ok(());
        }
        if !is_new {
            return self.keep(jobs, report);
        }
        let Self { mount, registrar, .. } = self;
        if mount.is_there_without_us(&mut || registrar.close())? { Ok(()) } else { Err(self.cannot_last()) }
    }

    /// Hands the handlers over to `hold`.
    pub(super) fn hold(mut self, jobs: &mut [Job], hold: Hold) -> Holder {
        jobs.iter_mut().filter(|job| job.has_handler()).for_each(|job| job.keeper = Some(Keeper::Process));
        let mut held = Vec::new();
        for job in jobs.iter().filter(|job| job.has_handler()) {
            let rule = self.signed(job);
            let at = self.undo.iter().position(|undo| undo.rule == rule);
            let undo = at.map(|at| self.undo.swap_remove(at)).filter(|u| u.is_final(&self.mount).is_none());
            let replaced = undo.and_then(|undo| undo.replaced).filter(|(old, _)| !old.goes_with_its_hold());
            held.push(Held {
                arch: job.arch,
                expected: self.mount.binfmt().entry(&job.rule.name).ok().flatten(),
                inode: self.mount.binfmt().inode(&job.rule.name),
                undo: Undo { rule, replaced },
                emulator: job.emulator.clone(),
            });
        }
        let entry_of = |name: &String| self.entries.iter().find(|entry| entry.name == *name).cloned();
        let left = jobs.iter().filter_map(|job| {
            let entry = entry_of(job.left_to.as_ref()?)?;
            let inode = self.mount.binfmt().inode(&entry.name);
            Some((job.arch, entry, inode))
        });
        let left = left.collect();
        Holder { hold, mount: Some(self.mount), _register: self.registrar.unlocked(), held, left }
    }

    /// The error if nothing keeps the handlers.
    fn cannot_last(&self) -> Error {
        let mut why =
            "they vanish with the last mount of binfmt_misc, which belongs to this process".to_owned();
        if let Some(error) = &self.unanchored {
            why = format!("{why}, and the handlers cannot hold a mount themselves: {error}");
        }
        Error::new(Step::Keep, "the handlers", why).hint(remedy(self.place, self.request.options.persistent))
    }
}

/// What may keep handlers on this host.
pub(in crate::commands) fn remedy(place: Namespaces, is_persistent: bool) -> String {
    let mut hints = Vec::new();
    if !is_persistent {
        hints.push("set flag F, as `qus install` does");
    }
    if place.host_in_sight {
        hints.push(
            "run with --privileged, or add --cap-add SYS_PTRACE --cap-add SYS_CHROOT, which --pid=host requires",
        );
    }
    if place.in_user_namespace {
        hints.push("keep the container running with `qus hold`");
    } else if Path::new("/run/systemd/system").exists() {
        hints.push("run `ls /proc/sys/fs/binfmt_misc` on the host, which mounts it");
    } else {
        hints.push("run `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc` on the host");
        hints.push("run the container with --privileged --pid=host");
        hints.push("keep it running with `qus hold`");
    }
    hints.join("; or ")
}
