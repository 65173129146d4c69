//! Checks the emulators to register, in parallel: a first run spends most of its time hashing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use nix::errno::Errno;
use nix::sys::stat::stat;

use super::job::Job;
use super::keep::remedy;
use super::select::not_carried;
use super::site::Site;
use crate::anchor::OWN_DIR;
use crate::commands::rules::requirements;
use crate::emulators::{Emulator, EmulatorDir};
use crate::error::{Error, Result, Step};
use crate::host;
use crate::outcome::{Report, State};
use crate::plan::{Action, depends_on};
use crate::probe::{self, RanBy, Verdict};
use crate::request::Install;
use crate::rule::{Entry, RuleError};
use crate::sys;

impl Site<'_> {
    /// Opens and checks the emulators to register, through detached trees if needed.
    pub(super) fn check(&mut self, jobs: &mut [Job], report: &mut Report) {
        let mut due: Vec<_> = jobs.iter_mut().filter(|job| job.is_due()).collect();
        if due.is_empty() {
            return;
        }
        let options = &self.request.options;
        let device = |dir: &Path| stat(dir).map(|s| s.st_dev);
        let at = self.mount.binfmt().dir();
        // By the path that a rule has: the working directory may lie below the mount.
        let seen = std::path::absolute(options.dir()).map_or(Err(Errno::EIO), |dir| device(&dir));
        let is_hidden = matches!(seen, Err(Errno::ENOENT | Errno::ENOTDIR)) || seen == device(at);
        if self.dir.is_some() && is_hidden {
            let hidden = || {
                let on = format!("binfmt_misc on {}", at.display());
                Error::new(Step::Mount, on, "it hides the emulators there").hint(OWN_DIR)
            };
            return due.iter_mut().for_each(|job| job.fail(hidden(), report));
        }
        if options.persistent && !self.mount.is_on_host() {
            for job in &mut due {
                // If it can't be opened, the check reports that.
                let Some(real) = self.dir.and_then(|dir| dir.real_path(&job.file).ok()) else { continue };
                match self.mount.anchored(&job.file, &real) {
                    Ok((path, tree)) => {
                        (job.opened, job.tree) = (Some(path), tree);
                    }
                    Err(error) if error.step == Step::Copy => job.fail(error, report),
                    Err(error) => self.unanchored = Some(error),
                }
            }
        }
        due.retain(|job| job.is_due());
        check(&mut due, self.dir, self.request, report);
        // Under emulation, an emulator for the architecture that it is itself built for could only run itself.
        let runs_us = |job: &Job| {
            let emulator = job.emulator.as_ref()?;
            let is_own = job.arch.machine_bytes() == host::build_arch().machine_bytes();
            let mut takers = self.entries.iter().filter(|e| e.matches(job.arch.pattern.magic()));
            if is_own && is_as_this_program(emulator) { takers.next().cloned() } else { None }
        };
        for job in &mut due {
            if let Some(entry) = runs_us(job) {
                let verdict = probe::run_one(job.arch);
                job.keep(&entry, if let Verdict::Ran { took, .. } = verdict { Some(took) } else { None });
            }
        }
        let is_emulated =
            |job: &&mut Job| job.is_due() && job.emulator.as_deref().is_some_and(is_as_this_program);
        if due.iter_mut().any(|job| is_emulated(job))
            && host::arch().name != host::build_arch().name
            && !matches!(probe::run_one(host::build_arch()), Verdict::Ran { by: RanBy::Kernel, .. })
        {
            report.note(format!(
                "this is qus for {}, which runs emulated here, as will the emulators that it registers: use qus for the \
                 architecture of this host",
                host::build_arch().name
            ));
        }
        let unanchored = due.iter().filter(|job| job.is_due() && job.tree.is_none());
        let replaced: Vec<_> = unanchored.flat_map(|job| self.replaced_by(job)).collect();
        for job in due.iter_mut().filter(|job| job.is_due()) {
            let ready = self.fits(job).and_then(|()| self.see_what_depends(job, &replaced));
            let ready = ready.and_then(|()| self.keep_open_what_is_replaced(job));
            if let Err(error) = ready.and_then(|()| self.link(job)) {
                job.fail(error, report);
            }
        }
        if self.request.dry_run {
            due.iter_mut().filter(|job| job.is_due()).for_each(|job| self.try_without_handler(job, report));
        }
    }

    /// Can its rule be registered, also by the longer name that it may have for a while?
    fn fits(&self, job: &Job) -> Result<()> {
        let mut rule = job.rule.clone();
        if self.is_tried() || matches!(job.action, Some(Action::Replace(_))) {
            rule.name = self.name_beside(&rule.name);
        }
        let failed = |why: RuleError| Error::new(Step::Register, job.rule.name.as_str(), why.to_string());
        rule.line().map(drop).map_err(failed)
    }

    /// Makes the handler's path lead to the file that was checked.
    fn link(&mut self, job: &Job) -> Result<()> {
        match &job.emulator {
            Some(emulator) if self.request.options.persistent => {
                self.mount.link(Path::new(&job.rule.interpreter), &emulator.file)
            }
            _ => Ok(()),
        }
    }

    /// Foretells the result as far as possible with nothing registered.
    fn try_without_handler(&self, job: &mut Job, report: &mut Report) {
        let emulator = job.emulator.as_ref();
        let verdict = emulator.and_then(|emulator| match self.is_tried() {
            true => Some(probe::run_by(&emulator.file, job.arch)),
            // With flag F, the kernel opens it as if to execute it, but doesn't look into it.
            false if job.rule.flags.fix_binary => sys::see_whether_executed(&emulator.file)
                .err()
                .filter(|errno| [Errno::EACCES, Errno::EPERM, Errno::ETXTBSY].contains(errno))
                .map(Verdict::Refused),
            false => None,
        });
        match verdict {
            Some(Verdict::Refused(errno)) => {
                let error = Error::new(Step::Exec, job.rule.interpreter.as_str(), errno);
                job.fail(error, report);
            }
            Some(verdict) if !verdict.ran() => job.fail(probe::failure(job.arch, &verdict), report),
            _ => {
                let emulator = emulator.filter(|_| self.is_tried());
                if let Some(Err(error)) = emulator.map(|emulator| job.see_who_may_execute(&emulator.file)) {
                    return job.fail(error, report);
                }
                let is_new = job.action.take() == Some(Action::Register);
                job.state = if is_new { State::Registered } else { State::Replaced };
            }
        }
    }

    /// Finds out which emulator the handler to replace holds open, to restore it. A hold leaves a handler that can't be restored,
    /// unless that is to be replaced in any case.
    fn keep_open_what_is_replaced(&mut self, job: &mut Job) -> Result<()> {
        let Some(Action::Replace(old)) = &job.action else { return Ok(()) };
        let is_needed = self.request.hold.is_some() && !self.request.replace && !old.goes_with_its_hold();
        let found = self.runs(old).and_then(|file| {
            if is_needed && !self.request.dry_run {
                self.rehearse_restoring(old, file.as_ref(), &job.rule)?;
            }
            Ok(file)
        });
        job.held_open = if is_needed { found? } else { found.unwrap_or_default() };
        Ok(())
    }

    /// The handlers that go once this job's is there.
    fn replaced_by(&self, job: &Job) -> Vec<Entry> {
        let old = self.entries.iter().filter(|e| e.name == job.rule.name);
        old.chain(self.left_over(job)).cloned().collect()
    }

    /// A handler that may be all that keeps binfmt_misc mounted, alone or with others that are `replaced`, gives way only to one that
    /// also keeps it.
    fn see_what_depends(&self, job: &Job, replaced: &[Entry]) -> Result<()> {
        if job.tree.is_some() || self.mount.is_held_by_host() {
            return Ok(());
        }
        let (removed, left): (Vec<_>, Vec<_>) = self.entries.iter().partition(|e| replaced.contains(e));
        let keeps = |e: &Entry| e.signature().is_some_and(|s| s.anchored);
        if !depends_on(&removed, &left) || !self.replaced_by(job).iter().any(keeps) {
            return Ok(());
        }
        let why = "its detached tree keeps binfmt_misc mounted, and its replacement would have none";
        Err(Error::new(Step::Keep, job.rule.name.as_str(), why)
            .hint(remedy(self.place, self.request.options.persistent)))
    }
}

/// Is it built for the same architecture as qus?
pub(super) fn is_as_this_program(emulator: &Emulator) -> bool {
    emulator.machine == Some(host::build_arch().machine_bytes())
}

/// Opens and checks the emulators of these jobs. Without flag F, an emulator may be missing here.
pub(super) fn check(
    jobs: &mut [&mut Job],
    dir: Option<&EmulatorDir>,
    request: &Install,
    report: &mut Report,
) {
    let options = &request.options;
    let is_here = |job: &&mut &mut Job| options.persistent || options.dir().join(&job.file).exists();
    let mut jobs: Vec<_> = jobs.iter_mut().filter(is_here).collect();
    let Some(dir) = dir.filter(|_| !jobs.is_empty()) else { return };
    let mut files: Vec<_> = jobs.iter().map(|job| (job.file.clone(), job.opened.clone())).collect();
    files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    files.dedup_by(|a, b| a.0 == b.0);
    let checked = check_all(dir, &files, options.persistent);
    for job in &mut jobs {
        let mut found = checked.iter().filter(|(at, _)| files[*at].0 == job.file);
        match found.next().map_or_else(|| Err(not_carried(job.arch, options)), |(_, r)| r.clone()) {
            Ok(emulator) => {
                if emulator.metadata.mode() & libc::S_IWOTH != 0 {
                    let path = &job.rule.interpreter;
                    report.note(format!(
                        "{path} is world-writable: anyone who can write it controls what the handler runs"
                    ));
                }
                job.is_verified = emulator.sum.is_some();
                job.emulator = Some(emulator);
            }
            Err(error) => job.fail(error, report),
        }
    }
}

/// The index of a file, and its result.
type Checked = (usize, Result<Arc<Emulator>>);

/// Checks these files: the name, and another path to open it by.
fn check_all(dir: &EmulatorDir, files: &[(String, Option<PathBuf>)], is_static: bool) -> Vec<Checked> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((file, path)) = files.get(at) else { return done };
            let checked = dir.check(file, path.as_deref(), requirements(is_static));
            done.push((at, checked.map(Arc::new)));
        }
    };
    let is_work = dir.is_verified() && files.len() > 1;
    let processors = if is_work { sys::processors() } else { 1 };
    let helpers = processors.min(files.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        // If a thread can't be created, fewer do the work.
        let start = |_| Builder::new().spawn_scoped(scope, work).ok();
        let started: Vec<_> = (0..helpers).map_while(start).collect();
        let mut all = work();
        // A thread that panicked aborts the program (panic = "abort"), so each one has a result.
        all.extend(started.into_iter().filter_map(|t| t.join().ok()).flatten());
        all
    })
}
