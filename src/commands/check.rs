//! Checks whether programs of the targets run here.

use std::time::Instant;

use nix::errno::Errno;

use super::Done;
use super::version::said_by;
use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::outcome::{CheckResult, Outcome, Report};
use crate::probe::{self, RanBy, Verdict};
use crate::request::Targets;
use crate::{host, sys};

/// Runs a program of each target. Mounts nothing, needs no privileges.
pub(super) fn check(targets: &Targets, version: bool, report: &mut Report) -> Done {
    host::check_proc()?;
    let rows = targets.rows().collect::<Vec<_>>();
    let verdicts = probe::run(&rows);
    // For all versions together: each takes a few milliseconds.
    let until = Instant::now() + sys::CHILD_LIMIT;
    let mut results = Vec::new();
    for (arch, verdict) in rows.iter().zip(verdicts) {
        match verdict {
            Verdict::Ran { by, took, .. } => {
                let version = if version { version_of(&by, until) } else { None };
                results.push(CheckResult { name: arch.name, by, took, version });
            }
            other if other.is_unclear() => report.errors.push(probe::failure(arch, &other)),
            other => {
                let hint = if probe::is_native(arch) {
                    "this kernel runs them natively: remove the handler that takes them (`qus list` shows it)"
                        .to_owned()
                } else if is_taken_by_none(&other) {
                    format!("`qus install {}` registers an emulator for them", arch.target)
                } else if let Some(limit) = probe::limit_on(&other) {
                    limit
                } else {
                    "`qus doctor` shows why, and what fixes it".to_owned()
                };
                report.errors.push(probe::failure(arch, &other).hint(hint));
            }
        }
    }
    Ok(Outcome::Checked { results })
}

/// Does no handler take such programs, so that `install` helps? Not where all handlers are disabled.
fn is_taken_by_none(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(Errno::ENOEXEC)) && Binfmt::at(USUAL_DIR).is_enabled().unwrap_or(true)
}

/// The first line that an interpreter prints for `--version`. The open file is executed, wherever its path is.
fn version_of(by: &RanBy, until: Instant) -> Option<String> {
    let RanBy::Interpreter(file) = by else { return None };
    said_by(&sys::own_path(file), "qemu", until)
}
