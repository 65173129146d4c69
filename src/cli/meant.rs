//! A line that is not understood → lines that may have been meant, the likeliest first. [`super::parse`] shows the first one
//! that is understood, so a guess may be a bold one; but never may it do more than what was typed.

use std::ffi::OsString;

use super::args::is_in;
use super::{is_form, verbs};
use crate::arch::{near, nearest};

/// Nobody reads a longer one.
const WORDS_AT_MOST: usize = 24;

/// A verb each, and what else people call it. Mistyped words are compared with all of these: `uninstal` isn't `install`.
const VERBS: [&str; 12] = [
    "install register add enable setup",
    "hold keep stay daemon",
    "remove uninstall unregister deregister delete del rm disable clear purge",
    "list ls show handlers",
    "status info platforms",
    "check test probe",
    "doctor diagnose debug",
    "verify",
    "run exec",
    "export generate",
    "help",
    "version ver",
];

/// Every long option of every dialect.
const OPTIONS: &str = "clean clear credential credentials debian dir dry-run emulator engine except exportdir force help hold host \
    image install interactive json list mount no-prove path persistent platform preserve-argv0 program qemu-path qemu-suffix \
    quiet replace reset shadow-host static strict suffix systemd targets test uninstall version";

/// Those whose value is the next word.
const VALUED: &str = "--path --suffix --exportdir --except --platform --targets";

/// After the `--`, these write files to the host, which nobody means who mixes up its two sides.
const WRITE: &str = "-s -d --systemd --debian";

pub(super) fn lines(args: &[OsString]) -> Vec<Vec<OsString>> {
    let words: Option<Vec<_>> = args.iter().map(|a| a.to_str()).collect();
    let Some(words) = words.filter(|w| w.len() <= WORDS_AT_MOST) else { return Vec::new() };
    let (form, rest) = words.split_at(words.iter().take_while(|w| is_form(w)).count());
    let Some((&first, more)) = rest.split_first() else { return Vec::new() };
    let mut lines = Vec::new();
    let mut add = |before: &[&str], after: &[&str]| {
        lines.push([form, before, after].concat().into_iter().map(OsString::from).collect());
    };
    let is_word =
        !verbs::is_verb(first) && first != "--" && (first.starts_with("--") || !first.starts_with('-'));
    if first == "install" || first == "hold" {
        // What `-s` and `-p` say is what these do by themselves.
        let kept: Vec<_> = more.iter().copied().filter(|w| !["-s", "-p", "--"].contains(w)).collect();
        add(&[first], &kept);
    }
    if is_word {
        add(&["install"], rest);
    }
    if first == "-v" && more.is_empty() {
        add(&["-V"], &[]);
    }
    if let Some(line) = with_dashes(rest) {
        add(&line.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    }
    if is_word {
        for word in near(first.trim_start_matches('-'), VERBS.iter().flat_map(|v| v.split(' '))) {
            let names = VERBS.iter().find(|names| is_in(names, word)).copied();
            add(&[names.and_then(|n| n.split(' ').next()).unwrap_or(word)], more);
        }
        nearest(first).iter().for_each(|target| add(&["install", target], more));
    }
    if let Some(at) = rest.iter().position(|w| is_mistyped(w)) {
        let (name, value) = rest[at].split_at(rest[at].find('=').unwrap_or(rest[at].len()));
        for option in near(name.trim_start_matches('-'), OPTIONS.split(' ')) {
            add(&rest[..at], &[&[format!("--{option}{value}").as_str()], &rest[at + 1..]].concat());
        }
    }
    lines
}

/// Is it a long option that no dialect has? The original's may have a single dash.
fn is_mistyped(word: &str) -> bool {
    let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
    word.starts_with('-') && name.len() > 2 && !is_in(OPTIONS, name)
}

/// The first dialect with its `--`: `-s` and `-l` stand before it, everything else after it.
fn with_dashes(words: &[&str]) -> Option<Vec<String>> {
    let (mut line, mut behind) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(|w| (*w).to_owned());
    while let Some(word) = words.next().filter(|w| w != "--") {
        let name = word.trim_start_matches('-');
        if name == "systemd" || name == "debian" {
            return None;
        } else if name == "static" || name == "list" {
            line.push(word);
        } else if word.len() - name.len() == 1 {
            for (at, letter) in name.char_indices() {
                match letter {
                    'd' => return None,
                    's' | 'l' | 'q' => line.push(format!("-{letter}")),
                    'Q' | 'F' | 'e' => {
                        behind.push(format!("-{}", &name[at..]));
                        behind.extend(if at + 1 == name.len() { words.next() } else { None });
                        break;
                    }
                    _ => behind.push(format!("-{letter}")),
                }
            }
        } else {
            let is_valued = is_in(VALUED, &word);
            behind.push(word);
            behind.extend(if is_valued { words.next() } else { None });
        }
    }
    let own = behind.len();
    behind.extend(words);
    if behind[own..].iter().any(|w| is_in(WRITE, w)) {
        return None;
    }
    if behind.iter().all(|w| !w.starts_with('-')) {
        // Targets alone: without -p they would get handlers that serve no container.
        let lists = line.iter().any(|w| w.ends_with('l') || w.ends_with("list"));
        behind.first().filter(|_| !lists)?;
        behind.insert(0, "-p".to_owned());
    }
    line.push("--".to_owned());
    line.extend(behind);
    Some(line)
}

/// The line as it is typed in a shell.
pub(super) fn shown(line: &[OsString]) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@+%".contains(c);
    let mut shown = String::new();
    for word in line {
        let word = word.to_str().filter(|w| !w.contains(|c: char| c == '\'' || c.is_control()))?;
        let quote = if word.is_empty() || !word.chars().all(is_plain) { "'" } else { "" };
        shown += &[" ", quote, word, quote].concat();
    }
    Some(shown)
}
