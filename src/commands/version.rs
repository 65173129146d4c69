//! Shows the version of qus, and that of one of the emulators here.

use std::ffi::CString;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use super::Done;
use super::rules::requirements;
use crate::outcome::{Outcome, Report};
use crate::request::HandlerOptions;
use crate::sys;

/// Having no emulators is fine, but a bad one is an error.
pub(super) fn version(options: &HandlerOptions, report: &mut Report) -> Done {
    let version = |emulator| Ok(Outcome::Version { emulator });
    if options.dir().metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return version(None);
    }
    let checked = options.open_dir().and_then(|dir| {
        let Some(name) = dir.emulators().into_iter().next() else { return Ok(None) };
        dir.check(&name, None, requirements(false))?;
        Ok(Some(dir.path_of(&name)))
    });
    match checked {
        Ok(Some(path)) => {
            // By its path: under emulation, a descriptor would be closed before the outer emulator opens it.
            let said = said_by(Path::new(&path), &path, Instant::now() + sys::CHILD_LIMIT);
            if said.is_none() {
                report.note(format!("the version of {path} is unknown"));
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

/// The first line that a program prints for `--version`, with that `argv[0]`; `None` if it fails, takes longer or never ends.
pub(super) fn said_by(program: &Path, argv0: &str, until: Instant) -> Option<String> {
    let output = sys::output_of(program, &[&CString::new(argv0).ok()?, c"--version"], until).ok()?;
    String::from_utf8_lossy(&output).lines().next().map(str::to_owned)
}
