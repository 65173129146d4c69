//! Checking all binaries of a directory, with nothing registered.

use std::time::Instant;

use super::{Done, Outcome, Report, Style};
use crate::emulators::{Demands, Store};
use crate::probe;

pub(super) fn verify(style: &Style, report: &mut Report) -> Done {
    let store = Store::open(style.dir(), style.dir())?;
    let demands = Demands { runs: &probe::runs_natively, host: probe::host, is_static: style.persistent };
    let started = Instant::now();
    let (mut files, mut bytes) = (0, 0);
    for name in store.names() {
        match store.check(name, demands) {
            Ok(emulator) => {
                files += 1;
                bytes += emulator.metadata.len();
            }
            Err(error) => report.errors.push(error),
        }
    }
    for missing in store.missing() {
        report.errors.push(missing);
    }
    if !store.is_verified() {
        report.note(format!("{} lists no digests: only the ELF headers were checked", style.dir().display()));
    }
    Ok(Outcome::Verified { files, bytes, hashed: store.is_verified(), took: started.elapsed() })
}
