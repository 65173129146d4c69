//! Lists the targets with an emulator in a directory, and checks all emulators there and all files of its SHA256SUMS.

use std::time::Instant;

use nix::unistd::{AccessFlags, access};

use super::Done;
use super::rules::{has_none, requirements};
use crate::arch::{ARCHES, Arch};
use crate::emulators::SUMS;
use crate::error::{Error, Step};
use crate::outcome::{Outcome, Report};
use crate::request::HandlerOptions;

pub(super) fn verify(options: &HandlerOptions, report: &mut Report) -> Done {
    let store = options.open_dir()?;
    let emulators = store.emulators();
    if emulators.is_empty() {
        return Err(has_none(options));
    }
    let started = Instant::now();
    let (mut files, mut bytes, mut good) = (0, 0, Vec::new());
    let check = |name: &String| {
        let found = store.check(name, None, requirements(options.persistent))?;
        access(&options.dir().join(name), AccessFlags::X_OK)
            .map_err(|errno| Error::new(Step::Exec, store.path_of(name), errno))?;
        Ok(found.metadata.len())
    };
    let checked = emulators.iter().map(|name| (name, check(name)));
    // Files that are listed but aren't emulators must match as well, or the list is wrong.
    let others = store.listed().filter(|name| !emulators.contains(name));
    for (name, result) in checked.chain(others.map(|name| (name, store.check_digest(name)))) {
        match result {
            Ok(len) => {
                files += 1;
                bytes += len;
                good.push(name);
            }
            Err(error) => report.errors.push(error),
        }
    }
    let is_good = |arch: &&Arch| store.find(arch).is_some_and(|file| good.contains(&&file));
    let mut targets: Vec<_> = ARCHES.iter().filter(is_good).map(|arch| arch.target).collect();
    targets.dedup();
    if !store.is_verified() {
        report.note(format!("no {SUMS} in {}: compared no digests", options.dir().display()));
    }
    Ok(Outcome::Verified { targets, files, bytes, hashed: store.is_verified(), took: started.elapsed() })
}
