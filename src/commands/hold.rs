//! Keeps the handlers by the mount of this process for as long as it runs.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::remove::see_what_depends;
use super::undo::Undo;
use crate::anchor::{BinfmtMount, Watch};
use crate::arch::Arch;
use crate::binfmt::Binfmt;
use crate::emulators::Emulator;
use crate::error::{Error, Result, Step};
use crate::outcome::Report;
use crate::probe;
use crate::request::Hold;
use crate::rule::{Entry, Flags};
use crate::sys;
use crate::userns::{Namespaces, STILL_HIDDEN};

/// How often the handlers are checked in any case.
const PERIOD: Duration = Duration::from_secs(10);

/// How often changes are noticed, which inotify reports.
const TICK: Duration = Duration::from_millis(200);

/// Blocks signals before anything is registered, so that [`Holder::wait`] gets them, and can remove the handlers if requested.
pub(super) fn block_signals() -> Result<()> {
    sys::ending_signals().thread_block().map_err(|errno| Error::new(Step::Block, "signals", errno))
}

/// Holds handlers; none if there was nothing to register.
#[derive(Debug, Default)]
pub struct Holder {
    pub(super) hold: Hold,
    pub(super) mount: Option<BinfmtMount>,
    /// Keeps binfmt_misc, where the host unmounts it.
    pub(super) _register: Option<File>,
    pub(super) held: Vec<Held>,
    /// Targets that were left to third-party handlers, with their entries when they last worked, and the inode numbers of the first.
    pub(super) left: Vec<(&'static Arch, Entry, Option<u64>)>,
}

/// A handler that is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) arch: &'static Arch,
    /// Its rule, to register it again, and what that replaced.
    pub(super) undo: Undo,
    /// Its entry when it last worked.
    pub(super) expected: Option<Entry>,
    /// The inode number of its first entry: another one with the same text has another number.
    pub(super) inode: Option<u64>,
    /// The emulator that has worked, if it is known.
    pub(super) emulator: Option<Arc<Emulator>>,
}

impl Holder {
    /// Waits for SIGTERM, or what else would end it. Until then, missing handlers are registered again, or, with `strict`, end it. On
    /// SIGHUP, runs a program of each. `tell` gets what a look finds, unless the look before it found the same; returns the last
    /// report.
    pub fn wait(mut self, tell: &mut dyn FnMut(&Report)) -> Report {
        if !self.hold.clean {
            self.held.iter_mut().for_each(|held| held.undo.replaced = None);
        }
        let (mut report, mut told) = (Report::default(), Vec::new());
        let changes = self.mount.as_ref().and_then(|mount| mount.watch_changes().ok());
        let mut looked = Instant::now();
        let signals = sys::ending_signals();
        loop {
            // Without a watch, it has to look.
            let is_told = || changes.as_ref().is_none_or(Watch::is_told);
            match sys::wait_for(&signals, TICK) {
                Ok(None) if !is_told() && looked.elapsed() < PERIOD => continue,
                Ok(signal @ (None | Some(libc::SIGHUP))) => self.look(signal.is_some(), &mut report),
                Ok(Some(_)) => break,
                Err(errno) => {
                    report.errors.push(Error::new(Step::Wait, "signals", errno));
                    break;
                }
            }
            looked = Instant::now();
            if self.hold.strict && !report.errors.is_empty() {
                break;
            }
            // Not failures: what could not be repaired now is tried again.
            for error in std::mem::take(&mut report.errors) {
                report.note(error.to_string());
            }
            if report.notes != told {
                tell(&report);
            }
            told = std::mem::take(&mut report.notes);
        }
        self.finish(&mut report);
        report
    }

    fn look(&mut self, thoroughly: bool, report: &mut Report) {
        let Some(mount) = &mut self.mount else { return };
        match mount.binfmt().is_enabled() {
            Ok(true) => {}
            Ok(false) => {
                report.errors.push(Error::new(Step::Keep, "the handlers", "binfmt_misc was disabled"))
            }
            Err(error) => report.errors.push(error),
        }
        for held in &mut self.held {
            match held.look(mount, self.hold.strict) {
                Ok(None) => {}
                Ok(Some(note)) => report.note(note),
                Err(error) => report.errors.push(error),
            }
        }
        for (arch, expected, inode) in &mut self.left {
            let is_first = || !self.hold.strict || mount.binfmt().inode(&expected.name) == *inode;
            match mount.binfmt().entry(&expected.name) {
                Ok(Some(entry)) if entry == *expected && is_first() => {}
                Ok(Some(entry)) if entry.enabled && !self.hold.strict && probe::run_one(arch).ran() => {
                    *expected = entry;
                }
                Ok(_) => {
                    let why = "programs were left to it, and it was removed, replaced or disabled";
                    let why = format!("{} {why}", arch.name);
                    report.errors.push(Error::new(Step::Keep, expected.name.as_str(), why));
                }
                Err(error) => report.errors.push(error),
            }
        }
        if thoroughly {
            let arches =
                self.held.iter().map(|held| held.arch).chain(self.left.iter().map(|(arch, ..)| *arch));
            let arches: Vec<_> = arches.collect();
            let verdicts = arches.iter().zip(probe::run(&arches));
            let failures = verdicts.filter(|(_, v)| !v.ran()).map(|(arch, v)| probe::failure(arch, &v));
            report.errors.extend(failures);
        }
    }

    /// Ends without waiting, with what was there before.
    pub fn release(mut self) -> Report {
        let mut report = Report::default();
        self.hold.clean = true;
        self.finish(&mut report);
        report
    }

    /// With `clean`, removes the handlers of this run, but none that was there before or came later, and restores what they replaced.
    fn finish(self, report: &mut Report) {
        let Some(mut mount) = self.mount else { return };
        let place = Namespaces::look();
        let mut held = if self.hold.clean { self.held } else { Vec::new() };
        let names = names(&held, mount.binfmt());
        let depends = |place| see_what_depends(&names, mount.binfmt(), place);
        if !held.is_empty()
            && let Err(error) = place.clone().and_then(depends)
        {
            let mut targets: Vec<_> = held.iter().map(|held| held.arch.target).collect();
            // Two rows may be of one target.
            targets.dedup();
            let line = format!("qus remove --force {}", targets.join(" "));
            report.errors.push(error.hint(format!("they stay; `{line}` removes them all the same")));
            held.clear();
        }
        for held in held {
            let done = held.finish(&mut mount, report);
            report.errors.extend(done.err());
        }
        if place.is_ok_and(|place| place.in_user_namespace) {
            report.note(STILL_HIDDEN);
        }
    }
}

/// The names of those handlers that are still those of this run, or can't be read.
fn names(held: &[Held], binfmt: &Binfmt) -> Vec<OsString> {
    let is_there = |held: &&Held| {
        let entry = binfmt.entry(&held.undo.rule.name);
        entry.map_or(true, |entry| entry.is_some_and(|entry| held.undo.is_of(&entry)))
    };
    held.iter().filter(is_there).map(|held| OsString::from(&held.undo.rule.name)).collect()
}

impl Held {
    /// Checks the handler, and registers it again if it is missing, with a note.
    fn look(&mut self, mount: &mut BinfmtMount, strict: bool) -> Result<Option<String>> {
        let (binfmt, name) = (mount.binfmt().clone(), self.undo.rule.name.as_str());
        let there = binfmt.entry(name)?;
        let is_first = || !strict || binfmt.inode(name) == self.inode;
        if there.is_some() && there == self.expected && is_first() {
            return Ok(None);
        }
        let lost = |why: &str| Err(Error::new(Step::Keep, name, why));
        match there {
            _ if strict => lost("another process removed, replaced or disabled it"),
            // It belongs to another process now.
            Some(entry) if entry.enabled => {
                if self.undo.rule.flags.fix_binary && !Flags::parse(&entry.flags).fix_binary {
                    return lost("another process replaced it by one without flag F");
                }
                let verdict = probe::run_one(self.arch);
                if verdict.ran() {
                    self.expected = Some(entry);
                    return Ok(None);
                }
                if binfmt.entry(name)?.as_ref() == Some(&entry) {
                    let why = probe::failure(self.arch, &verdict);
                    return lost(&format!("another process replaced it, and qus {why}"));
                }
                // That was removed, too, in the meantime.
                self.look(mount, strict)
            }
            Some(_) => lost("another process disabled it"),
            None => {
                let registrar = binfmt.lock()?;
                if binfmt.entry(name)?.is_some() {
                    drop(registrar);
                    return self.look(mount, strict); // another qus was replacing it
                }
                if self.undo.rule.flags.fix_binary {
                    let Some(emulator) = self.emulator.as_deref() else {
                        return lost("another process removed it, and its emulator is not known");
                    };
                    let path = Path::new(&self.undo.rule.interpreter);
                    let failed = |e: Error| Error::new(Step::Register, name, e.to_string());
                    mount.link(path, &emulator.file).map_err(failed)?;
                    // On the host, the path leads to whatever is there by now.
                    let is_as_it_was = || -> std::io::Result<bool> {
                        Ok(emulator.is_same_as(&File::open(path)?)?
                            && (emulator.sum.is_none() || emulator.unchanged()?))
                    };
                    let unread = |e| failed(Error::new(Step::Read, path.to_string_lossy(), e));
                    if !is_as_it_was().map_err(unread)? {
                        return lost("another process removed it, and its emulator is another one now");
                    }
                }
                registrar.register(&self.undo.rule)?;
                self.expected = binfmt.entry(name)?;
                let last = self.takes_precedence(&binfmt);
                Ok(Some(format!("another process removed {name}; it is registered again{last}")))
            }
        }
    }

    /// What a note says about other handlers that take the same programs: the kernel uses the one that was registered last.
    fn takes_precedence(&self, binfmt: &Binfmt) -> String {
        let entries = binfmt.entries().unwrap_or_default();
        let is_other = |e: &&Entry| e.name != self.undo.rule.name && probe::takes(e, self.arch);
        let others: Vec<_> = entries.iter().filter(is_other).map(|e| e.name.as_str()).collect();
        if others.is_empty() {
            String::new()
        } else {
            format!(", and takes precedence over {}", others.join(" "))
        }
    }

    /// Removes the handler, and restores what it replaced, unless another tool has taken that place: a note says so. Only to restore
    /// takes the lock.
    fn finish(self, mount: &mut BinfmtMount, report: &mut Report) -> Result<()> {
        let binfmt = mount.binfmt().clone();
        let last = self.takes_precedence(&binfmt);
        let undo = self.undo;
        let Some((old, _)) = &undo.replaced else {
            return binfmt.remove(undo.rule.name.as_ref(), &|entry| undo.is_of(entry)).map(drop);
        };
        let registrar = binfmt.lock()?;
        match binfmt.entry(&old.name)? {
            // One that goes with its hold leaves nothing there.
            Some(entry) if entry != *old && !undo.is_of(&entry) && !entry.goes_with_its_hold() => {
                let name = entry.name;
                report.note(format!("{name} is another's now, so what this hold replaced is not restored"));
                Ok(())
            }
            there => {
                if !last.is_empty() && there.as_ref() != Some(old) {
                    report.note(format!("{} is registered again{last}", old.name));
                }
                undo.undo(mount, &registrar)
            }
        }
    }
}
