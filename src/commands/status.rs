//! Shows which platforms run here.

use std::path::Path;

use super::Done;
use super::platforms::platforms;
use crate::host;
use crate::outcome::{Outcome, Report};
use crate::probe::{self, RanBy, Verdict};
use crate::userns::Namespaces;

/// Lists what really runs; what the kernel can run natively comes first.
pub(super) fn status(at: Option<&Path>, report: &mut Report) -> Done {
    let binfmt = Namespaces::look()?.binfmt_for_reading(at)?;
    let entries = binfmt.entries()?;
    if !binfmt.is_enabled()? {
        report.note("binfmt_misc is disabled: the kernel uses no handler");
    }
    let rows = probe::survey();
    let untried = probe::untried(&rows);
    report.errors.extend(untried.map(|(arch, verdict, _)| probe::failure(arch, verdict).about("programs")));
    let is_known = untried.is_none();
    let rows = rows.into_iter().filter(|(_, verdict, _)| verdict.ran());
    let (mut native, emulated): (Vec<_>, Vec<_>) = rows.partition(|(.., native)| native.is_yes());
    native.sort_by_key(|(arch, ..)| arch.name != host::arch().name);
    let mut supported = Vec::new();
    for (arch, verdict, native) in [native, emulated].iter().flatten() {
        // If a handler takes native programs, they have the instructions of its interpreter.
        let is_direct = !matches!(verdict, Verdict::Ran { by: RanBy::Interpreter(_), .. });
        supported.extend(platforms(arch, native.is_yes() && is_direct));
    }
    let mut emulators: Vec<_> = entries.into_iter().filter(|e| e.enabled).map(|e| e.name).collect();
    // Bytes that aren't UTF-8 all look alike.
    emulators.dedup();
    Ok(Outcome::Status { supported, emulators, is_known })
}
