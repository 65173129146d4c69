//! Checking all binaries of a directory, with nothing registered.

use std::time::Instant;

use super::Done;
use crate::emulators::{EmulatorDir, Requirements};
use crate::outcome::{Outcome, Report};
use crate::probe;
use crate::request::HandlerOptions;

pub(super) fn verify(options: &HandlerOptions, report: &mut Report) -> Done {
    let store = EmulatorDir::open(options.dir(), options.dir())?;
    let demands =
        Requirements { runs: &probe::runs_natively, host: probe::host, is_static: options.persistent };
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
        report
            .note(format!("{} lists no digests: only the ELF headers were checked", options.dir().display()));
    }
    Ok(Outcome::Verified { files, bytes, hashed: store.is_verified(), took: started.elapsed() })
}
