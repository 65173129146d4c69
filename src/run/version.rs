//! Telling which versions these are: our own, and that of the emulators that are here, as one of them says it.

use std::path::Path;
use std::process::Command as Process;

use super::{Done, Outcome, Report, Style};
use crate::arch::ARCHES;
use crate::emulators::{Demands, STATIC, Store};
use crate::probe;

/// Our own.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this was built from, if scripts/entrypoint built it in a git checkout; what follows it says that
/// there were changes.
pub const REVISION: Option<&str> = option_env!("QUS_REVISION");

/// Where no emulators are, there is nothing to say of them; but one that is not what it should be is an error.
pub(super) fn version(style: &Style, report: &mut Report) -> Done {
    let version = |emulator| Ok(Outcome::Version { emulator });
    let dir = style.dir();
    if !dir.is_dir() {
        return version(None);
    }
    let checked = Store::open(dir, dir).and_then(|store| {
        let find = |suffix| ARCHES.iter().find_map(|a| store.find(a.emulator, &style.prefix, suffix));
        let Some(name) = find(STATIC).or_else(|| find("")) else { return Ok(None) };
        store.check(&name, Demands { runs: &probe::runs_natively, host: probe::host, is_static: false })?;
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

/// What a program prints first for `--version`. By its path, not by a descriptor: where it is emulated itself, that would
/// be closed before its own emulator opens it.
fn first_line(path: &Path) -> Option<String> {
    let output = Process::new(path).arg("--version").output().ok().filter(|o| o.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
