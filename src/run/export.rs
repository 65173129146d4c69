//! Files of handlers, which make the host's own tools register them when it boots.

use super::files::deliver;
use super::style::rule;
use super::{Apart, Done, Export, Format, Report, Wanted, rows_of};
use crate::arch::host_family;
use crate::emulators::Store;
use crate::error::{Error, Step};
use crate::probe;
use crate::rule::{Match, Rule, escaped};

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
        let rule = rule(arch, &request.style, file.as_deref());
        let name = match request.format {
            Format::BinfmtD => format!("{}.conf", rule.name),
            Format::UpdateBinfmts => rule.name.clone(),
        };
        let line = rule.line().map_err(|u| Error::new(Step::Write, name.as_str(), u.to_string()))?;
        files.push(match request.format {
            // A line of binfmt.d(5) is a line of the kernel's.
            Format::BinfmtD => (name, format!("{line}\n")),
            Format::UpdateBinfmts => (name, template(&rule)),
        });
    }
    let apart = if request.format == Format::BinfmtD { Apart::Not } else { Apart::ByName };
    Ok(deliver(files, apart, request.to.as_deref(), request.dry_run, report))
}

/// A template for `update-binfmts --import`.
fn template(rule: &Rule) -> String {
    let yes = |on: bool| if on { "yes" } else { "no" };
    let Match::Magic { magic, mask, .. } = &rule.matches else { return String::new() };
    format!(
        "package {}\ninterpreter {}\nmagic {}\nmask {}\ncredentials {}\npreserve {}\nfix_binary {}\n",
        rule.name,
        rule.interpreter,
        escaped(magic),
        escaped(mask),
        yes(rule.flags.credentials),
        yes(rule.flags.preserve_argv0),
        yes(rule.flags.fix_binary)
    )
}
