//! Decides what to do about each handler. Handlers that are kept, or third-party ones, must work.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::check::check;
use super::job::Job;
use super::site::Site;
use crate::emulators::Emulator;
use crate::error::{Error, Step};
use crate::outcome::{Report, State};
use crate::plan::{self, Action, Overwrite, action};
use crate::probe::{self, RanBy, Verdict};
use crate::rule::{Entry, Flags};

impl Site<'_> {
    /// Plans by the entries that are there.
    pub(super) fn plan(&self, jobs: &mut [Job], report: &mut Report) {
        let how = Overwrite { force: self.request.force, replace: self.request.replace };
        let mut partial: Vec<&str> = Vec::new();
        for job in &mut *jobs {
            let mut action = action(&job.rule, &self.entries, job.is_native, how);
            match action {
                Action::LeaveToKernel => continue,
                Action::Keep(entry) => {
                    let is_as_requested = entry.is(&job.rule);
                    // A handler of another hold may go with that; where a stand-in is left, it runs the programs.
                    let is_held = entry.signature().is_some_and(|s| s.held);
                    let has_stand_in = is_as_requested && self.left_over(job).any(|e| !e.is_trial());
                    if is_held && !is_as_requested {
                        let why =
                            "it does more than requested, and may go with the `qus hold` that registered it";
                        let error = Error::new(Step::Keep, entry.name.as_str(), why);
                        let hint = format!("`qus install {}` registers one that stays", job.arch.target);
                        job.fail(error.hint(hint), report);
                        continue;
                    }
                    let is_replaced = is_held || has_stand_in;
                    action = if is_replaced { Action::Replace(entry) } else { Action::Keep(entry) };
                }
                _ => {}
            }
            partial.extend(plan::partial(&job.rule, &self.entries).map(|e| e.name.as_str()));
            job.action = Some(action);
        }
        partial.sort_unstable();
        partial.dedup();
        for name in partial {
            report.note(format!(
                "{name} also takes some of these programs: the kernel uses the handler that was registered last"
            ));
        }
    }

    /// Keeps existing handlers only if they work.
    pub(super) fn judge_what_is_there(&self, jobs: &mut [Job], report: &mut Report) {
        let is_tried = self.is_tried();
        let is_judged = |job: &&mut Job| match &job.action {
            // With flag F, it works in all root file systems.
            Some(Action::Keep(e)) => is_tried || self.request.prove && Flags::parse(&e.flags).fix_binary,
            action => matches!(action, Some(Action::LeaveTo(_))),
        };
        let persistent = self.request.options.persistent;
        // A handler that does more is kept even with another build of the emulator.
        let mut kept: Vec<_> = jobs.iter_mut().filter(|j| j.keeps().is_some_and(|e| e.is(&j.rule))).collect();
        check(&mut kept, self.dir, self.request, report);
        let mut judged: Vec<_> = jobs.iter_mut().filter(is_judged).collect();
        let arches: Vec<_> = judged.iter().map(|job| job.arch).collect();
        let verdicts = probe::run(&arches);
        for (job, verdict) in judged.iter_mut().zip(verdicts) {
            match job.action.take() {
                Some(Action::LeaveTo(other)) => self.leave_to(job, &other, &verdict, report),
                Some(Action::Keep(entry)) => {
                    let judged = match self.runs_instead(&entry, job, &verdict) {
                        Some(other) => Err(another_runs_them(job, &entry, other)),
                        None => job.judge(&verdict, Flags::parse(&entry.flags)),
                    };
                    match (judged, plan::third_party(&job.rule, &self.entries)) {
                        (Ok(took), _) => {
                            job.keep(&entry, Some(took));
                            if let Verdict::Ran { by: RanBy::Interpreter(file), .. } = verdict
                                && self.signature.held
                                && job.emulator.is_none()
                                // Not the shell of a script.
                                && probe::run_by(&file, job.arch).ran()
                            {
                                // To register it again.
                                job.emulator = Emulator::running(file).ok().map(Arc::new);
                            }
                        }
                        (Err(_), Some(other)) if !self.request.force => {
                            self.leave_to(job, other, &verdict, report)
                        }
                        (Err(_), _) if persistent => job.action = Some(Action::Replace(entry)),
                        (Err(error), _) => job.fail(error, report),
                    }
                }
                _ => {}
            }
        }
        for job in jobs {
            if let Some(entry) = job.keeps().cloned() {
                job.keep(&entry, None);
            }
            if job.has_handler() && !self.request.dry_run {
                // Left by an interrupted run.
                report.errors.extend(self.clear_trials(job).err());
            }
        }
    }

    fn leave_to(&self, job: &mut Job, other: &Entry, verdict: &Verdict, report: &mut Report) {
        let by = self.runs_instead(other, job, verdict);
        // One that only names a path doesn't run them in containers, as `other` might, which has not been seen to run any.
        let is_enough = |by: &Entry| !self.request.options.persistent || Flags::parse(&by.flags).fix_binary;
        let hint = "registers a handler that takes precedence over it";
        let hint = format!("`qus install --force {}` {hint}", job.arch.target);
        let error = match by {
            _ if verdict.is_unclear() => return job.fail(probe::failure(job.arch, verdict), report),
            _ if !verdict.ran() => {
                let why = format!("{} takes them, and fails", other.name);
                Error::new(Step::Prove, format!("{} programs", job.arch.name), why)
            }
            Some(by) if !is_enough(by) => another_runs_them(job, other, by),
            _ => {
                let by = by.unwrap_or(other);
                let Entry { name, interpreter, .. } = by;
                let lacking = match is_enough(by) {
                    false => Some(format!("{name} has no flag F: every container needs {interpreter}")),
                    true if self.request.options.persistent => verdict.loader().map(|loader| {
                        format!("what {name} runs is dynamically linked: every container needs {loader}")
                    }),
                    true => None,
                };
                report.notes.extend(lacking.map(|lacking| format!("{lacking}; {hint}")));
                (job.state, job.left_to) = (State::ThirdParty, Some(by.name.clone()));
                return;
            }
        };
        job.fail(error.hint(hint), report);
    }

    /// The other handler that is known to have run a program that this one takes, too: its path leads to what did.
    fn runs_instead(&self, handler: &Entry, job: &Job, verdict: &Verdict) -> Option<&Entry> {
        let Verdict::Ran { by: RanBy::Interpreter(file), .. } = verdict else { return None };
        let leads_there = |entry: &Entry| {
            let identity = |m: Metadata| (m.dev(), m.ino());
            let at = std::fs::metadata(&entry.interpreter).map(identity).ok();
            at.is_some() && at == file.metadata().map(identity).ok()
        };
        let others = || self.entries.iter().filter(|e| e.enabled && e.name != handler.name);
        let other = others().find(|e| probe::takes(e, job.arch) && leads_there(e))?;
        (!leads_there(handler)).then_some(other)
    }
}

/// The error where not that handler, but another one has run a program.
fn another_runs_them(job: &Job, handler: &Entry, by: &Entry) -> Error {
    let why = format!("{} was not tried: {} runs them here", handler.name, by.name);
    Error::new(Step::Prove, format!("{} programs", job.arch.name), why)
}
