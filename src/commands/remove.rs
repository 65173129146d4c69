//! Removes handlers named `qemu-*`: only requested ones, and none that others depend on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Done;
use nix::errno::Errno;

use super::rules::tried_by;
use crate::anchor;
use crate::arch::{ARCHES, Arch, PREFIX};
use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::error::{Cause, Error, Result, Step};
use crate::outcome::{Outcome, Report, State, TargetResult};
use crate::plan::depends_on;
use crate::probe;
use crate::request::{Remove, matches};
use crate::rule::Entry;
use crate::userns::{Namespaces, STILL_HIDDEN};

pub(super) fn remove(request: &Remove, report: &mut Report) -> Done {
    let place = Namespaces::look()?;
    let at = request.mount.as_deref();
    let mut binfmt = place.binfmt_for_reading(at)?;
    let is_read_only = |e: &Error| e.why == Cause::Errno(Errno::EROFS);
    // In a dry run, too: it ends as the run.
    let _locked = match binfmt.lock() {
        // /proc/sys may be read-only; a private mount isn't.
        Err(e) if is_read_only(&e) => {
            binfmt = place.private_binfmt(at)?;
            binfmt.lock()?
        }
        locked => locked?,
    };
    let names = names(request, &binfmt)?;
    if !request.force {
        see_what_depends(&names, &binfmt, place)?;
    }
    let (mut results, mut held) = (Vec::new(), Vec::new());
    for name in names {
        let done = if request.dry_run { binfmt.entry(&name) } else { binfmt.remove(&name, &|_| true) };
        let state = match done {
            Ok(Some(entry)) => {
                if entry.signature().is_some_and(|s| s.held) {
                    held.push(entry.name);
                }
                State::Removed
            }
            Ok(None) => State::Absent,
            Err(error) => {
                report.errors.push(error);
                State::Failed
            }
        };
        let name = name.to_string_lossy();
        let short = name.strip_prefix(PREFIX).filter(|n| !n.is_empty());
        results.push(TargetResult::new(short.unwrap_or(&name), state));
    }
    if !held.is_empty() {
        held.sort_unstable();
        let held = held.join(" ");
        report.note(format!(
            "a `qus hold` registered these, and registers them again if it still runs: {held}"
        ));
    }
    results.sort_by(|a, b| a.name.cmp(&b.name));
    note_who_takes_them_still(request, &results, &binfmt, report);
    let in_user_namespace = place.in_user_namespace;
    if in_user_namespace && !request.dry_run && results.iter().any(|result| result.state == State::Removed) {
        report.note(STILL_HIDDEN);
    }
    Ok(Outcome::Targets { results, dry_run: request.dry_run, in_user_namespace })
}

/// The handlers to remove: all named `qemu-*`, or those of the targets and names, and what an interrupted run left beside them.
fn names(request: &Remove, binfmt: &Binfmt) -> Result<Vec<OsString>> {
    // Any bytes may follow the prefix.
    let is_ours = |n: &OsString| n.as_bytes().starts_with(PREFIX.as_bytes());
    let is_spared = |n: &OsString| request.spared.iter().any(|spared| n == spared.as_str());
    let there: Vec<_> = binfmt.names()?.into_iter().filter(|n| is_ours(n) && !is_spared(n)).collect();
    let is_beside = |name: &OsString, names: &[OsString]| {
        let handler = name.to_str().and_then(tried_by);
        let is_signed = || matches!(binfmt.entry(name), Ok(Some(e)) if e.signature().is_some());
        handler.is_some_and(|handler| names.iter().any(|n| n == handler)) && is_signed()
    };
    if !request.targets.are_named() {
        let is_requested = |a: &Arch| request.targets.rows().any(|row| row.name == a.name);
        let kept = ARCHES.iter().filter(|a| !is_requested(a));
        let kept: Vec<_> = kept.map(|a| OsString::from(a.handler_name())).collect();
        return Ok(there.into_iter().filter(|n| !kept.contains(n) && !is_beside(n, &kept)).collect());
    }
    let spared: Vec<_> = request.spared.iter().map(OsString::from).collect();
    let mut names: Vec<_> = request.targets.rows().map(|a| OsString::from(a.handler_name())).collect();
    for (word, target) in &request.handlers {
        let is_meant = |name: &&OsString| {
            let short = &name.as_bytes()[PREFIX.len()..];
            let is_named = |name: &[u8]| matches(word.as_bytes(), name);
            (is_named(name.as_bytes()) || is_named(short)) && !is_beside(name, &spared)
        };
        match target {
            _ if there.iter().any(|name| name == word.as_str()) => names.push(word.into()),
            Some(target) => {
                let rows = ARCHES.iter().filter(|arch| arch.target == *target);
                names.extend(rows.map(|arch| OsString::from(arch.handler_name())));
            }
            None if word.contains(['*', '?']) => names.extend(there.iter().filter(is_meant).cloned()),
            None => names.push(word.into()),
        }
    }
    let beside = |n: &OsString| !names.contains(n) && is_beside(n, &names);
    let beside: Vec<_> = there.into_iter().filter(beside).collect();
    names.extend(beside);
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Refuses if the detached trees of the removed handlers may be all that keeps binfmt_misc mounted: other handlers would vanish
/// with it.
pub(super) fn see_what_depends(names: &[OsString], binfmt: &Binfmt, place: Namespaces) -> Result<()> {
    let dir = Path::new(USUAL_DIR);
    let is_on_host = || place.on_host && place.is_own_mounted(dir).unwrap_or(false);
    if is_on_host() || place.host_in_sight && anchor::is_mounted_on_host() {
        return Ok(());
    }
    let entries = binfmt.entries()?;
    // Names of entries are shown: bytes that aren't UTF-8 are replaced.
    let goes = |e: &&Entry| names.iter().any(|name| name.to_string_lossy() == e.name);
    let (removed, left): (Vec<_>, Vec<_>) = entries.iter().partition(goes);
    if left.is_empty() || !depends_on(&removed, &left) {
        return Ok(());
    }
    let left: Vec<_> = left.iter().map(|e| e.name.as_str()).collect();
    let why = format!(
        "they may be all that keeps binfmt_misc mounted, and other handlers would vanish with it: {}",
        left.join(" ")
    );
    Err(Error::new(Step::Remove, "the handlers", why).hint(
        "with --force, `qus remove` removes them anyway; with --privileged --pid=host, qus sees whether the host has binfmt_misc mounted",
    ))
}

/// Notes handlers of other names that take the same programs.
fn note_who_takes_them_still(
    request: &Remove,
    results: &[TargetResult],
    binfmt: &Binfmt,
    report: &mut Report,
) {
    let Ok(entries) = binfmt.entries() else { return };
    if !request.targets.are_named() || request.dry_run {
        return;
    }
    for arch in ARCHES.iter().filter(|arch| results.iter().any(|result| result.name == arch.name)) {
        for other in entries.iter().filter(|e| probe::takes(e, arch)) {
            report.note(format!("{} still takes {} programs", other.name, arch.name));
        }
    }
}
