//! Telling which platforms run here.

use std::path::Path;

use super::Done;
use super::platforms::platforms;
use crate::host;
use crate::outcome::Outcome;
use crate::probe::{self, RanBy, Verdict};
use crate::userns::Namespaces;

/// What really runs is supported, whatever runs it; what the kernel could run itself comes first.
pub(super) fn status(at: Option<&Path>) -> Done {
    let entries = Namespaces::look()?.binfmt_for_reading(at)?.entries()?;
    let rows = probe::survey().into_iter().filter(|(_, verdict, _)| verdict.ran());
    let (mut native, emulated): (Vec<_>, Vec<_>) = rows.partition(|(.., native)| native.is_yes());
    native.sort_by_key(|(arch, ..)| arch.name != host::arch().name);
    let supported = native.into_iter().chain(emulated).flat_map(|(arch, verdict, native)| {
        // A handler may take what the kernel could run; then it has that interpreter's instructions.
        let is_direct = !matches!(verdict, Verdict::Ran { by: RanBy::Interpreter(_), .. });
        platforms(arch, native.is_yes() && is_direct)
    });
    let emulators = entries.into_iter().filter(|e| e.enabled).map(|e| e.name).collect();
    Ok(Outcome::Status { supported: supported.collect(), emulators })
}
