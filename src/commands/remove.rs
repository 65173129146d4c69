//! Removing handlers: only those called `qemu-*`, only those asked for.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::Done;
use crate::anchor::{BinfmtMount, Namespaces};
use crate::arch::{ARCHES, PREFIX};
use crate::binfmt::Binfmt;
use crate::error::{Cause, Error, Result};
use crate::outcome::{Outcome, Report, State, TargetResult};
use crate::request::{Remove, Targets};

pub(super) fn remove(request: &Remove, report: &mut Report) -> Done {
    let place = Namespaces::look()?;
    let mut ground = super::list::ground(place, request.mount.as_deref())?;
    // Where /proc/sys is read-only, a mount of our own is not.
    let is_read_only = |e: Error| e.why == Cause::Errno(Errno::EROFS);
    if !request.dry_run && ground.binfmt().check_writable().is_err_and(is_read_only) {
        ground = BinfmtMount::to_register_in(place, None, request.mount.as_deref())?;
    }
    let binfmt = ground.binfmt();
    let _lock = binfmt.lock()?;
    let mut lines = Vec::new();
    for name in names(request, binfmt)? {
        let done =
            if request.dry_run { binfmt.entry(&name).map(|e| e.is_some()) } else { binfmt.remove(&name) };
        let state = match done {
            Ok(true) => State::Removed,
            Ok(false) => State::Absent,
            Err(error) => {
                report.errors.push(error);
                State::Failed
            }
        };
        let name = name.to_string_lossy();
        let short = name.strip_prefix(PREFIX).filter(|n| !n.is_empty());
        lines.push(TargetResult::new(short.unwrap_or(&name), state));
    }
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Outcome::Targets { results: lines, dry_run: request.dry_run })
}

/// The handlers that are meant: all that are called `qemu-*`, or those of the targets, with what an interrupted run of ours
/// may have left beside them.
fn names(request: &Remove, binfmt: &Binfmt) -> Result<Vec<OsString>> {
    // Whatever bytes may follow the prefix.
    let there = binfmt.names()?.into_iter().filter(|n| n.as_bytes().starts_with(PREFIX.as_bytes()));
    let trials_of = |names: &[OsString]| -> Vec<_> {
        names.iter().map(|n| OsString::from(super::rules::trial_name(&n.to_string_lossy()))).collect()
    };
    if request.targets == Targets::All {
        let kept = ARCHES.iter().filter(|a| request.except.contains(&a.target));
        let kept: Vec<_> = kept.map(|a| OsString::from(a.entry())).collect();
        let trials = trials_of(&kept);
        return Ok(there.filter(|n| !kept.contains(n) && !trials.contains(n)).collect());
    }
    let mut names: Vec<_> = request.targets.rows().map(|a| OsString::from(a.entry())).collect();
    let trials = trials_of(&names);
    names.extend(there.filter(|n| trials.contains(n)));
    Ok(names)
}
