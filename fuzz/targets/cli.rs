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
            assert!(!error.to_string().chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
        }
        Ok(asked) => {
            assert!(!asked.commands.is_empty(), "{args:?} asks for nothing");
            for command in &asked.commands {
                let wanted = match command {
                    Command::Install(i) => &i.targets,
                    Command::Remove(r) => &r.targets,
                    Command::Export(e) => &e.targets,
                    Command::Check { targets, .. } | Command::Run { targets, .. } => targets,
                    _ => continue,
                };
                // A target that is named is one that is known, and named once.
                if let Targets::These(names) = wanted {
                    let rows: Vec<_> = wanted.rows().map(|a| a.target).collect();
                    assert!(!names.is_empty() && names.iter().all(|n| rows.contains(n)), "{names:?}");
                }
            }
        }
    }
});
