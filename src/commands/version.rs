//! Telling which versions these are: our own, and that of the emulators that are here, as one of them says it.

use std::path::Path;
use std::process::Command as Process;

use super::Done;
use crate::arch::ARCHES;
use crate::emulators::{EmulatorDir, Requirements, STATIC};
use crate::outcome::{Outcome, Report};
use crate::probe;
use crate::request::HandlerOptions;

/// Where no emulators are, there is nothing to say of them; but one that is not what it should be is an error.
pub(super) fn version(options: &HandlerOptions, report: &mut Report) -> Done {
    let version = |emulator| Ok(Outcome::Version { emulator });
    let dir = options.dir();
    if !dir.is_dir() {
        return version(None);
    }
    let checked = EmulatorDir::open(dir, dir).and_then(|store| {
        let find = |suffix| ARCHES.iter().find_map(|a| store.find(a.emulator, &options.prefix, suffix));
        let Some(name) = find(STATIC).or_else(|| find("")) else { return Ok(None) };
        store.check(
            &name,
            Requirements { runs: &probe::runs_natively, host: probe::host, is_static: false },
        )?;
        Ok(Some(store.path_of(&name)))
    });
    match checked {
        Ok(Some(path)) => {
            let said = first_line(Path::new(&path));
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

/// What a program prints first for `--version`. RanBy its path, not by a descriptor: where it is emulated itself, that would
/// be closed before its own emulator opens it.
fn first_line(path: &Path) -> Option<String> {
    let output = Process::new(path).arg("--version").output().ok().filter(|o| o.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
