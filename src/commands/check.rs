//! Checks whether programs of the targets run here.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use super::Done;
use super::version::said_by;
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
                } else {
                    format!("`qus install {}` registers an emulator for them", arch.target)
                };
                report.errors.push(probe::failure(arch, &other).hint(hint));
            }
        }
    }
    Ok(Outcome::Checked { results })
}

/// The first line that an interpreter prints for `--version`. The open file is executed, wherever its path is.
fn version_of(by: &RanBy, until: Instant) -> Option<String> {
    let RanBy::Interpreter(file) = by else { return None };
    said_by(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), "qemu", until)
}
