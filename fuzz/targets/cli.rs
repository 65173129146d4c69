//! The command line in all its dialects: words are separated by NUL; the first is the environment.
#![no_main]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use qus::error::{Exit, Step};
use qus::request::{Command, Targets};

fuzz_target!(|data: &[u8]| {
    let mut words = data.split(|b| *b == 0).map(|w| OsStr::from_bytes(w).to_owned());
    let environment = words.next().unwrap_or_default();
    let args: Vec<OsString> = words.collect();
    // NAME=VALUE, one a line.
    let env = |name: &str| {
        let mut lines = environment.as_bytes().split(|b| *b == b'\n');
        let value = lines.find_map(|l| l.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(OsStr::from_bytes(value).to_owned())
    };
    match qus::cli::parse(&args, &env) {
        Err(error) => {
            assert!(error.step == Step::Usage && error.exit() == Exit::Usage);
            assert!(!error.line().trim_end_matches('\n').chars().any(char::is_control), "{error:?}");
            // A line that is shown as a hint is understood.
            if let Some((_, line)) = error.hint.as_ref().and_then(|h| h.split_once("did you mean `qus ")) {
                let line = line.trim_end_matches("`?");
                let words: Vec<_> = line.split(' ').map(OsString::from).collect();
                assert!(line.contains('\'') || qus::cli::parse(&words, &env).is_ok(), "{line}");
            }
        }
        Ok(asked) => {
            assert!(!asked.commands.is_empty(), "{args:?} asks for nothing");
            for command in &asked.commands {
                let (wanted, handlers) = match command {
                    Command::Install(i) => (&i.targets, [].as_slice()),
                    Command::Remove(r) => (&r.targets, r.handlers.as_slice()),
                    Command::Export(e) => (&e.targets, [].as_slice()),
                    Command::Deploy(d) => (&d.targets, [].as_slice()),
                    Command::Check { targets, .. } | Command::Run { targets, .. } => (targets, [].as_slice()),
                    _ => continue,
                };
                // A handler that is named is one of QEMU's, and a file of binfmt_misc itself; a pattern is compared with those alone.
                assert!(
                    handlers.iter().all(|(h, _)| {
                        let is_full = h.len() > 5 && h.starts_with("qemu-");
                        (is_full || h.contains(['*', '?'])) && !h.contains('/')
                    }),
                    "{handlers:?}"
                );
                // A target that is named is one that is known, and named once.
                if let Targets::These(names) = wanted {
                    let rows: Vec<_> = wanted.rows().map(|a| a.target).collect();
                    assert!(
                        !(names.is_empty() && handlers.is_empty()) && names.iter().all(|n| rows.contains(n)),
                        "{names:?}"
                    );
                }
            }
        }
    }
});
