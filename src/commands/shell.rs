//! `-i`: the rest of the command line, by a shell.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use nix::errno::Errno;

use crate::error::{Cause, Error, Step};

/// Gives the words to `sh -c`, as one command line; without any, starts an interactive shell. Returns only if that fails.
pub(super) fn shell(words: &[OsString]) -> Error {
    let mut command = std::process::Command::new("sh");
    if !words.is_empty() {
        command.arg("-c").arg(words.join(&OsString::from(" ")));
    }
    let error = Error::new(Step::Exec, "sh", command.exec());
    if matches!(&error.why, Cause::Errno(Errno::ENOENT)) {
        error.hint("this image is built from scratch and has no shell in it; -i works where there is one")
    } else {
        error
    }
}
