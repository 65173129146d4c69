//! Checking the binaries that are going to be registered, several at a time: hashing is what a first run takes longest for.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use super::job::Job;
use crate::anchor::BinfmtMount;
use crate::arch::own;
use crate::elf::Machine;
use crate::emulators::{Emulator, EmulatorDir, Requirements, Sum, digest};
use crate::error::Result;
use crate::outcome::Report;
use crate::probe::{self, Identity, identity, identity_of};
use crate::request::HandlerOptions;

/// An emulator that passed.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    identity: Identity,
    len: u64,
    machine: Machine,
    sum: Option<Sum>,
    /// May everybody write to it?
    is_open_to_all: bool,
    /// Open until [`Checked::close`]; rows that are run by one emulator share it.
    file: Option<Arc<File>>,
}

impl Checked {
    fn new(emulator: Emulator) -> Self {
        let Emulator { file, machine, sum, metadata } = emulator;
        Self {
            identity: identity_of(&metadata),
            len: metadata.len(),
            machine,
            sum,
            is_open_to_all: metadata.mode() & libc::S_IWOTH != 0,
            file: Some(Arc::new(file)),
        }
    }

    pub(super) const fn is_verified(&self) -> bool {
        self.sum.is_some()
    }

    /// Is it a program of the architecture that we are one of?
    pub(super) fn is_as_we_are(&self) -> bool {
        self.machine == own().machine_bytes()
    }

    /// Lets go of the file, and of the mount through which it was opened.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Does this file, that the kernel has loaded, hold the same program? The same file, or one of another container with the
    /// same bytes.
    pub(super) fn is_same_as(&self, loaded: &File) -> bool {
        if identity(loaded) == Some(self.identity) {
            return true;
        }
        let len = loaded.metadata().map(|m| m.len()).unwrap_or_default();
        let digest_of = |file: &File| file.try_clone().and_then(|mut f| digest(&mut f)).ok();
        let ours = || self.sum.or_else(|| self.file.as_ref().and_then(|f| digest_of(f)));
        len == self.len && digest_of(loaded).is_some_and(|theirs| ours() == Some(theirs))
    }
}

/// Opens and checks the binaries of all jobs that need one.
pub(super) fn verify(jobs: &mut [Job], ground: &BinfmtMount, options: &HandlerOptions, report: &mut Report) {
    let is_visible = |job: &&mut Job| {
        job.is_registered() && (options.persistent || options.dir().join(&job.file).exists())
    };
    let mut jobs: Vec<_> = jobs.iter_mut().filter(is_visible).collect();
    let checked = EmulatorDir::open(options.dir(), &ground.opened(options.dir())).map(|store| {
        check_all(&store, &jobs.iter().map(|j| j.file.as_str()).collect::<Vec<_>>(), options.persistent)
    });
    for (at, job) in jobs.iter_mut().enumerate() {
        let result = checked.as_ref().map_err(Clone::clone).and_then(|all| all[at].clone());
        if result.as_ref().is_ok_and(|emulator| emulator.is_open_to_all) {
            let path = &job.rule.interpreter;
            report.note(format!("everybody may write to {path}: who does decides what the handler runs"));
        }
        let emulator = result.map(|emulator| job.emulator = Some(emulator));
        job.fail_on(emulator, report);
    }
}

/// Checks each of these files; the results are in the same order.
fn check_all(store: &EmulatorDir, files: &[&str], persistent: bool) -> Vec<Result<Checked>> {
    let mut unique: Vec<_> = files.to_vec();
    unique.sort_unstable();
    unique.dedup();
    let demands = Requirements { runs: &probe::runs_natively, host: probe::host, is_static: persistent };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(file) = unique.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((*file, store.check(file, demands).map(Checked::new)));
        }
        done
    };
    // How many processors there are is a question of twenty system calls: it is asked only where there is something to hash.
    let is_work = store.is_verified() && unique.len() > 1;
    let processors = if is_work { std::thread::available_parallelism().map_or(1, NonZero::get) } else { 1 };
    let helpers = processors.min(unique.len()).saturating_sub(1);
    let results: BTreeMap<_, _> = std::thread::scope(|scope| {
        // Where no thread can be had, fewer do the work.
        let start = |_| Builder::new().spawn_scoped(scope, work).ok();
        let started: Vec<_> = (0..helpers).map_while(start).collect();
        let mut all = work();
        // A thread that panicked aborts the program (panic = "abort"), so each one has a result.
        all.extend(started.into_iter().filter_map(|t| t.join().ok()).flatten());
        all.into_iter().collect()
    });
    files.iter().map(|f| results[f].clone()).collect()
}
