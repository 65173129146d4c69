//! Writing the files that make a host register handlers when it boots.

use std::io::Write;
use std::path::Path;

use super::style::{flags, rule};
use super::{Done, Export, Format, Outcome, Report, Style, Wanted, rows_of};
use crate::arch::{Arch, host_family, own};
use crate::emulators::Store;
use crate::error::{Error, Result, Step};
use crate::rule::{Match, escaped};

pub(super) fn export(request: &Export, report: &mut Report) -> Done {
    // The files are for another moment, maybe another host: what runs natively is a question of names, as in QEMU's script.
    let family = request.host.as_deref().map_or(own().family, host_family);
    // Binaries that can be seen say by their names whether the suffix is right; those of another host can't be seen.
    let store = Store::open(request.style.dir(), request.style.dir()).ok();
    let (mut files, rows) = (Vec::new(), rows_of(&request.wanted));
    let left_out: Vec<_> = rows.iter().filter(|a| a.family == family).map(|a| a.name).collect();
    if request.wanted != Wanted::All && !left_out.is_empty() {
        report.note(format!("left out, for they are the host's own family: {}", left_out.join(" ")));
    }
    for arch in rows.into_iter().filter(|a| a.family != family) {
        let file =
            store.as_ref().and_then(|s| s.find(arch.emulator, &request.style.prefix, &request.style.suffix));
        let (name, text) = match request.format {
            Format::Systemd => {
                (format!("{}.conf", arch.entry()), systemd(arch, &request.style, file.as_deref())?)
            }
            Format::Debian => (arch.entry(), debian(arch, &request.style, file.as_deref())),
        };
        let path = request.to.join(name);
        if request.dry_run {
            files.push((path, Some(text)));
        } else {
            match write(&path, &text) {
                Ok(()) => files.push((path, None)),
                Err(error) => report.errors.push(error),
            }
        }
    }
    Ok(Outcome::Files { files })
}

/// A line of binfmt.d(5), which is a line of the kernel's.
fn systemd(arch: &Arch, style: &Style, file: Option<&str>) -> Result<String> {
    let rule = rule(arch, style, file);
    let line =
        rule.line().map_err(|u| Error::new(Step::Write, format!("{}.conf", rule.name), u.to_string()))?;
    Ok(format!("{line}\n"))
}

/// A template for `update-binfmts --import`.
fn debian(arch: &Arch, style: &Style, file: Option<&str>) -> String {
    let (rule, flags) = (rule(arch, style, file), flags(style));
    let yes = |on: bool| if on { "yes" } else { "no" };
    let Match::Magic { magic, mask, .. } = &rule.matches else { return String::new() };
    format!(
        "package {}\ninterpreter {}\nmagic {}\nmask {}\ncredentials {}\npreserve {}\nfix_binary {}\n",
        rule.name,
        rule.interpreter,
        escaped(magic),
        escaped(mask),
        yes(flags.credentials),
        yes(flags.preserve_argv0),
        yes(flags.fix_binary)
    )
}

/// Writes a file in one piece: a reader sees the old one or the new one.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("qus-new");
    let written = std::fs::File::create(&new).and_then(|mut f| {
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
