//! Delivering files: into a directory, or to stdout.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Result, Step};
use crate::outcome::{Outcome, Report, Separator};

/// Files with these names and contents: written to `to`, or, with `dry_run`, only shown; without a directory, they are the
/// answer.
pub(super) fn deliver(
    files: Vec<(String, String)>,
    separator: Separator,
    to: Option<&Path>,
    dry_run: bool,
    report: &mut Report,
) -> Outcome {
    let Some(dir) = to else {
        return Outcome::Printed { files, separator };
    };
    let mut done = Vec::new();
    for (name, text) in files {
        let path = dir.join(name);
        if dry_run {
            done.push((path, Some(text)));
            continue;
        }
        match write(&path, &text) {
            Ok(()) => done.push((path, None)),
            Err(error) => report.errors.push(error),
        }
    }
    Outcome::Files { files: done }
}

/// Writes a file in one piece: a reader sees the old one or the new one. A script is made executable.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("qus-new");
    let mode = if text.starts_with("#!") { 0o777 } else { 0o666 };
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new);
    let written = opened.and_then(|mut f| {
        f.write_all(text.as_bytes())?;
        f.sync_all()?;
        std::fs::rename(&new, path)
    });
    written.map_err(|e| {
        // The error of the write is the one to report; where there is no half a file, there is none to remove.
        let _ = std::fs::remove_file(&new);
        Error::new(Step::Write, path.display().to_string(), e)
    })
}
