//! Showing what is registered, and what runs.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command as Process;

use super::platforms::platforms;
use super::{Answer, Done, Outcome, Report, Wanted, rows_of};
use crate::anchor::{Ground, Place};
use crate::arch::{ARCHES, Arch, own};
use crate::error::{Error, Result, Step};
use crate::probe::{self, By, Verdict};
use crate::rule::Entry;

/// A binfmt_misc to look at. In a user namespace none is mounted if that would take the host's handlers away.
pub(super) fn ground(place: Place, at: Option<&Path>) -> Result<Ground> {
    if place.in_user_namespace && !Ground::is_in_sight(at)? {
        let failed = |why| Error::new(Step::List, "this user namespace", why);
        let through_host = runs_through_host(ARCHES, false).map_err(|Error { why, hint, .. }| {
            let why = format!("whether looking would hide the host's handlers from it can't be tried: {why}");
            Error { hint, ..failed(why) }
        })?;
        let lost: Vec<_> = through_host.iter().map(|arch| arch.name).collect();
        if !lost.is_empty() {
            let why = format!("looking would hide the host's handlers from it for good: {}", lost.join(" "));
            return Err(
                failed(why).hint("list them on the host; nothing has been registered in this namespace yet")
            );
        }
    }
    Ground::to_look_at(place, at)
}

/// Those of these architectures whose programs run through a handler of the host's, seen from a user namespace: its
/// interpreter belongs to a user that doesn't exist in here.
///
/// # Errors
/// [`Step::Prove`], where nothing can be tried, unless that is all the same to the user.
pub(super) fn runs_through_host<'a>(
    arches: impl IntoIterator<Item = &'a Arch>,
    all_the_same: bool,
) -> Result<Vec<&'a Arch>> {
    let arches: Vec<_> = arches.into_iter().collect();
    let nobody =
        std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok().and_then(|n| n.trim().parse().ok());
    // The kernel's default, DEFAULT_OVERFLOWUID in include/linux/highuid.h.
    let nobody: u32 = nobody.unwrap_or(65534);
    let is_hosts = |file: &File| file.metadata().is_ok_and(|m| m.uid() == nobody);
    let verdicts = probe::run(arches.iter().copied());
    if let Some(at) = verdicts.iter().position(Verdict::is_unclear).filter(|_| !all_the_same) {
        return Err(probe::failure(arches[at], &verdicts[at]));
    }
    let is_unknown = |v: &Verdict| matches!(v, Verdict::Ran { by: By::Unknown, .. });
    let is_alien = probe::aliens();
    // Where not even our own program can be traced, what runs others, not of this kernel's family, is a handler all the same.
    // If we are of another family ourselves, QEMU traces nothing, and that says nothing of whose the handlers are.
    let is_own = |a: &Arch| a.name == own().name && !is_alien(a);
    let is_blind = arches.iter().zip(&verdicts).any(|(a, v)| is_own(a) && is_unknown(v));
    let is_hosts = |(arch, verdict): &(&Arch, Verdict)| match verdict {
        Verdict::Ran { by: By::Interpreter(file), .. } => is_hosts(file),
        verdict => is_blind && is_unknown(verdict) && is_alien(arch),
    };
    Ok(arches.into_iter().zip(verdicts).filter(is_hosts).map(|(arch, _)| arch).collect())
}

pub(super) fn list() -> Done {
    let ground = ground(Place::look()?, None)?;
    let (entries, enabled) = (ground.binfmt().entries()?, ground.binfmt().is_enabled()?);
    Ok(Outcome::Listing { entries, enabled })
}

pub(super) fn status(at: Option<&Path>) -> Done {
    let entries = ground(Place::look()?, at)?.binfmt().entries()?;
    let verdicts: Vec<_> = ARCHES.iter().zip(probe::run(ARCHES)).filter(|(_, v)| v.ran()).collect();
    let (mut native, emulated): (Vec<_>, Vec<_>) =
        verdicts.into_iter().partition(|(arch, verdict)| is_native(arch, verdict, &entries));
    native.sort_by_key(|(arch, _)| arch.name != probe::host().name);
    let native = native.into_iter().flat_map(|(arch, _)| platforms(arch, true));
    let emulated = emulated.into_iter().flat_map(|(arch, _)| platforms(arch, false));
    let emulators = entries.into_iter().filter(|e| e.enabled).map(|e| e.name).collect();
    Ok(Outcome::Status { supported: native.chain(emulated).collect(), emulators })
}

/// Did the kernel itself run it? Where that could not be traced, it is so if no handler takes such programs.
pub(super) fn is_native(arch: &Arch, verdict: &Verdict, entries: &[Entry]) -> bool {
    match verdict {
        Verdict::Ran { by: By::Kernel, .. } => true,
        Verdict::Ran { by: By::Unknown, .. } => {
            !entries.iter().any(|e| e.enabled && e.takes(arch.pattern.magic()))
        }
        _ => false,
    }
}

/// Runs a program of each target; mounts nothing and needs no privileges.
pub(super) fn check(wanted: &Wanted, version: bool, report: &mut Report) -> Done {
    let rows = rows_of(wanted);
    let mut answers = Vec::new();
    for (arch, verdict) in rows.iter().zip(probe::run(rows.iter().copied())) {
        match verdict {
            Verdict::Ran { by, took, .. } => {
                let version = if version { version_of(&by) } else { None };
                answers.push(Answer { name: arch.name, by, took, version });
            }
            other if other.is_unclear() => report.errors.push(probe::failure(arch, &other)),
            other => report.errors.push(
                probe::failure(arch, &other)
                    .hint(format!("`qus install {}` registers an emulator for them", arch.target)),
            ),
        }
    }
    Ok(Outcome::Checked { answers })
}

/// The first line that an interpreter prints for `--version`; that very file is executed, wherever it may be.
fn version_of(by: &By) -> Option<String> {
    let By::Interpreter(file) = by else { return None };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let output = Process::new(path).arg0("qemu").arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
