//! Telling which versions these are: our own, and that of the emulators that are here, as one of them says it.

use std::ffi::CString;
use std::path::Path;
use std::time::Instant;

use super::Done;
use super::rules::requirements;
use crate::emulators::EmulatorDir;
use crate::outcome::{Outcome, Report};
use crate::request::HandlerOptions;
use crate::sys;

/// Where no emulators are, there is nothing to say of them; but one that is not what it should be is an error.
pub(super) fn version(options: &HandlerOptions, report: &mut Report) -> Done {
    let version = |emulator| Ok(Outcome::Version { emulator });
    let dir = options.dir();
    if !dir.is_dir() {
        return version(None);
    }
    let checked = EmulatorDir::open(dir).and_then(|store| {
        let Some(name) = store.emulators(&options.prefix, &options.suffix).next() else { return Ok(None) };
        store.check(&name, None, requirements(false))?;
        Ok(Some(store.path_of(&name)))
    });
    match checked {
        Ok(Some(path)) => {
            // By its path, not by a descriptor: where it is emulated itself, that would be closed before its own emulator opens it.
            let said = said_by(Path::new(&path), &path, Instant::now() + sys::CHILD_LIMIT);
            if said.is_none() {
                report.note(format!("{path} does not tell its version"));
            }
            version(said.map(|said| (path, said)))
        }
        Ok(None) => version(None),
        Err(error) => {
            report.errors.push(error);
            version(None)
        }
    }
}

/// The first line that a program, called so, prints for `--version`; `None` where it fails, takes longer, or prints without end.
pub(super) fn said_by(program: &Path, called: &str, until: Instant) -> Option<String> {
    let output = sys::output_of(program, &[&CString::new(called).ok()?, c"--version"], until).ok()?;
    String::from_utf8_lossy(&output).lines().next().map(str::to_owned)
}
