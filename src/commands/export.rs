//! Files of handlers, which make the host's own tools register them when it boots.

use super::Done;
use super::files::deliver;
use super::rules::rule;
use crate::arch::host_family;
use crate::emulators::EmulatorDir;
use crate::error::{Error, Step};
use crate::outcome::{Report, Separator};
use crate::probe;
use crate::request::{Export, Format, Targets};
use crate::rule::{Match, Rule, escaped};

pub(super) fn export(request: &Export, report: &mut Report) -> Done {
    // The files are for another moment, maybe another host: what runs natively is a question of names, as in QEMU's script.
    let family = request.host.as_deref().map_or_else(|| probe::host().family, host_family);
    // Binaries that can be seen say by their names whether the suffix is right; those of another host can't be seen.
    let store = EmulatorDir::open(request.options.dir(), request.options.dir()).ok();
    let (mut files, rows) = (Vec::new(), request.targets.rows().collect::<Vec<_>>());
    let left_out: Vec<_> = rows.iter().filter(|a| a.family == family).map(|a| a.name).collect();
    if request.targets != Targets::All && !left_out.is_empty() {
        report.note(format!("left out, for they are the host's own family: {}", left_out.join(" ")));
    }
    for arch in rows.into_iter().filter(|a| a.family != family) {
        let file = store
            .as_ref()
            .and_then(|s| s.find(arch.emulator, &request.options.prefix, &request.options.suffix));
        let rule = rule(arch, &request.options, file.as_deref());
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
    let separator = if request.format == Format::BinfmtD { Separator::Not } else { Separator::ByName };
    Ok(deliver(files, separator, request.to.as_deref(), request.dry_run, report))
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
