//! Telling which platforms run here.

use std::path::Path;

use super::Done;
use super::list::ground;
use super::platforms::platforms;
use crate::anchor::Namespaces;
use crate::arch::{ARCHES, Arch};
use crate::outcome::Outcome;
use crate::probe::{self, RanBy, Verdict};
use crate::rule::Entry;

pub(super) fn status(at: Option<&Path>) -> Done {
    let entries = ground(Namespaces::look()?, at)?.binfmt().entries()?;
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
        Verdict::Ran { by: RanBy::Kernel, .. } => true,
        Verdict::Ran { by: RanBy::Unknown, .. } => {
            !entries.iter().any(|e| e.enabled && e.takes(arch.pattern.magic()))
        }
        _ => false,
    }
}
