//! `--reset`: registers the requested handlers, then removes all others named `qemu-*`. A handler whose replacement doesn't work
//! stays, and so does a third-party one that a target was left to. If no emulator works, all stay.

use super::Done;
use super::install::install;
use super::remove::remove;
use crate::arch::ARCHES;
use crate::outcome::{Outcome, Report, State};
use crate::request::{Install, Remove, Targets};

pub(super) fn reset(request: &Install, report: &mut Report) -> Done {
    let request = Install { replace: true, ..request.clone() };
    let installed = install(&request, report, &mut None)?;
    let Outcome::Targets { results, .. } = &installed else { return Ok(installed) };
    let is_gone = |state| matches!(state, State::NotCarried | State::Native);
    let is_useless = |state| is_gone(state) || state == State::Failed;
    // Nothing would take the place of what is there.
    if !report.errors.is_empty() && results.iter().all(|result| is_useless(result.state)) {
        return Ok(installed);
    }
    let is_kept = |name: &str| results.iter().any(|result| result.name == name && !is_gone(result.state));
    let kept = ARCHES.iter().filter(|arch| is_kept(arch.name)).map(|arch| arch.target).collect();
    let spared = results.iter().filter_map(|result| result.left_to.clone()).collect();
    let removed = match remove(&Remove { spared, ..Remove::of(Targets::AllBut(kept)) }, report) {
        Ok(Outcome::Targets { results, .. }) if results.is_empty() => return Ok(installed),
        removed => removed,
    };
    report.outcomes.push(installed);
    removed
}
