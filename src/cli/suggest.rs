//! Suggests command lines for one that doesn't parse, the likeliest first. [`super::parse`] shows the first that parses, so a
//! guess may be wrong; but it must never do more than the line that was typed.

use std::ffi::OsString;

use super::args::is_in;
use super::{export, is_form, verbs};
use crate::arch::{distance, near, nearest};
use crate::error::quoted;

/// The longest line that gets suggestions, in words.
const WORDS_MAX: usize = 24;

/// Each verb with other words for it. Mistyped words are compared with all of them: `uninstal` isn't `install`.
const VERBS: [&str; 12] = [
    "install register add enable setup",
    "hold keep stay daemon",
    "remove uninstall unregister deregister delete del rm disable clear purge",
    "list ls show handlers",
    "status info platforms",
    "check test probe",
    "doctor diagnose debug",
    "verify",
    RUN,
    "export generate",
    "help",
    "version ver",
];

const RUN: &str = "run exec";

/// Every long option of every dialect.
const OPTIONS: &str = "clean clear credential credentials debian dir dry-run emulator engine except exportdir force help hold host \
    image install interactive json list mount no-prove path persistent platform preserve-argv0 program qemu-path qemu-suffix \
    quiet replace reset shadow-host static strict suffix systemd targets test uninstall version";

/// Of these, what removes or writes files on its own: never guessed.
const BOLD: &str = "clear debian reset systemd";

/// The options that take the next word as their value.
const VALUED: &str = "--path --suffix --exportdir --except --platform --targets";

/// After `--`, these write files to the host: never suggested.
const WRITE: &str = "-s -d --systemd --debian";

/// Lines, and whether their verb is a guess: then they must not act on what nobody named.
pub(super) fn lines(args: &[OsString]) -> Vec<(bool, Vec<OsString>)> {
    let words: Option<Vec<_>> = args.iter().map(|a| a.to_str()).collect();
    let Some(words) = words.filter(|w| w.len() <= WORDS_MAX) else { return Vec::new() };
    // A variable was unset: without it, the line would do more.
    if words.iter().any(|w| w.is_empty() || w.ends_with('=')) {
        return Vec::new();
    }
    let (form, rest) = words.split_at(words.iter().take_while(|w| is_form(w)).count());
    let Some((&first, more)) = rest.split_first() else { return Vec::new() };
    let is_option = first.starts_with("--") && first != "--";
    let dashes = rest.iter().position(|w| *w == "--");
    let mut lines = Vec::new();
    let mut add = |is_guess: bool, before: &[&str], after: &[&str]| {
        let line = [form, before, after].concat().into_iter().map(OsString::from).collect();
        lines.push((is_guess, line));
    };
    let is_word = !verbs::is_verb(first) && (is_option || !first.starts_with('-'));
    // A verb with the original's options, or after its dashes.
    for (verb, words) in
        [Some((&first, more)), dashes.and_then(|at| rest[at + 1..].split_first())].into_iter().flatten()
    {
        let Some(verb) = meant(verb) else { continue };
        let is_default = |w: &str| ["install", "hold"].contains(&verb) && ["-s", "-p", "--"].contains(&w);
        let words: Vec<_> = words.iter().copied().filter(|w| !is_default(w)).collect();
        add(is_option, &[verb], &words);
    }
    if is_word {
        add(is_option, &["install"], rest);
    }
    if let Some(verb) = first.strip_prefix("--").filter(|name| verbs::is_verb(name)) {
        add(true, &[verb], more);
    }
    if first == "-v" && more.is_empty() {
        add(false, &["-V"], &[]);
    }
    if let Some(line) = with_dashes(rest) {
        add(is_option, &line.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    }
    if is_word {
        let typed = first.trim_start_matches('-');
        // Short words are near to too many others, and a program is run only by a word for that.
        let is_guessed = |w: &str| w.len() > 3 && begins_alike(w, typed) && !is_in(RUN, w);
        let words = || VERBS.iter().flat_map(|v| v.split(' ')).filter(|w| *w == typed || is_guessed(w));
        let abbreviated = words().filter(|w| typed.len() >= 3 && w.starts_with(typed));
        for word in abbreviated.chain(near(typed, words())) {
            let verb = meant(word).unwrap_or(word);
            add(is_option || word != typed, &[verb], more);
        }
        if export::is_format(first) {
            add(false, &["export"], rest);
        }
        // An option or a format isn't a target.
        let is_known = is_option || is_in(OPTIONS, first) || export::is_format(first);
        let nearest = if is_known { Vec::new() } else { nearest(first) };
        // Of letters alone, it may be any word: `start` isn't `sparc`.
        let is_text = first.bytes().all(|b| b.is_ascii_lowercase());
        let nearest = nearest.iter().filter(|target| !is_text || distance(first, target) < 2);
        nearest.for_each(|target| add(false, &["install", target], more));
    }
    if let Some(at) = rest.iter().position(|w| is_mistyped(w)) {
        let (name, value) = rest[at].split_at(rest[at].find('=').unwrap_or(rest[at].len()));
        let name = name.trim_start_matches('-');
        let options = OPTIONS.split(' ').filter(|o| begins_alike(o, name) && !is_in(BOLD, o));
        for option in near(name, options) {
            let option = format!("--{option}{value}");
            add(at == 0 && dashes.is_none(), &rest[..at], &[&[option.as_str()], &rest[at + 1..]].concat());
        }
    }
    lines
}

/// The verb that this is a word for.
fn meant(word: &str) -> Option<&'static str> {
    VERBS.iter().find(|names| is_in(names, word))?.split(' ').next()
}

/// Mistyped words seldom begin with another letter: `list-all` isn't `install`.
fn begins_alike(a: &str, b: &str) -> bool {
    a.chars().next() == b.chars().next()
}

/// Is it a long option that no dialect has, with one dash or two?
fn is_mistyped(word: &str) -> bool {
    let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
    word.starts_with('-') && name.len() > 2 && !is_in(OPTIONS, name)
}

/// The original's dialect with `-s` and `-l` before `--`, and everything else after it.
fn with_dashes(words: &[&str]) -> Option<Vec<String>> {
    let (mut line, mut after_dashes) = (Vec::new(), Vec::new());
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
                        after_dashes.push(format!("-{}", &name[at..]));
                        after_dashes.extend(if at + 1 == name.len() { words.next() } else { None });
                        break;
                    }
                    _ => after_dashes.push(format!("-{letter}")),
                }
            }
        } else {
            let is_valued = is_in(VALUED, &word);
            after_dashes.push(word);
            after_dashes.extend(if is_valued { words.next() } else { None });
        }
    }
    let own = after_dashes.len();
    after_dashes.extend(words);
    if after_dashes[own..].iter().any(|w| is_in(WRITE, w)) {
        return None;
    }
    if after_dashes.iter().all(|w| !w.starts_with('-')) {
        // Targets alone: without -p, their handlers would be of no use to containers.
        let lists = line.iter().any(|w| w.ends_with('l') || w.ends_with("list"));
        after_dashes.first().filter(|_| !lists)?;
        after_dashes.insert(0, "-p".to_owned());
    }
    line.push("--".to_owned());
    line.extend(after_dashes);
    Some(line)
}

/// The line, quoted for a shell.
pub(super) fn shown(line: &[OsString]) -> Option<String> {
    line.iter().map(|word| Some(format!(" {}", quoted(word.to_str()?)?))).collect()
}
