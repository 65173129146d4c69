//! Staying, so that this process' mount keeps the handlers alive for as long as it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::anchor::{BinfmtMount, Watch};
use crate::arch::Arch;
use crate::binfmt::Binfmt;
use crate::emulators::Emulator;
use crate::error::{Error, Result, Step};
use crate::outcome::Report;
use crate::probe;
use crate::request::Hold;
use crate::rule::{Entry, Rule};
use crate::sys;

/// How often the handlers are looked at, whatever happens.
const PERIOD: Duration = Duration::from_secs(10);

/// How often a removal is noticed, where the kernel tells of it.
const TICK: Duration = Duration::from_millis(200);

/// What is listened to.
const SIGNALS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// To be called before anything is registered: a signal that comes too early waits until [`Holder::wait`] can answer it, with
/// the handlers removed if that was asked for.
pub(super) fn block_signals() -> Result<()> {
    sys::block(&SIGNALS).map_err(|errno| Error::new(Step::Block, "signals", errno))
}

/// What is held: nothing, where there was nothing to register.
#[derive(Debug, Default)]
pub struct Holder {
    pub(super) hold: Hold,
    pub(super) mount: Option<BinfmtMount>,
    pub(super) held: Vec<Held>,
}

/// A handler that must stay.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) arch: &'static Arch,
    /// What is registered where it is missing.
    pub(super) rule: Rule,
    /// How it was when it was seen to work.
    pub(super) expected: Option<Entry>,
    /// Has this run registered it?
    pub(super) is_own: bool,
    /// Open, so that the rule's path leads to it.
    #[allow(dead_code)] // it is held
    pub(super) emulator: Option<Arc<Emulator>>,
}

impl Holder {
    /// Waits for SIGTERM or SIGINT, and looks after the handlers meanwhile: what is missing is registered again, or, with
    /// `strict`, ends it. SIGHUP asks to execute a program of each as well.
    pub fn wait(mut self) -> Report {
        let mut report = Report::default();
        let removals = self.mount.as_ref().and_then(|mount| mount.watch_removals().ok());
        let mut looked = Instant::now();
        loop {
            let is_told = || removals.as_ref().is_some_and(Watch::is_told);
            match sys::wait_for(&SIGNALS, TICK) {
                Ok(Some(Signal::SIGINT | Signal::SIGTERM)) => break,
                Ok(None) if !is_told() && looked.elapsed() < PERIOD => continue,
                Ok(signal) => self.look(signal.is_some(), &mut report),
                Err(errno) => report.errors.push(Error::new(Step::Wait, "signals", errno)),
            }
            looked = Instant::now();
            if self.hold.strict && !report.errors.is_empty() {
                break;
            }
            // What could be mended is no failure, and what could not is tried again.
            for error in std::mem::take(&mut report.errors) {
                report.note(error.to_string());
            }
        }
        self.finish(&mut report);
        report
    }

    fn look(&mut self, thoroughly: bool, report: &mut Report) {
        let Some(mount) = &self.mount else { return };
        match mount.binfmt().is_enabled() {
            Ok(true) => {}
            Ok(false) => report.errors.push(Error::new(
                Step::Keep,
                "the handlers",
                "binfmt_misc was switched off (its status is disabled)",
            )),
            Err(error) => report.errors.push(error),
        }
        for held in &mut self.held {
            match held.look(mount.binfmt(), self.hold.strict) {
                Ok(None) => {}
                Ok(Some(note)) => report.note(note),
                Err(error) => report.errors.push(error),
            }
        }
        if thoroughly {
            let arches: Vec<_> = self.held.iter().map(|held| held.arch).collect();
            let verdicts = self.held.iter().zip(probe::run(&arches));
            let failures = verdicts.filter(|(_, v)| !v.ran()).map(|(h, v)| probe::failure(h.arch, &v));
            report.errors.extend(failures);
        }
    }

    /// Doesn't stay at all.
    pub fn release(self) -> Report {
        let mut report = Report::default();
        self.finish(&mut report);
        report
    }

    /// Removes what this run has registered, if that was asked for: not what was there, nor what has come since.
    fn finish(&self, report: &mut Report) {
        let own: Vec<_> = self.held.iter().filter(|held| held.is_own && self.hold.clean).collect();
        let Some(mount) = &self.mount else { return };
        let removed = own.iter().map(|held| {
            let signature = held.rule.signature();
            let is_ours = |e: &Entry| signature.is_some() && e.signature() == signature;
            mount.binfmt().remove(&held.rule.name, is_ours)
        });
        report.errors.extend(removed.filter_map(Result::err));
    }
}

impl Held {
    /// Is it there as it was? If not, it is registered again, which a note tells.
    fn look(&mut self, binfmt: &Binfmt, strict: bool) -> Result<Option<String>> {
        let name = self.rule.name.as_str();
        let there = binfmt.entry(name)?;
        if there.is_some() && there == self.expected {
            return Ok(None);
        }
        let lost = |why: &str| Err(Error::new(Step::Keep, name, why));
        match there {
            _ if strict => lost("another process removed it, replaced it or switched it off"),
            // Whose it is now, looks after it.
            Some(entry) if entry.enabled => {
                if !probe::run_one(self.arch).ran() {
                    return lost("another process replaced it, and its programs don't run");
                }
                (self.expected, self.is_own) = (Some(entry), false);
                Ok(None)
            }
            Some(_) => lost("another process switched it off"),
            None => {
                let registrar = binfmt.lock()?;
                if binfmt.entry(name)?.is_none() {
                    registrar.register(&self.rule)?;
                    (self.expected, self.is_own) = (binfmt.entry(name)?, true);
                }
                Ok(Some(format!("{name} was removed by another process, and is registered again")))
            }
        }
    }
}
