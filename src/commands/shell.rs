//! `-i`: gives the rest of the command line to a shell.

use std::ffi::OsString;

use nix::errno::Errno;

use crate::error::{Cause, Error, Step};
use crate::sys;

/// Executes `sh -c` with the words as one command line; without words, an interactive shell. Returns only if that fails.
pub(super) fn shell(words: &[OsString]) -> Error {
    let command = || vec!["-c".into(), words.join(&OsString::from(" "))];
    let arguments = if words.is_empty() { Vec::new() } else { command() };
    let error = Error::new(Step::Exec, "sh", sys::exec("sh".as_ref(), &arguments));
    if matches!(&error.why, Cause::Errno(Errno::ENOENT)) {
        error.hint("there is no shell here: the images of qus contain none")
    } else {
        error
    }
}
