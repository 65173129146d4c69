//! Files of handlers, which make the host's own tools register them when it boots.

use super::files::deliver;
use super::style::{flags, rule};
use super::{Apart, Done, Export, Format, Report, Style, Wanted, rows_of};
use crate::arch::{Arch, host_family};
use crate::emulators::Store;
use crate::error::{Error, Result, Step};
use crate::probe;
use crate::rule::{Match, escaped};

pub(super) fn export(request: &Export, report: &mut Report) -> Done {
    // The files are for another moment, maybe another host: what runs natively is a question of names, as in QEMU's script.
    let family = request.host.as_deref().map_or_else(|| probe::host().family, host_family);
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
        files.push(match request.format {
            Format::BinfmtD => {
                (format!("{}.conf", arch.entry()), binfmt_d(arch, &request.style, file.as_deref())?)
            }
            Format::UpdateBinfmts => (arch.entry(), template(arch, &request.style, file.as_deref())),
        });
    }
    let apart = if request.format == Format::BinfmtD { Apart::Not } else { Apart::ByName };
    Ok(deliver(files, apart, request.to.as_deref(), request.dry_run, report))
}

/// A line of binfmt.d(5), which is a line of the kernel's.
fn binfmt_d(arch: &Arch, style: &Style, file: Option<&str>) -> Result<String> {
    let rule = rule(arch, style, file);
    let line =
        rule.line().map_err(|u| Error::new(Step::Write, format!("{}.conf", rule.name), u.to_string()))?;
    Ok(format!("{line}\n"))
}

/// A template for `update-binfmts --import`.
fn template(arch: &Arch, style: &Style, file: Option<&str>) -> String {
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
