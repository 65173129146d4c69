//! Removing handlers: only those called `qemu-*`, only those asked for.

use nix::errno::Errno;

use super::{Done, Line, Outcome, Remove, Report, State, Wanted};
use crate::anchor::{Ground, Place};
use crate::arch::PREFIX;
use crate::binfmt::Binfmt;
use crate::error::{Error, Result, Why};

pub(super) fn remove(request: &Remove, report: &mut Report) -> Done {
    let place = Place::look()?;
    let mut ground = super::look::ground(place, request.mount.as_deref())?;
    // Where /proc/sys is read-only, a mount of our own is not.
    let is_read_only = |e: Error| e.why == Why::Errno(Errno::EROFS);
    if !request.dry_run && ground.binfmt().check_writable().is_err_and(is_read_only) {
        ground = Ground::to_register_in(place, None, request.mount.as_deref())?;
    }
    let binfmt = ground.binfmt();
    let _lock = binfmt.lock()?;
    let mut lines = Vec::new();
    for name in names(&request.wanted, binfmt)? {
        let state = match if request.dry_run {
            binfmt.entry(&name).map(|e| e.is_some())
        } else {
            binfmt.remove(&name)
        } {
            Ok(true) => State::Removed,
            Ok(false) => State::Absent,
            Err(error) => {
                report.errors.push(error);
                State::Failed
            }
        };
        lines.push(Line::new(name.strip_prefix(PREFIX).unwrap_or(&name), state));
    }
    Ok(Outcome::Targets { lines, keeper: None, dry_run: request.dry_run })
}

/// The handlers that are meant: all that are called `qemu-*`, or those of the targets, with what an interrupted run of ours
/// may have left beside them.
fn names(wanted: &Wanted, binfmt: &Binfmt) -> Result<Vec<String>> {
    let there = binfmt.entries()?.into_iter().map(|e| e.name).filter(|n| n.starts_with(PREFIX));
    if *wanted == Wanted::All {
        return Ok(there.collect());
    }
    let mut names: Vec<_> = wanted.rows().map(|a| a.entry()).collect();
    let leftovers: Vec<_> =
        there.filter(|n| names.iter().any(|m| *n == super::style::trial_name(m))).collect();
    names.extend(leftovers);
    Ok(names)
}
