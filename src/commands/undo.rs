//! Undoes a registration: the handler of this run goes, and what it replaced is there again.

use std::fs::File;
use std::path::Path;

use crate::anchor::BinfmtMount;
use crate::binfmt::Registrar;
use crate::error::{Error, Result, Step};
use crate::mounts;
use crate::rule::{Entry, Flags, Rule};

/// How to undo a registration.
#[derive(Debug)]
pub(super) struct Undo {
    /// The new handler, signed.
    pub(super) rule: Rule,
    /// The handler that it replaced, and the emulator that this held open.
    pub(super) replaced: Option<(Entry, Option<File>)>,
}

impl Undo {
    /// Is it the handler that this run has registered? It may be disabled by now.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        entry.signature().is_some() && entry.signature() == self.rule.signature()
    }

    /// Can't what it replaced be restored? The error says so.
    pub(super) fn is_final(&self, mount: &BinfmtMount) -> Option<Error> {
        match &self.replaced {
            Some((old, None)) if is_unreachable(old, mount) => Some(gone(old)),
            _ => None,
        }
    }

    /// Removes the handler, unless it is another's by now, and restores what it replaced, unless that is there again.
    ///
    /// # Errors
    /// If the kernel refuses either, or another's has the name of what it replaced. If that can't be restored, nothing is done.
    pub(super) fn undo(self, mount: &mut BinfmtMount, registrar: &Registrar) -> Result<()> {
        if let Some(error) = self.is_final(mount) {
            return Err(error.hint("the new handler stays, and runs its programs"));
        }
        mount.binfmt().remove(self.rule.name.as_ref(), &|entry| self.is_of(entry))?;
        let Some((old, file)) = self.replaced else { return Ok(()) };
        match mount.binfmt().entry(&old.name)? {
            None => restore(&old, file.as_ref(), mount, registrar),
            Some(there) if there == old => Ok(()),
            Some(_) => Err(taken(&old)),
        }
    }
}

/// Does that handler hold an emulator open, that no path in here may lead to?
fn is_unreachable(old: &Entry, mount: &BinfmtMount) -> bool {
    Flags::parse(&old.flags).fix_binary && !mount.is_on_host()
}

/// The error if a handler with flag F can't be restored.
fn gone(old: &Entry) -> Error {
    Error::new(Step::Register, old.name.as_str(), "its emulator can no longer be reached")
}

/// The error if another process's handler has the name of one that is to be restored.
fn taken(old: &Entry) -> Error {
    let why = format!(
        "another process has registered its own, so what was there before is lost: {} (flags {})",
        old.interpreter, old.flags
    );
    Error::new(Step::Register, old.name.as_str(), why)
        .hint("restart what registers it, such as systemd-binfmt")
}

/// Registers a handler again that was removed, with the emulator that it held open. If that isn't known, on the host, with the one at
/// its path.
pub(super) fn restore(
    old: &Entry,
    file: Option<&File>,
    mount: &mut BinfmtMount,
    registrar: &Registrar,
) -> Result<()> {
    if let Some(file) = file {
        let path = Path::new(&old.interpreter);
        let write = || registrar.restore(old).map_err(|e| e.errno());
        // Its directory may not be in this root.
        if mounts::where_path_leads_to(path, file, mount.binfmt().dir(), &write).is_ok() {
            return Ok(());
        }
        mount.link(path, file)?;
    } else if is_unreachable(old, mount) {
        return Err(gone(old));
    }
    registrar.restore(old)
}
