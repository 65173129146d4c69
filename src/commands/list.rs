//! Showing what is registered.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Done;
use crate::anchor::{BinfmtMount, Namespaces};
use crate::arch::{ARCHES, Arch, own};
use crate::error::{Error, Result, Step};
use crate::outcome::Outcome;
use crate::probe::{self, RanBy, Verdict};

pub(super) fn list() -> Done {
    let ground = ground(Namespaces::look()?, None)?;
    let (entries, enabled) = (ground.binfmt().entries()?, ground.binfmt().is_enabled()?);
    Ok(Outcome::Listing { entries, enabled })
}

/// A binfmt_misc to look at. In a user namespace none is mounted if that would take the host's handlers away.
pub(super) fn ground(place: Namespaces, at: Option<&Path>) -> Result<BinfmtMount> {
    if place.in_user_namespace && !BinfmtMount::is_in_sight(at)? {
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
    BinfmtMount::to_look_at(place, at)
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
    let is_unknown = |v: &Verdict| matches!(v, Verdict::Ran { by: RanBy::Unknown, .. });
    let is_alien = probe::aliens();
    // Where not even our own program can be traced, what runs others, not of this kernel's family, is a handler all the same.
    // If we are of another family ourselves, QEMU traces nothing, and that says nothing of whose the handlers are.
    let is_own = |a: &Arch| a.name == own().name && !is_alien(a);
    let is_blind = arches.iter().zip(&verdicts).any(|(a, v)| is_own(a) && is_unknown(v));
    let is_hosts = |(arch, verdict): &(&Arch, Verdict)| match verdict {
        Verdict::Ran { by: RanBy::Interpreter(file), .. } => is_hosts(file),
        verdict => is_blind && is_unknown(verdict) && is_alien(arch),
    };
    Ok(arches.into_iter().zip(verdicts).filter(is_hosts).map(|(arch, _)| arch).collect())
}
