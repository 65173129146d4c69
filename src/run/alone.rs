//! Running a program in a user namespace of its own, with handlers that nobody else sees: no privileges, no traces.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use nix::errno::Errno;

use super::install::{cannot_tell, not_carried};
use super::style::rule;
use super::{Style, Wanted};
use crate::anchor::Ground;
use crate::arch::Arch;
use crate::emulators::{Demands, Store};
use crate::error::{Error, Result, Step, Why};
use crate::probe::{self, By, Verdict};
use crate::run::rows_of;
use crate::sys;

/// Executes the program in our place; returns only if that fails. Its user, directory, exit status and signals are ours.
pub(super) fn run(wanted: &Wanted, style: &Style, words: &[OsString]) -> Error {
    if let Err(error) = prepare(wanted, style) {
        return error;
    }
    let Some((program, arguments)) = words.split_first() else {
        return Error::usage("which program?").hint("qus run -- PROGRAM [ARGUMENTS]");
    };
    let error = std::process::Command::new(program).args(arguments).exec();
    Error::new(Step::Execute, program.to_string_lossy(), error)
}

fn prepare(wanted: &Wanted, style: &Style) -> Result<()> {
    let store = Store::open(style.dir(), style.dir())?;
    let rows = rows_of(wanted);
    let natives = probe::run_natives(rows.iter().copied());
    let find = |arch: &Arch| store.find(arch.emulator, &style.prefix, &style.suffix);
    let is_unclear = |(arch, native): &(&&Arch, &Verdict)| native.is_unclear() && find(arch).is_some();
    if let Some((arch, native)) = rows.iter().zip(&natives).find(is_unclear) {
        return Err(cannot_tell(arch.name, arch, native));
    }
    let hinted = |error: Error| {
        error.hint(
            "the kernel must allow unprivileged user namespaces (user.max_user_namespaces, \
             kernel.apparmor_restrict_unprivileged_userns), and be Linux 6.7 or later",
        )
    };
    let refused = |e| hinted(Error::new(Step::Mount, "in a user namespace of its own", e));
    let (uid, gid) = sys::enter_user_namespace().map_err(refused)?;
    let is_forbidden = |error: &Error| error.why == Why::Errno(Errno::EPERM);
    let ground =
        Ground::of_our_own(None).map_err(|error| if is_forbidden(&error) { hinted(error) } else { error })?;
    for (arch, native) in rows.into_iter().zip(natives) {
        // What ran and could not be traced is taken for the kernel's: a handler for that would end every execution in here.
        let is_native = matches!(native, Verdict::Ran { by: By::Kernel | By::Unknown, .. });
        let file = match find(arch) {
            Some(file) if !is_native => file,
            None if !is_native && *wanted != Wanted::All => return Err(not_carried(arch, style)),
            _ => continue,
        };
        let rule = rule(arch, style, Some(&file));
        store.check(&file, Demands { runs: &probe::runs_natively, host: probe::host, is_static: false })?;
        ground.register(&rule, &file)?;
    }
    sys::return_to_user(uid, gid).map_err(refused)
}
