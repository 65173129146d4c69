//! Telling whether programs of these targets run here.

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command as Process;

use super::Done;
use crate::outcome::{CheckResult, Outcome, Report};
use crate::probe::{self, RanBy, Verdict};
use crate::request::Targets;

/// Runs a program of each target; mounts nothing and needs no privileges.
pub(super) fn check(targets: &Targets, version: bool, report: &mut Report) -> Done {
    let rows = targets.rows().collect::<Vec<_>>();
    let mut results = Vec::new();
    for (arch, verdict) in rows.iter().zip(probe::run(rows.iter().copied())) {
        match verdict {
            Verdict::Ran { by, took, .. } => {
                let version = if version { version_of(&by) } else { None };
                results.push(CheckResult { name: arch.name, by, took, version });
            }
            other if other.is_unclear() => report.errors.push(probe::failure(arch, &other)),
            other => report.errors.push(
                probe::failure(arch, &other)
                    .hint(format!("`qus install {}` registers an emulator for them", arch.target)),
            ),
        }
    }
    Ok(Outcome::Checked { results })
}

/// The first line that an interpreter prints for `--version`; that very file is executed, wherever it may be.
fn version_of(by: &RanBy) -> Option<String> {
    let RanBy::Interpreter(file) = by else { return None };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let output = Process::new(path).arg0("qemu").arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
