//! One binfmt_misc, locked: what was there, what this run has written, and how to undo that.

use std::time::SystemTime;

use super::job::Job;
use crate::anchor::BinfmtMount;
use crate::binfmt::Registrar;
use crate::commands::rules::{trial_name, tried_by};
use crate::commands::undo::Undo;
use crate::emulators::EmulatorDir;
use crate::error::{Error, Result, Step};
use crate::outcome::{Report, State};
use crate::plan::is_held_by_others;
use crate::request::Install;
use crate::rule::{Entry, Rule, Signature};
use crate::userns::Namespaces;

pub(super) struct Site<'a> {
    pub(super) request: &'a Install,
    pub(super) dir: Option<&'a EmulatorDir>,
    pub(super) place: Namespaces,
    pub(super) mount: BinfmtMount,
    pub(super) registrar: Registrar,
    /// The entries when it was locked.
    pub(super) entries: Vec<Entry>,
    /// The signature of this run.
    pub(super) signature: Signature,
    /// Why emulators could not be opened through a detached tree.
    pub(super) unanchored: Option<Error>,
    pub(super) undo: Vec<Undo>,
}

impl<'a> Site<'a> {
    /// Locks it, and lists the entries.
    pub(super) fn open(
        request: &'a Install,
        dir: Option<&'a EmulatorDir>,
        place: Namespaces,
        mount: BinfmtMount,
    ) -> Result<Self> {
        let look = || {
            let registrar = mount.binfmt().lock()?;
            if !mount.binfmt().is_enabled()? {
                let why = "binfmt_misc is disabled on this host";
                return Err(Error::new(Step::Register, "handlers", why).hint(
                    "someone disabled it, perhaps with reason; `echo 1 > /proc/sys/fs/binfmt_misc/status` enables it",
                ));
            }
            Ok((registrar, mount.binfmt().entries()?))
        };
        let (registrar, entries) = look().inspect_err(|_| mount.unmount_if_empty())?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let [nonce @ .., _, _, _, _, _, _, _, _, _, _, _, _] = now.as_nanos().to_le_bytes();
        let joined = mount.is_held_by_host() || is_held_by_others(&entries);
        let (held, clean) = (request.hold.is_some(), request.hold.is_some_and(|hold| hold.clean));
        let signature = Signature { anchored: false, joined, held, clean, nonce };
        Ok(Self {
            request,
            dir,
            place,
            mount,
            registrar,
            entries,
            signature,
            unanchored: None,
            undo: Vec::new(),
        })
    }

    /// Are programs run? Not if a handler names a path for other root file systems, where that would prove nothing. Always before outer
    /// handlers are hidden.
    pub(super) fn is_tried(&self) -> bool {
        self.mount.is_stand_in() && !self.request.shadow_host
            || self.request.prove && (self.request.options.persistent || self.mount.is_on_host())
    }

    /// The entries that interrupted runs have left beside this job's handler: trials, and stand-ins that may run its programs.
    pub(super) fn left_over(&self, job: &Job) -> impl Iterator<Item = &Entry> {
        let is_beside = |e: &&Entry| e.signature().is_some() && tried_by(&e.name) == Some(&job.rule.name);
        self.entries.iter().filter(is_beside)
    }

    pub(super) fn clear_trials(&self, job: &Job) -> Result<()> {
        let mut trials = self.left_over(job).filter(|e| e.is_trial());
        trials
            .try_for_each(|trial| self.mount.binfmt().remove(trial.name.as_ref(), &|e| e == trial).map(drop))
    }

    /// Removes the stand-ins of interrupted runs where a new handler takes their programs.
    pub(super) fn clear_stand_ins(&self, jobs: &[Job], report: &mut Report) {
        for old in jobs.iter().filter(|job| job.is_new()).flat_map(|job| self.left_over(job)) {
            report.errors.extend(self.mount.binfmt().remove(old.name.as_ref(), &|e| e == old).err());
        }
    }

    /// A name for a trial handler or a stand-in; an unusual one if the usual one is taken.
    pub(super) fn name_beside(&self, name: &str) -> String {
        let usual = trial_name(name);
        let is_taken = self.entries.iter().any(|e| e.name == usual && !e.is_trial());
        let [a, b, c, d] = self.signature.nonce;
        if is_taken { format!("{usual}-{a:02x}{b:02x}{c:02x}{d:02x}") } else { usual }
    }

    pub(super) fn clear_stand_in(&self, stand_in: &Rule, report: &mut Report) {
        // If it stays, that is an error, but the rest is done.
        let removed = self.mount.binfmt().remove(stand_in.name.as_ref(), &|e| e.is(stand_in));
        report.errors.extend(removed.err());
    }

    /// Undoes everything that this run has registered.
    pub(super) fn roll_back(&mut self, jobs: &mut [Job], report: &mut Report) {
        while let Some(undo) = self.undo.pop() {
            match undo.undo(&mut self.mount, &self.registrar) {
                Ok(()) => report.note("rolled back what this run had registered"),
                Err(error) => report.errors.push(error),
            }
        }
        for job in jobs.iter_mut().filter(|job| job.is_new() || job.is_due()) {
            // What a new one had replaced is there again.
            let state = if job.state == State::Registered { State::Removed } else { State::Failed };
            (job.action, job.state, job.proof) = (None, state, None);
        }
        self.leave();
    }

    /// Ends the run. A mount of binfmt_misc without handlers is removed.
    pub(super) fn leave(&mut self) {
        self.registrar.close();
        self.mount.unmount_if_empty();
    }
}
