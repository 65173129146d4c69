//! `-i`: the rest of the command line, by a shell.

use std::ffi::OsString;

use nix::errno::Errno;

use crate::error::{Cause, Error, Step};
use crate::sys;

/// Gives the words to `sh -c`, as one command line; without any, starts an interactive shell. Returns only if that fails.
pub(super) fn shell(words: &[OsString]) -> Error {
    let command = || vec!["-c".into(), words.join(&OsString::from(" "))];
    let arguments = if words.is_empty() { Vec::new() } else { command() };
    let error = Error::new(Step::Exec, "sh", sys::exec("sh".as_ref(), &arguments));
    if matches!(&error.why, Cause::Errno(Errno::ENOENT)) {
        error.hint("this image is built from scratch and has no shell in it; -i works where there is one")
    } else {
        error
    }
}
