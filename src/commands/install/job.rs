//! One handler on its way: planned, registered or put in another's place, judged by what a program of its architecture does.

use std::time::Duration;

use nix::errno::Errno;

use super::check::Checked;
use crate::anchor::{BinfmtMount, mount_point};
use crate::arch::{Arch, own};
use crate::binfmt::Binfmt;
use crate::commands::rules::trial_name;
use crate::error::{Cause, Error, Result, Step};
use crate::outcome::{Report, State, TargetResult};
use crate::plan::{Action, Overwrite, action};
use crate::probe::{self, RanBy, Verdict};
use crate::request::Install;
use crate::rule::{Entry, Rule};

/// Is a program executed to see whether it works? Where a handler names a path for other root directories than ours, that
/// proves nothing here.
pub(super) const fn is_tried(request: &Install, ground: &BinfmtMount) -> bool {
    request.prove && (request.options.persistent || ground.is_on_host())
}

/// One handler on its way.
pub(super) struct Job {
    pub(super) arch: &'static Arch,
    /// The name of the binary in its directory.
    pub(super) file: String,
    pub(super) rule: Rule,
    /// What ran a program of this architecture before anything was done.
    pub(super) native: Verdict,
    pub(super) state: State,
    pub(super) emulator: Option<Checked>,
    pub(super) proof: Option<Duration>,
}

impl Job {
    /// Decides what is to be done, by setting the state that it will be in then.
    pub(super) fn plan(&mut self, entries: &[Entry], request: &Install) {
        // Where it ran but could not be traced, it is native if no handler takes it.
        let native = self.is_native()
            || matches!(self.native, Verdict::Ran { by: RanBy::Unknown, .. })
                && !entries.iter().any(|e| e.takes(self.arch.pattern.magic()));
        let how = Overwrite { force: request.force, replace: request.replace };
        self.state = match action(&self.rule, entries, native, how) {
            Action::LeaveToKernel => State::Native,
            Action::LeaveTo(_) => State::ThirdParty,
            Action::Keep => {
                // It may be one that does more than was asked for.
                if let Some(entry) = entries.iter().find(|e| e.name == self.rule.name) {
                    self.rule = entry.rule();
                }
                State::Already
            }
            Action::Register => State::Registered,
            Action::Replace(_) => State::Replaced,
        };
    }

    /// Did the kernel itself run a program of this architecture?
    pub(super) const fn is_native(&self) -> bool {
        matches!(self.native, Verdict::Ran { by: RanBy::Kernel, .. })
    }

    /// Is there to be, or is there, a handler of ours?
    pub(super) const fn is_registered(&self) -> bool {
        matches!(self.state, State::Already | State::Registered | State::Replaced)
    }

    /// Lets go of every file that may pin a mount: what outlives us must do so without our help.
    pub(super) fn close(&mut self) {
        self.native = Verdict::Untried(Errno::EALREADY);
        if let Some(emulator) = &mut self.emulator {
            emulator.close();
        }
    }

    pub(super) fn fail_on(&mut self, done: Result<()>, report: &mut Report) {
        if let Err(error) = done {
            self.state = State::Failed;
            // Several rows may fail for one reason: a binary that runs two of them, a directory.
            if !report.errors.contains(&error) {
                report.errors.push(error);
            }
        }
    }

    /// Does what was planned, up to where the handler is there.
    pub(super) fn act(
        &mut self,
        ground: &BinfmtMount,
        entries: &[Entry],
        request: &Install,
        report: &mut Report,
    ) -> Result<()> {
        // What an interrupted run may have left; if it is all that there is, it serves until ours is there.
        let is_left = entries.iter().any(|e| e.name == trial_name(&self.rule.name));
        if is_left && matches!(self.state, State::Already | State::Replaced) {
            self.clear_trial(ground)?;
        }
        if let Some(entry) = self.runs_us(entries).filter(|_| self.is_registered()) {
            self.rule = entry.rule();
            self.state = State::Already;
            if let Verdict::Ran { took, .. } = probe::run([self.arch]).remove(0) {
                self.proof = Some(took);
            }
            return Ok(());
        }
        match self.state {
            State::Registered => {
                ground.register(&self.rule, &self.file)?;
                // That it stays is worth an error, but ours is there.
                report.errors.extend(is_left.then(|| self.clear_trial(ground).err()).flatten());
                Ok(())
            }
            State::Replaced => self.replace(ground, entries, request, report),
            State::Already => {
                // It may hold another build of QEMU, or another handler may come before it.
                let mut verdict = std::mem::replace(&mut self.native, Verdict::Untried(Errno::EALREADY));
                // Another run may have registered it since we tried.
                if request.prove && !verdict.ran() {
                    verdict = probe::run([self.arch]).remove(0);
                }
                match self.judge(&verdict, || Ok(entries.to_vec())) {
                    Ok(proof) => self.proof = Some(proof),
                    Err(_) if request.options.persistent && request.prove => {
                        self.state = State::Replaced;
                        self.replace(ground, entries, request, report)?;
                    }
                    Err(_) => {}
                }
                Ok(())
            }
            State::ThirdParty if !probe::run([self.arch]).remove(0).ran() => {
                let other = entries
                    .iter()
                    .find(|e| e.takes(self.arch.pattern.magic()))
                    .map_or("another handler", |e| &e.name);
                Err(Error::new(
                    Step::Prove,
                    format!("{} programs", self.arch.name),
                    format!("{other} takes them and fails"),
                )
                .hint("--force registers ours in front of it"))
            }
            _ => Ok(()),
        }
    }

    /// The handler that runs us, under emulation, if the emulator for our own architecture is a program of it as we are: that
    /// one could only run itself.
    pub(super) fn runs_us<'a>(&self, entries: &'a [Entry]) -> Option<&'a Entry> {
        let is_circular = self.arch.machine_bytes() == own().machine_bytes()
            && self.emulator.as_ref().is_some_and(Checked::is_as_we_are);
        entries.iter().find(|e| is_circular && e.enabled && e.takes(self.arch.pattern.magic()))
    }

    /// Takes the place of another handler of that name: ours is registered beside it and tried out first, so that at no moment
    /// there is none, and nothing is lost where ours doesn't work.
    fn replace(
        &self,
        ground: &BinfmtMount,
        entries: &[Entry],
        request: &Install,
        report: &mut Report,
    ) -> Result<()> {
        let binfmt = ground.binfmt();
        let trial = Rule { name: trial_name(&self.rule.name), ..self.rule.clone() };
        ground.register(&trial, &self.file)?;
        let ready = if is_tried(request, ground) {
            self.judge(&probe::run([self.arch])[0], || Ok(entries.to_vec())).map(drop)
        } else {
            Ok(())
        };
        let moved = ready.and_then(|()| self.take_place(binfmt, ground, entries));
        // Where neither of them has its name now, the one beside it goes on serving.
        if moved.is_err() && matches!(binfmt.entry(&self.rule.name), Ok(None)) {
            return moved;
        }
        // That it stays is worth an error, and changes nothing of what has come of the rest.
        report.errors.extend(self.clear_trial(ground).err());
        moved
    }

    /// Removes the handler of that name and registers ours; brings the other one back if that fails.
    fn take_place(&self, binfmt: &Binfmt, ground: &BinfmtMount, entries: &[Entry]) -> Result<()> {
        binfmt.remove(&self.rule.name)?;
        ground.register(&self.rule, &self.file).map_err(|error| {
            let old = entries.iter().find(|e| e.name == self.rule.name);
            match old.map(|old| binfmt.register(&old.rule())) {
                Some(Err(e)) => {
                    error.hint(format!("the handler that was there could not be brought back: {}", e.why))
                }
                _ => error,
            }
        })
    }

    fn clear_trial(&self, ground: &BinfmtMount) -> Result<()> {
        ground.binfmt().remove(trial_name(&self.rule.name)).map(drop)
    }

    /// What a run of a program of this architecture says about our handler. If it went elsewhere, the `entries` tell where.
    pub(super) fn judge(
        &self,
        verdict: &Verdict,
        entries: impl FnOnce() -> Result<Vec<Entry>>,
    ) -> Result<Duration> {
        let failed = |why: Cause| Error::new(Step::Prove, format!("{} programs", self.arch.name), why);
        match verdict {
            Verdict::Ran { argv0: false, .. } if self.rule.flags.preserve_argv0 => {
                Err(failed("this QEMU doesn't understand flag P".into())
                    .hint("add --preserve-argv0 no, or take a newer QEMU"))
            }
            Verdict::Ran { by: RanBy::Interpreter(file), took, .. } => match &self.emulator {
                Some(emulator) if !emulator.is_same_as(file) => {
                    let entries = entries()?;
                    let others = entries
                        .iter()
                        .filter(|e| e.name != self.rule.name && e.takes(self.arch.pattern.magic()));
                    let others: Vec<_> = others.map(|e| e.name.as_str()).collect();
                    Err(failed(
                        format!("they run through another interpreter ({})", others.join(", ")).into(),
                    ))
                }
                _ => Ok(*took),
            },
            Verdict::Ran { took, .. } => Ok(*took),
            other if other.is_unclear() => {
                let error = probe::failure(self.arch, other);
                let more = "--no-prove leaves this step out";
                let hint = error.hint.as_ref().map_or_else(|| more.to_owned(), |h| format!("{h}; {more}"));
                Err(error.hint(hint))
            }
            other => Err(probe::failure(self.arch, other)),
        }
    }

    /// With flag `C`: does a set-uid program get its owner's rights?
    pub(super) fn judge_credentials(&self, report: &mut Report) -> Result<()> {
        if !self.rule.flags.credentials {
            return Ok(());
        }
        match probe::honours_set_uid(self.arch, mount_point()?) {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("set-uid {} programs", self.arch.name);
                return Err(Error::new(
                    Step::Prove,
                    what,
                    "they don't get their owner's rights, in spite of flag C",
                ));
            }
            Err(errno) => report.note(format!(
                "that set-uid programs work (flag C) can't be seen from here: {}",
                Cause::Errno(errno)
            )),
        }
        Ok(())
    }

    pub(super) fn line(&self, dry_run: bool) -> TargetResult {
        let has_handler = self.is_registered();
        TargetResult {
            name: self.arch.name.to_owned(),
            state: self.state,
            handler: has_handler
                .then(|| (self.rule.interpreter.clone(), self.rule.flags.as_reported().to_string())),
            verified: self.emulator.as_ref().is_some_and(Checked::is_verified),
            proof: self.proof,
            rule: (dry_run && matches!(self.state, State::Registered | State::Replaced))
                .then(|| self.rule.line().unwrap_or_else(|u| u.to_string())),
            keeper: None,
        }
    }
}
