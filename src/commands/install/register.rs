//! Tries the emulators, registers the handlers, and verifies them.

use std::fs::File;

use super::job::Job;
use super::site::Site;
use crate::arch::ARCHES;
use crate::commands::undo::{Undo, restore};
use crate::error::{Cause, Error, Result, Step};
use crate::mounts;
use crate::outcome::{Report, State};
use crate::plan::{self, Action};
use crate::probe::{self, RanBy, Verdict};
use crate::rule::{Entry, Flags, Rule, Signature};

impl Site<'_> {
    /// Tries each emulator by a handler that takes only the probes of this run.
    pub(super) fn try_out(&mut self, jobs: &mut [Job], report: &mut Report) {
        let is_tried = self.is_tried();
        let mut tried = Vec::new();
        for job in jobs.iter_mut().filter(|job| job.is_due()) {
            // Left by an interrupted run.
            let cleared = self.clear_trials(job);
            let registered = cleared.and_then(|()| is_tried.then(|| self.register_trial(job)).transpose());
            match registered {
                Ok(trial) => tried.extend(trial.map(|trial| (job, trial))),
                Err(error) => job.fail(error.about(&job.rule.name), report),
            }
        }
        let arches: Vec<_> = tried.iter().map(|(job, _)| job.arch).collect();
        let verdicts = probe::run_marked(&arches, self.signature.bytes());
        for ((job, trial), verdict) in tried.iter_mut().zip(verdicts) {
            let judged = job.judge(&verdict, trial.flags);
            let removed =
                self.mount.binfmt().remove(trial.name.as_ref(), &|e| e.signature() == Some(self.signature));
            match judged.and_then(|took| removed.map(|_| took)) {
                Ok(took) => job.proof = Some(took),
                Err(error) => job.fail(error, report),
            }
        }
    }

    fn register_trial(&self, job: &Job) -> Result<Rule> {
        let trial = Rule { name: self.name_beside(&job.rule.name), ..job.rule.for_probes(self.signature) };
        self.registrar.register(&trial).map(|()| trial)
    }

    /// Registers what has worked.
    pub(super) fn write(&mut self, jobs: &mut [Job], report: &mut Report) {
        for job in jobs {
            let rule = self.signed(job);
            let (done, state) = match job.action.take() {
                Some(Action::Register) => (self.registrar.register(&rule).map(|()| None), State::Registered),
                Some(Action::Replace(old)) => {
                    let file = job.held_open.take();
                    (self.replace(&rule, old, file, report).map(Some), State::Replaced)
                }
                _ => continue,
            };
            match done {
                Ok(replaced) => {
                    self.undo.push(Undo { rule, replaced });
                    job.state = state;
                }
                Err(error) => job.fail(error, report),
            }
        }
    }

    pub(super) fn signed(&self, job: &Job) -> Rule {
        job.rule.signed(self.signature_of(job))
    }

    const fn signature_of(&self, job: &Job) -> Signature {
        Signature { anchored: job.tree.is_some(), ..self.signature }
    }

    pub(super) fn note_lost_flags(&self, report: &mut Report) {
        for (new, (old, _)) in self.undo.iter().filter_map(|u| Some((&u.rule, u.replaced.as_ref()?))) {
            let (old_flags, name) = (Flags::parse(&old.flags), &old.name);
            if old_flags.credentials && !new.flags.credentials {
                report.note(format!(
                    "{name} loses flag C, so setuid programs no longer gain privileges; `qus install --credentials yes {name}` sets it"
                ));
            } else if old_flags.open_binary && !new.flags.open_binary {
                report.note(format!(
                    "{name} loses flag O, so programs that may be executed but not read no longer run"
                ));
            }
        }
    }

    /// Replaces a handler of that name. Its programs keep running: a stand-in takes them in between.
    fn replace(
        &mut self,
        rule: &Rule,
        old: Entry,
        file: Option<File>,
        report: &mut Report,
    ) -> Result<(Entry, Option<File>)> {
        let stand_in = Rule { name: self.name_beside(&rule.name), ..rule.clone() };
        self.registrar.register(&stand_in)?;
        let removed = self.mount.binfmt().remove(old.name.as_ref(), &|e| *e == old);
        let done = removed.and_then(|_| self.registrar.register(rule));
        if let Err(error) = done {
            let is_there = |name: &str| !matches!(self.mount.binfmt().entry(name), Ok(None));
            if is_there(&old.name) || restore(&old, file.as_ref(), &mut self.mount, &self.registrar).is_ok() {
                self.clear_stand_in(&stand_in, report);
                return Err(error);
            }
            return Err(error.hint(format!(
                "{} could not be restored; {} runs its programs now",
                old.name, stand_in.name
            )));
        }
        self.clear_stand_in(&stand_in, report);
        Ok((old, file))
    }

    /// The emulator that a handler holds open, to restore it, from a program that it runs; `None` if it holds none.
    ///
    /// # Errors
    /// If that can't be known.
    pub(super) fn runs(&self, old: &Entry) -> Result<Option<File>> {
        if !Flags::parse(&old.flags).fix_binary {
            return Ok(None);
        }
        let unknown = |why: &str| {
            let why = format!("the handler that is there could not be restored: {why}");
            Err(Error::new(Step::Register, old.name.as_str(), why)
                .hint("with --replace, `qus hold` replaces it all the same"))
        };
        if !old.enabled {
            return unknown("it is disabled");
        }
        let Some(arch) = ARCHES.iter().find(|arch| probe::takes(old, arch)) else {
            return unknown("it takes programs of no known target");
        };
        let now = self.mount.binfmt().entries()?;
        if let Some(other) = now.iter().find(|e| e.name != old.name && probe::takes(e, arch)) {
            return unknown(&format!("{} takes the same programs", other.name));
        }
        match probe::run_one(arch) {
            Verdict::Ran { by: RanBy::Interpreter(file), .. } => match probe::run_by(&file, arch).ran() {
                true => Ok(Some(file)),
                false => unknown("its interpreter is a script"),
            },
            Verdict::Ran { .. } => unknown("what runs its programs cannot be traced"),
            verdict if verdict.is_unclear() => unknown("its programs cannot be tried"),
            _ => unknown("it runs no program"),
        }
    }

    /// Registers that handler as it would be restored, but for the probes of this run only, and removes it.
    ///
    /// # Errors
    /// If it could not be restored.
    pub(super) fn rehearse_restoring(&mut self, old: &Entry, file: Option<&File>, rule: &Rule) -> Result<()> {
        let name = self.name_beside(&old.name);
        let matches = rule.for_probes(self.signature).matches;
        let trial = Entry { name: name.clone(), matches, has_mask: true, ..old.clone() };
        let restored = restore(&trial, file, &mut self.mount, &self.registrar);
        let removed = self.mount.binfmt().remove(name.as_ref(), &|e| e.signature() == Some(self.signature));
        let refused = |e: Error| {
            let why = format!("the handler that is there could not be restored: {e}");
            Error::new(Step::Register, old.name.as_str(), why)
                .hint("with --replace, `qus hold` replaces it all the same")
        };
        restored.map_err(refused).and(removed.map(drop))
    }

    /// Verifies that all handlers, new and kept, are still as they were when they worked.
    pub(super) fn verify(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        let now = self.mount.binfmt().entries()?;
        for job in jobs.iter_mut().filter(|job| job.has_handler()) {
            let seen = self.verify_one(job, &now, report);
            if let Err(error) = seen {
                let was_new = job.is_new();
                let name = job.rule.name.clone();
                job.fail(error, report);
                if was_new && let Some(at) = self.undo.iter().position(|u| u.rule.name == name) {
                    let undo = self.undo.remove(at);
                    report.errors.extend(undo.undo(&mut self.mount, &self.registrar).err());
                }
            }
        }
        Ok(())
    }

    fn verify_one(&self, job: &Job, now: &[Entry], report: &mut Report) -> Result<()> {
        let name = job.rule.name.as_str();
        let there = now.iter().find(|e| e.name == name);
        let is_right = |e: &Entry| match job.is_new() {
            true => e.is(&job.rule) && e.signature() == Some(self.signature_of(job)),
            false => self.entries.contains(e),
        };
        if !there.is_some_and(is_right) {
            let what = if there.is_some() { "replaced or disabled" } else { "removed" };
            let why = format!("another process {what} it while qus was running");
            return Err(Error::new(Step::Register, name, why));
        }
        let path = job.rule.interpreter.as_str();
        if let Some(emulator) = job.emulator.as_deref().filter(|_| job.is_new())
            && !emulator.is_still_at(path).map_err(|e| Error::new(Step::Read, path, e))?
        {
            return Err(Error::new(Step::Check, path, "it changed while qus registered it"));
        }
        if !self.is_tried() || !job.is_new() {
            return Ok(());
        }
        if plan::third_party(&job.rule, now).is_some_and(|e| !self.entries.contains(e)) {
            job.judge(&probe::run_one(job.arch), job.rule.flags)?;
        }
        if job.rule.flags.credentials {
            judge_credentials(job, report)?;
        }
        Ok(())
    }
}

/// Verifies flag `C`: does a setuid program gain its owner's privileges?
fn judge_credentials(job: &Job, report: &mut Report) -> Result<()> {
    match probe::honours_setuid(job.arch, mounts::mount_point()?) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let what = format!("setuid {} programs", job.arch.name);
            Err(Error::new(Step::Prove, what, "they do not gain their owner's privileges, despite flag C"))
        }
        Err(errno) => {
            report.note(format!(
                "cannot verify from here that setuid programs gain privileges (flag C): {}",
                Cause::Errno(errno)
            ));
            Ok(())
        }
    }
}
