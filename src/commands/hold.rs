//! Staying, so that our mount keeps the handlers alive for as long as we run.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::anchor::BinfmtMount;
use crate::arch::Arch;
use crate::error::{Error, Result, Step};
use crate::outcome::Report;
use crate::probe;
use crate::sys;

/// How often we look whether the handlers are still there.
const PERIOD: Duration = Duration::from_secs(10);

/// What is listened to.
const SIGNALS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// To be called before anything is registered: a signal that comes too early waits until [`Holder::wait`] can answer it, with
/// the handlers removed if that was asked for.
///
/// # Errors
/// [`Step::Inspect`].
pub(super) fn begin() -> Result<()> {
    sys::block(&SIGNALS).map_err(|errno| Error::new(Step::Inspect, "signals", errno))
}

/// What is held.
#[derive(Debug)]
pub struct Holder {
    /// The mount.
    pub(super) ground: BinfmtMount,
    /// The handlers that must stay.
    pub(super) names: Vec<String>,
    /// Whose programs they run.
    pub(super) arches: Vec<&'static Arch>,
    /// Remove them at the end.
    pub(super) clean: bool,
}

impl Holder {
    /// Waits for SIGTERM or SIGINT. Ends earlier where a handler is gone; SIGHUP asks to execute a program of each as well.
    pub fn wait(&self) -> Report {
        let mut report = Report::default();
        loop {
            match sys::wait_for(&SIGNALS, PERIOD) {
                Ok(Some(Signal::SIGINT | Signal::SIGTERM)) => {
                    self.finish(&mut report);
                    return report;
                }
                Ok(signal) => self.look(signal.is_some(), &mut report),
                Err(errno) => report.errors.push(Error::new(Step::Inspect, "signals", errno)),
            }
            if !report.errors.is_empty() {
                self.finish(&mut report);
                return report;
            }
        }
    }

    fn look(&self, thoroughly: bool, report: &mut Report) {
        match self.ground.binfmt().is_enabled() {
            Ok(true) => {}
            Ok(false) => report.errors.push(Error::new(
                Step::Keep,
                "the handlers",
                "somebody has switched binfmt_misc off (its status is disabled)",
            )),
            Err(error) => report.errors.push(error),
        }
        for name in &self.names {
            match self.ground.binfmt().entry(name) {
                Ok(Some(entry)) if entry.enabled => {}
                Ok(_) => report.errors.push(Error::new(
                    Step::Keep,
                    name,
                    "somebody has removed it, or switched it off",
                )),
                Err(error) => report.errors.push(error),
            }
        }
        if thoroughly {
            let verdicts = self.arches.iter().zip(probe::run(self.arches.iter().copied()));
            report
                .errors
                .extend(verdicts.filter(|(_, v)| !v.ran()).map(|(arch, v)| probe::failure(arch, &v)));
        }
    }

    /// Doesn't stay at all.
    pub fn release(&self) -> Report {
        let mut report = Report::default();
        self.finish(&mut report);
        report
    }

    /// Stays no longer: removes the handlers, if that was asked for.
    fn finish(&self, report: &mut Report) {
        for name in self.names.iter().filter(|_| self.clean) {
            if let Err(error) = self.ground.binfmt().remove(name) {
                report.errors.push(error);
            }
        }
    }
}
