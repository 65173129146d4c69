//! Checking the emulators that are going to be registered, several at a time: hashing is what a first run takes longest for.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use super::job::Job;
use crate::commands::rules::requirements;
use crate::emulators::{Emulator, EmulatorDir};
use crate::error::Result;
use crate::host;
use crate::outcome::Report;
use crate::probe;
use crate::request::Install;

/// By which path each emulator is opened, if not by its own.
pub(super) type Paths = BTreeMap<String, PathBuf>;

/// Is it a program of the architecture that this one is of?
pub(super) fn is_as_this_program(emulator: &Emulator) -> bool {
    emulator.machine == host::build_arch().machine_bytes()
}

/// Opens and checks the emulators of these jobs. Without flag F, one that isn't here is for others to have.
pub(super) fn check(jobs: &mut [&mut Job], request: &Install, paths: &Paths, report: &mut Report) {
    let options = &request.options;
    let dir = options.dir();
    let is_here = |job: &&mut &mut Job| options.persistent || dir.join(&job.file).exists();
    let mut jobs: Vec<_> = jobs.iter_mut().filter(is_here).collect();
    if jobs.is_empty() {
        return;
    }
    let mut files: Vec<_> = jobs.iter().map(|job| job.file.clone()).collect();
    files.sort_unstable();
    files.dedup();
    let checked = EmulatorDir::open(dir, dir).map(|dir| check_all(&dir, &files, paths, options.persistent));
    for job in &mut jobs {
        match checked.as_ref().map_err(Clone::clone).and_then(|all| all[&job.file].clone()) {
            Ok(emulator) => {
                if emulator.metadata.mode() & libc::S_IWOTH != 0 {
                    let path = &job.rule.interpreter;
                    report.note(format!(
                        "{path} is world-writable: anyone who can write it controls what the handler runs"
                    ));
                }
                job.is_verified = emulator.sum.is_some();
                job.emulator = Some(emulator);
            }
            Err(error) => job.fail(error, report),
        }
    }
}

/// Checks each of these files.
fn check_all(
    dir: &EmulatorDir,
    files: &[String],
    paths: &Paths,
    is_static: bool,
) -> BTreeMap<String, Result<Arc<Emulator>>> {
    let machines = probe::runnable();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = paths.get(file).map(PathBuf::as_path);
            done.push((
                file.clone(),
                dir.check(file, path, requirements(&machines, is_static)).map(Arc::new),
            ));
        }
        done
    };
    // How many processors there are is a question of twenty system calls: it is asked only where there is something to hash.
    let is_work = dir.is_verified() && files.len() > 1;
    let processors = if is_work { std::thread::available_parallelism().map_or(1, NonZero::get) } else { 1 };
    let helpers = processors.min(files.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        // Where no thread can be had, fewer do the work.
        let start = |_| Builder::new().spawn_scoped(scope, work).ok();
        let started: Vec<_> = (0..helpers).map_while(start).collect();
        let mut all = work();
        // A thread that panicked aborts the program (panic = "abort"), so each one has a result.
        all.extend(started.into_iter().filter_map(|t| t.join().ok()).flatten());
        all.into_iter().collect()
    })
}
