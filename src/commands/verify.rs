//! Checking all emulators of a directory, and all that its SHA256SUMS lists, with nothing registered.

use std::time::Instant;

use super::Done;
use super::rules::{has_none, requirements};
use crate::emulators::EmulatorDir;
use crate::outcome::{Outcome, Report};
use crate::request::HandlerOptions;

pub(super) fn verify(options: &HandlerOptions, report: &mut Report) -> Done {
    let store = EmulatorDir::open(options.dir())?;
    let emulators: Vec<_> = store.emulators(&options.prefix, &options.suffix).collect();
    if emulators.is_empty() {
        return Err(has_none(options));
    }
    let started = Instant::now();
    let (mut files, mut bytes) = (0, 0);
    let checked = emulators
        .iter()
        .map(|name| store.check(name, None, requirements(options.persistent)).map(|e| e.metadata.len()));
    // What is listed and isn't used must be there and right as well: a list that is only half true says nothing.
    let others = store.listed().filter(|name| !emulators.contains(name)).map(|name| store.check_digest(name));
    for result in checked.chain(others) {
        match result {
            Ok(len) => {
                files += 1;
                bytes += len;
            }
            Err(error) => report.errors.push(error),
        }
    }
    if !store.is_verified() {
        report
            .note(format!("{} lists no digests: only the ELF headers were checked", options.dir().display()));
    }
    Ok(Outcome::Verified { files, bytes, hashed: store.is_verified(), took: started.elapsed() })
}
