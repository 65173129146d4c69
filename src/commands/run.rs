//! Runs a program in a new user namespace with private handlers, without privileges.

use std::ffi::OsString;

use nix::errno::Errno;

use super::install::{cannot_tell, not_carried};
use super::rules::{has_none, requirements, rule};
use crate::error::{Cause, Error, Result, Step};
use crate::probe::{self, Native};
use crate::request::{HandlerOptions, Targets};
use crate::userns::Namespaces;
use crate::{host, sys};

/// Executes the program, with the user and directory of this process, no signal blocked, and SIGPIPE, SIGCHLD and SIGXFSZ not ignored;
/// returns only if that fails.
pub(super) fn run(targets: &Targets, options: &HandlerOptions, words: &[OsString]) -> Error {
    if let Err(error) = prepare(targets, options) {
        return error;
    }
    let Some((program, arguments)) = words.split_first() else {
        return Error::usage("no program given");
    };
    Error::new(Step::Exec, program.to_string_lossy(), sys::exec(program, arguments))
}

fn prepare(targets: &Targets, options: &HandlerOptions) -> Result<()> {
    host::check_proc()?;
    let store = options.open_dir()?;
    let rows = targets.rows().collect::<Vec<_>>();
    let natives = probe::natives(&rows);
    for (arch, native) in rows.iter().zip(&natives) {
        if let Native::Unclear(verdict) = native
            && store.find(arch).is_some()
        {
            return Err(cannot_tell(arch.name, arch, verdict));
        }
    }
    if !targets.are_named() && !rows.iter().any(|arch| store.find(arch).is_some()) {
        return Err(has_none(options));
    }
    let hinted = |error: Error| match host::user_namespaces_forbidden_by() {
        Some(allowed) => {
            error.hint(format!("the kernel must allow users their own namespaces: `sysctl {allowed}`"))
        }
        None if error.why == Cause::Errno(Errno::ENOSPC) => error,
        None => {
            error.hint("this requires Linux 6.7 and unprivileged user namespaces, which no chroot may make")
        }
    };
    let (uid, gid) = sys::enter_user_namespace().map_err(hinted)?;
    let is_forbidden = |error: &Error| error.why == Cause::Errno(Errno::EPERM);
    let registrar = Namespaces::look()
        .and_then(|place| place.private_binfmt(None)?.lock())
        .map_err(|error| if is_forbidden(&error) { hinted(error) } else { error })?;
    for (arch, native) in rows.into_iter().zip(natives) {
        let is_native = native.is_yes();
        let file = match store.find(arch) {
            Some(file) if !is_native => file,
            None if !is_native && targets.are_named() => return Err(not_carried(arch, options)),
            _ => continue,
        };
        let rule = rule(arch, options, Some(&file));
        store.check(&file, None, requirements(false))?;
        registrar.register(&rule)?;
    }
    sys::return_to_user(uid, gid).map_err(hinted)
}
