//! One binfmt_misc, locked: what was there, what this run has written, and how to undo that.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use super::check::{Paths, check, is_as_this_program};
use super::job::Job;
use crate::anchor::{BinfmtMount, Keeper};
use crate::binfmt::Registrar;
use crate::commands::hold::{Held, Holder};
use crate::commands::rules::trial_name;
use crate::emulators::EmulatorDir;
use crate::error::{Cause, Error, Result, Step};
use crate::host;
use crate::mounts;
use crate::outcome::{Report, State};
use crate::plan::{self, Action, Overwrite, action};
use crate::probe::{self, RanBy, Verdict};
use crate::request::{Hold, Install};
use crate::rule::{Entry, Flags, Rule, Signature};
use crate::userns::Namespaces;

pub(super) struct Site<'a> {
    request: &'a Install,
    place: Namespaces,
    mount: BinfmtMount,
    registrar: Registrar,
    /// What was there when it was locked.
    entries: Vec<Entry>,
    /// What this run writes into each of its own.
    signature: Signature,
    /// Why emulators could not be opened through a detached tree.
    unanchored: Option<Error>,
    undo: Vec<Undo>,
}

/// What takes a step of this run back.
struct Undo {
    /// What was registered.
    rule: Rule,
    /// What it has replaced, with the file that ran its programs.
    replaced: Option<(Entry, Option<File>)>,
}

impl<'a> Site<'a> {
    /// Mounts and locks it, and looks what is there.
    pub(super) fn open(request: &'a Install, place: Namespaces) -> Result<Self> {
        let mount = BinfmtMount::for_registering(place, request.mount.as_deref(), request.dry_run)?;
        let look = || {
            let registrar = mount.binfmt().lock()?;
            if !mount.binfmt().is_enabled()? {
                let why = "binfmt_misc is switched off on this host (its status is disabled)";
                return Err(Error::new(Step::Register, "anything", why).hint(
                    "whoever did that may have a reason; `echo 1 > /proc/sys/fs/binfmt_misc/status` switches it on",
                ));
            }
            Ok((registrar, mount.binfmt().entries()?))
        };
        let (registrar, entries) = look().inspect_err(|_| mount.unmount_if_empty())?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let [nonce @ .., _, _, _, _, _, _, _, _, _, _, _, _] = now.as_nanos().to_le_bytes();
        let joined = mount.is_held_by_host() || is_held_by_others(&entries);
        let signature = Signature { anchored: false, joined, held: request.hold.is_some(), nonce };
        Ok(Self { request, place, mount, registrar, entries, signature, unanchored: None, undo: Vec::new() })
    }

    /// Plans, checks, tries and registers; a target whose step fails is left as it was, while the others go on.
    pub(super) fn register(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        self.plan(jobs, report);
        self.judge_what_is_there(jobs, report);
        self.check(jobs, report);
        if self.request.dry_run {
            return Ok(());
        }
        self.try_out(jobs, report);
        self.write(jobs, report);
        self.verify(jobs, report)
    }

    fn plan(&self, jobs: &mut [Job], report: &mut Report) {
        let how = Overwrite { force: self.request.force, replace: self.request.replace };
        let mut partial: Vec<&str> = Vec::new();
        for job in &mut *jobs {
            let mut action = action(&job.rule, &self.entries, job.is_native, how);
            match action {
                Action::LeaveToKernel => continue,
                // What another hold looks after goes with it.
                Action::Keep(entry) if self.signature.held && entry.signature().is_some_and(|s| s.held) => {
                    action = Action::Replace(entry);
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
                "{name} takes some of these programs, too: those go to whichever was registered last"
            ));
        }
    }

    /// Is a program executed to see whether it works? Where a handler names a path for other root directories than this one, that
    /// proves nothing here.
    const fn is_tried(&self) -> bool {
        self.request.prove && (self.request.options.persistent || self.mount.is_on_host())
    }

    /// Runs the programs of what there is a handler for: is it good enough?
    fn judge_what_is_there(&self, jobs: &mut [Job], report: &mut Report) {
        let is_tried = self.is_tried();
        let is_judged = |job: &&mut Job| match &job.action {
            // One that holds its emulator is there for all root directories, whatever was asked for.
            Some(Action::Keep(e)) => is_tried || self.request.prove && Flags::parse(&e.flags).fix_binary,
            action => matches!(action, Some(Action::LeaveTo(_))),
        };
        let persistent = self.request.options.persistent;
        // Another build of an emulator is no reason to leave a handler that does more than was asked for.
        let mut kept: Vec<_> = jobs.iter_mut().filter(|j| j.keeps().is_some_and(|e| e.is(&j.rule))).collect();
        check(&mut kept, self.request, &Paths::new(), report);
        let mut judged: Vec<_> = jobs.iter_mut().filter(is_judged).collect();
        let verdicts = probe::run(judged.iter().map(|job| job.arch));
        for (job, verdict) in judged.iter_mut().zip(verdicts) {
            match job.action.take() {
                Some(Action::LeaveTo(other)) => self.leave_to(job, &other, &verdict, report),
                Some(Action::Keep(entry)) => {
                    let judged = job.judge(&verdict, Flags::parse(&entry.flags));
                    match (judged, plan::third_party(&job.rule, &self.entries)) {
                        (Ok(took), _) => job.keep(&entry, Some(took)),
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
                // What an interrupted run may have left beside it.
                report.errors.extend(self.clear_trial(job).err());
            }
        }
    }

    fn clear_trial(&self, job: &Job) -> Result<()> {
        self.mount.binfmt().remove(trial_name(&job.rule.name), |e| e.signature().is_some()).map(drop)
    }

    /// A name for a moment; another one where somebody else has the usual one.
    fn name_beside(&self, name: &str) -> String {
        let usual = trial_name(name);
        let is_taken = self.entries.iter().any(|e| e.name == usual && e.signature().is_none());
        let [a, b, c, d] = self.signature.nonce;
        if is_taken { format!("{usual}-{a:02x}{b:02x}{c:02x}{d:02x}") } else { usual }
    }

    fn leave_to(&self, job: &mut Job, other: &Entry, verdict: &Verdict, report: &mut Report) {
        if verdict.ran() {
            job.settle(State::ThirdParty);
            return;
        }
        let why = format!("{} takes them and fails", other.name);
        let error = Error::new(Step::Prove, format!("{} programs", job.arch.name), why);
        job.fail(error.hint("--force registers one that takes precedence over it"), report);
    }

    /// Opens and checks the emulators of all that is to be registered, through detached trees where those are needed.
    fn check(&mut self, jobs: &mut [Job], report: &mut Report) {
        let mut due: Vec<_> = jobs.iter_mut().filter(|job| job.is_due()).collect();
        if due.is_empty() {
            return;
        }
        let options = &self.request.options;
        let mut paths = Paths::new();
        if options.persistent && !self.mount.is_on_host() {
            // Where it can't be opened, the check says so.
            let dir = EmulatorDir::open(options.dir(), options.dir()).ok();
            for job in &mut due {
                let real = dir.as_ref().and_then(|d| d.real_path(&job.file).ok());
                let Some(real) = real.filter(|path| path.is_file()) else { continue };
                match self.mount.anchored(&job.file, &real) {
                    Ok((path, tree)) => {
                        job.tree = tree;
                        paths.insert(job.file.clone(), path);
                    }
                    Err(error) if error.step == Step::Copy => job.fail(error, report),
                    Err(error) => self.unanchored = Some(error),
                }
            }
        }
        due.retain(|job| job.is_due());
        check(&mut due, self.request, &paths, report);
        // Under emulation, an emulator for this program's own architecture that is a program of it could only run itself.
        let runs_us = |job: &Job| {
            let emulator = job.emulator.as_ref()?;
            let is_own = job.arch.machine_bytes() == host::build_arch().machine_bytes();
            let mut takers = self.entries.iter().filter(|e| e.matches(job.arch.pattern.magic()));
            if is_own && is_as_this_program(emulator) { takers.next().cloned() } else { None }
        };
        for job in &mut due {
            if let Some(entry) = runs_us(job) {
                let verdict = probe::run([job.arch]).remove(0);
                job.keep(&entry, if let Verdict::Ran { took, .. } = verdict { Some(took) } else { None });
            } else if let (true, Err(error)) = (job.is_due(), job.rule.line()) {
                job.fail(Error::new(Step::Register, job.rule.name.as_str(), error.to_string()), report);
            }
        }
        let is_emulated =
            |job: &&mut Job| job.is_due() && job.emulator.as_deref().is_some_and(is_as_this_program);
        if due.iter_mut().any(|job| is_emulated(job))
            && host::arch().name != host::build_arch().name
            && !matches!(probe::run([host::build_arch()])[..], [Verdict::Ran { by: RanBy::Kernel, .. }])
        {
            report.note(format!(
                "this is qus for {}, running under emulation: so will all that it registers; take qus for this machine's own \
                 architecture",
                host::build_arch().name
            ));
        }
        for job in due.iter_mut().filter(|job| job.is_due()) {
            if let Err(error) = self.see_what_depends(job) {
                job.fail(error, report);
            }
        }
        if self.request.dry_run {
            due.iter_mut().filter(|job| job.is_due()).for_each(|job| self.try_without_handler(job, report));
        }
    }

    /// Tells what would come of it, as far as that can be known with nothing registered.
    fn try_without_handler(&self, job: &mut Job, report: &mut Report) {
        let emulator = job.emulator.as_ref().filter(|_| self.is_tried());
        match emulator.map(|emulator| probe::run_by(&emulator.file, job.arch)) {
            Some(Verdict::Refused(errno)) => {
                let error = Error::new(Step::Exec, job.rule.interpreter.as_str(), errno);
                job.fail(error.hint("is it executable, and its file system not mounted noexec?"), report);
            }
            Some(verdict) if !verdict.ran() => job.fail(probe::failure(job.arch, &verdict), report),
            _ => {
                let is_new = job.action.take() == Some(Action::Register);
                job.settle(if is_new { State::Registered } else { State::Replaced });
            }
        }
    }

    /// A handler that may be all that keeps binfmt_misc mounted gives way only to one that keeps it, too.
    fn see_what_depends(&self, job: &Job) -> Result<()> {
        let Some(Action::Replace(old)) = &job.action else { return Ok(()) };
        if job.tree.is_some() || self.mount.is_held_by_host() {
            return Ok(());
        }
        let left: Vec<_> = self.entries.iter().filter(|e| e.name != old.name).collect();
        if !depends_on(&[old], &left) {
            return Ok(());
        }
        let why = "its detached tree keeps binfmt_misc mounted, and what would replace it has none";
        Err(Error::new(Step::Keep, old.name.as_str(), why).hint(self.remedy()))
    }

    /// Tries each emulator by a handler that takes the probes of this run only.
    fn try_out(&mut self, jobs: &mut [Job], report: &mut Report) {
        let is_tried = self.is_tried();
        let mut tried = Vec::new();
        for job in jobs.iter_mut().filter(|job| job.is_due()) {
            // What an interrupted run has left.
            let linked = self.clear_trial(job).and_then(|()| self.link(job));
            let trial =
                Rule { name: self.name_beside(&job.rule.name), ..job.rule.for_probes(self.signature) };
            let ready = linked.and_then(|()| if is_tried { self.registrar.register(&trial) } else { Ok(()) });
            match ready {
                Ok(()) if is_tried => tried.push((job, trial)),
                Ok(()) => {}
                Err(error) => job.fail(Error { on: job.rule.name.clone(), ..error }, report),
            }
        }
        let verdicts = probe::run_marked(tried.iter().map(|(job, _)| (job.arch, self.signature.bytes())));
        for ((job, trial), verdict) in tried.iter_mut().zip(verdicts) {
            let judged = job.judge(&verdict, trial.flags);
            let removed = self.mount.binfmt().remove(&trial.name, |e| e.signature() == Some(self.signature));
            match judged.and_then(|took| removed.map(|_| took)) {
                Ok(took) => job.proof = Some(took),
                Err(error) => job.fail(error, report),
            }
        }
    }

    /// Has the handler's path lead to the very file that was checked.
    fn link(&mut self, job: &Job) -> Result<()> {
        match &job.emulator {
            Some(emulator) if self.request.options.persistent => {
                self.mount.link(Path::new(&job.rule.interpreter), &emulator.file)
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, jobs: &mut [Job], report: &mut Report) {
        for job in jobs {
            let rule = self.signed(job);
            let (done, state) = match job.action.take() {
                Some(Action::Register) => (self.registrar.register(&rule).map(|()| None), State::Registered),
                Some(Action::Replace(old)) => {
                    self.note_lost_flags(&old, &rule, report);
                    (self.replace(&rule, old, report).map(Some), State::Replaced)
                }
                _ => continue,
            };
            match done {
                Ok(replaced) => {
                    self.undo.push(Undo { rule, replaced });
                    job.settle(state);
                }
                Err(error) => job.fail(error, report),
            }
        }
    }

    fn signed(&self, job: &Job) -> Rule {
        job.rule.signed(Signature { anchored: job.tree.is_some(), ..self.signature })
    }

    fn note_lost_flags(&self, old: &Entry, new: &Rule, report: &mut Report) {
        if Flags::parse(&old.flags).credentials && !new.flags.credentials {
            report.note(format!(
                "{} had flag C (setuid programs got their rights), and does not now: -c or --credentials yes keeps it",
                old.name
            ));
        }
    }

    /// Takes the place of another handler of that name, whose programs run all the while: a stand-in takes them between the two.
    fn replace(&mut self, rule: &Rule, old: Entry, report: &mut Report) -> Result<(Entry, Option<File>)> {
        // Its file, to bring it back by.
        let file = old.enabled.then(|| self.runs(&old)).flatten();
        let stand_in = Rule { name: self.name_beside(&rule.name), ..rule.clone() };
        self.registrar.register(&stand_in)?;
        let removed = self.mount.binfmt().remove(&old.name, |e| *e == old);
        let done = removed.and_then(|_| self.registrar.register(rule));
        if let Err(error) = done {
            let is_there = |name: &str| !matches!(self.mount.binfmt().entry(name), Ok(None));
            if is_there(&old.name) || self.bring_back(&old, file.as_ref()).is_ok() {
                self.clear_stand_in(&stand_in, report);
                return Err(error);
            }
            return Err(error.hint(format!(
                "{} could not be brought back; {} runs its programs now",
                old.name, stand_in.name
            )));
        }
        self.clear_stand_in(&stand_in, report);
        Ok((old, file))
    }

    /// The emulator that a handler holds open: that of a program that it runs.
    fn runs(&self, entry: &Entry) -> Option<File> {
        let arch = crate::arch::ARCHES.iter().find(|a| entry.matches(a.pattern.magic()))?;
        match probe::run([arch]).remove(0) {
            Verdict::Ran { by: RanBy::Interpreter(file), .. } if Flags::parse(&entry.flags).fix_binary => {
                Some(file)
            }
            _ => None,
        }
    }

    fn bring_back(&mut self, old: &Entry, file: Option<&File>) -> Result<()> {
        if Flags::parse(&old.flags).fix_binary && !self.mount.is_on_host() {
            let gone =
                || Error::new(Step::Register, old.name.as_str(), "its emulator can't be reached any more");
            self.mount.link(Path::new(&old.interpreter), file.ok_or_else(gone)?)?;
        }
        self.registrar.restore(old)
    }

    fn clear_stand_in(&self, stand_in: &Rule, report: &mut Report) {
        // That it stays is worth an error, and changes nothing of what has come of the rest.
        let removed = self.mount.binfmt().remove(&stand_in.name, |e| e.is(stand_in));
        report.errors.extend(removed.err());
    }

    /// Looks at all of it once more: is what was written, and what was kept, there as it was seen to work?
    fn verify(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        let now = self.mount.binfmt().entries()?;
        for job in jobs.iter_mut().filter(|job| job.has_handler()) {
            let seen = self.verify_one(job, &now, report);
            if let Err(error) = seen {
                let was_new = job.is_new();
                let name = job.rule.name.clone();
                job.fail(error, report);
                if was_new && let Some(at) = self.undo.iter().position(|u| u.rule.name == name) {
                    let undo = self.undo.remove(at);
                    report.errors.extend(self.take_back(undo).err());
                }
            }
        }
        Ok(())
    }

    fn verify_one(&self, job: &Job, now: &[Entry], report: &mut Report) -> Result<()> {
        let name = job.rule.name.as_str();
        let there = now.iter().find(|e| e.name == name);
        let is_right = |e: &Entry| match job.is_new() {
            true => e.is(&job.rule) && e.signature() == self.signed(job).signature(),
            false => self.entries.contains(e),
        };
        if !there.is_some_and(is_right) {
            return Err(Error::new(Step::Register, name, "another process removed it while qus was running"));
        }
        if let Some(emulator) = job.emulator.as_deref().filter(|_| job.is_new())
            && !emulator.unchanged().map_err(|e| Error::new(Step::Open, job.rule.interpreter.as_str(), e))?
        {
            return Err(Error::new(
                Step::Check,
                job.rule.interpreter.as_str(),
                "it changed while it was registered",
            ));
        }
        if !self.is_tried() || !job.is_new() {
            return Ok(());
        }
        if plan::third_party(&job.rule, now).is_some_and(|e| !self.entries.contains(e)) {
            job.judge(&probe::run([job.arch])[0], job.rule.flags)?;
        }
        if job.rule.flags.credentials {
            judge_credentials(job, report)?;
        }
        Ok(())
    }

    fn take_back(&mut self, undo: Undo) -> Result<()> {
        let signature = undo.rule.signature();
        self.mount.binfmt().remove(&undo.rule.name, |e| e.is(&undo.rule) && e.signature() == signature)?;
        match undo.replaced {
            Some((old, file)) => self.bring_back(&old, file.as_ref()),
            None => Ok(()),
        }
    }

    /// Undoes all that this run has done.
    pub(super) fn roll_back(&mut self, jobs: &mut [Job], report: &mut Report) {
        if !self.undo.is_empty() {
            report.note("rolled back: not all targets could be registered");
        }
        while let Some(undo) = self.undo.pop() {
            report.errors.extend(self.take_back(undo).err());
        }
        jobs.iter_mut()
            .filter(|job| job.is_new())
            .for_each(|job| (job.state, job.proof) = (State::Removed, None));
        self.leave();
    }

    /// Leaves what has come of it; a mount that nothing was registered in is not needed.
    pub(super) fn leave(&mut self) {
        self.registrar.close();
        self.mount.unmount_if_empty();
    }

    /// Sees what keeps each handler when this process has exited.
    pub(super) fn keep(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        // What outlives this process must do so without its help.
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
        self.watch(jobs, report)
    }

    /// What nothing known keeps must be there without this process.
    fn watch(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        let is_open = |job: &&mut Job| job.has_handler() && job.keeper.is_none();
        let mut open: Vec<_> = jobs.iter_mut().filter(is_open).collect();
        let Some(name) = open.first().map(|job| job.rule.name.clone()) else { return Ok(()) };
        self.undo.iter_mut().for_each(|undo| undo.replaced = None);
        self.registrar.close();
        match self.mount.watch_without_us(Some(&name))? {
            None => {
                // With binfmt_misc has gone all that was in it.
                self.undo.clear();
                Err(self.cannot_last())
            }
            keeper => {
                open.iter_mut().for_each(|job| job.keeper = keeper);
                if keeper == Some(Keeper::Unseen) && !self.place.in_user_namespace {
                    report.note("binfmt_misc is held by a mount that qus can't see from here: with --pid=host it could");
                }
                Ok(())
            }
        }
    }

    /// Tells how it would end: nothing is registered, so what would keep it is tried with what is there.
    pub(super) fn foresee(&mut self, jobs: &mut [Job], report: &mut Report) -> Result<()> {
        if self.request.hold.is_some() {
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
        self.registrar.close();
        if self.mount.watch_without_us(None)?.is_none() { Err(self.cannot_last()) } else { Ok(()) }
    }

    /// Stays.
    pub(super) fn hold(self, jobs: &mut [Job], hold: Hold) -> Holder {
        jobs.iter_mut().filter(|job| job.has_handler()).for_each(|job| job.keeper = Some(Keeper::Process));
        let held = jobs.iter().filter(|job| job.has_handler()).map(|job| Held {
            arch: job.arch,
            rule: self.signed(job),
            expected: self.mount.binfmt().entry(&job.rule.name).ok().flatten(),
            is_own: job.is_new(),
            emulator: job.emulator.clone(),
        });
        Holder { held: held.collect(), hold, mount: Some(self.mount) }
    }

    /// There is no way to keep the handlers; what could help on this host.
    fn cannot_last(&self) -> Error {
        let mut why = "they vanish with the last mount of binfmt_misc, which is this process' own".to_owned();
        if let Some(error) = &self.unanchored {
            why = format!("{why}; they can't hold one themselves: {}", error);
        }
        Error::new(Step::Keep, "the handlers", why).hint(self.remedy())
    }

    fn remedy(&self) -> String {
        let mut hints = Vec::new();
        if !self.request.options.persistent {
            hints.push("add -p");
        }
        if self.place.in_user_namespace {
            hints.push("stay in the container with --hold");
        } else if Path::new("/run/systemd/system").exists() {
            hints.push("run `ls /proc/sys/fs/binfmt_misc` on the host once, which mounts it");
        } else {
            hints.push("run `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc` on the host");
            hints.push("start the container with --pid=host");
            hints.push("stay in it with --hold");
        }
        hints.join("; or ")
    }
}

/// Does something that isn't qus' hold this binfmt_misc? Entries of others say so, unless they came when anchors of qus held it.
fn is_held_by_others(entries: &[Entry]) -> bool {
    let mut anchors = entries.iter().filter_map(Entry::signature).filter(|s| s.anchored).peekable();
    match anchors.peek() {
        Some(_) => anchors.any(|s| s.joined),
        None => !entries.is_empty(),
    }
}

/// Would binfmt_misc go, with what is `left` in it, if these handlers went? Their trees may be all that holds it.
pub(in crate::commands) fn depends_on(removed: &[&Entry], left: &[&Entry]) -> bool {
    let anchors =
        |entries: &[&Entry]| entries.iter().filter_map(|e| e.signature()).filter(|s| s.anchored).count();
    let joined = removed.iter().filter_map(|e| e.signature()).any(|s| s.joined);
    anchors(removed) > 0 && anchors(left) == 0 && !joined
}

/// With flag `C`: does a setuid program get its owner's rights?
fn judge_credentials(job: &Job, report: &mut Report) -> Result<()> {
    match probe::honours_set_uid(job.arch, mounts::mount_point()?) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let what = format!("setuid {} programs", job.arch.name);
            Err(Error::new(Step::Prove, what, "they don't get their owner's rights, in spite of flag C"))
        }
        Err(errno) => {
            report.note(format!(
                "that setuid programs work (flag C) can't be seen from here: {}",
                Cause::Errno(errno)
            ));
            Ok(())
        }
    }
}
