//! Every rule that can be said in a line is taken by the kernel, and what it shows of it reads back as the same.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use qus::rule::{Entry, Flags, HEAD_MAX, Match, Rule};

use crate::sandbox::Sandbox;

/// Numbers that look random and are the same in each run (xorshift, G. Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    fn text(&mut self, alphabet: &str, at_most: usize) -> String {
        let letters: Vec<_> = alphabet.chars().collect();
        (0..=self.below(at_most)).map(|_| letters[self.below(letters.len())]).collect()
    }

    fn rule(&mut self, number: usize) -> Rule {
        // The number makes each name unique.
        let name = format!("{}{number}", self.text("ab \t-.:|,;!%&+=@~^#\\\"'$ä\u{1}*", 20));
        let matches = if self.below(8) == 0 {
            Match::Extension(self.text("ab.:| \\x", 10))
        } else {
            // Often at the limit of what the kernel compares.
            let at_most = if self.below(3) == 0 { 200 } else { 40 };
            let len = 1 + self.below(at_most);
            let offset = if self.below(2) == 0 { self.below(HEAD_MAX - len + 1) } else { 0 };
            Match::Magic { offset, magic: self.bytes(len), mask: self.bytes(len) }
        };
        let mut flag = || self.below(2) == 0;
        let flags =
            Flags { preserve_argv0: flag(), open_binary: flag(), credentials: flag(), fix_binary: flag() };
        let interpreter = match flags.fix_binary {
            true => "/usr/bin/env".to_owned(),
            false => format!("/{}", self.text("ab/ .:|,;\\\"'é\u{7}", 60)),
        };
        Rule { name, matches, interpreter, flags }
    }
}

#[test]
fn the_kernel_shows_every_valid_rule_as_it_was_written() {
    let Some(s) = Sandbox::new() else { return };
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let rules: Vec<_> = (0..400).map(|n| numbers.rule(n)).filter(|r| r.line().is_ok()).collect();
    assert!(rules.len() > 250, "only {} can be said", rules.len());
    let hex = |text: &str| {
        text.bytes().fold(String::new(), |mut out, b| {
            write!(out, "\\x{b:02x}").unwrap();
            out
        })
    };
    let script = "mount -t binfmt_misc b /mnt
        while read -r line name; do
            env printf \"$line\" >/tmp/line
            name=$(env printf \"$name.\")
            cat /tmp/line >/mnt/register || echo refused
            cat \"/mnt/${name%.}\"; echo '##'
        done";
    let mut command = s.enter(script);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String =
        rules.iter().map(|r| format!("{} {}\n", hex(&r.line().unwrap()), hex(&r.name))).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let shown: Vec<_> = text.split_terminator("##\n").collect();
    assert_eq!(shown.len(), rules.len(), "{output:?}");
    for (rule, text) in rules.iter().zip(shown) {
        let entry = Entry::parse(&rule.name, text.as_bytes());
        assert!(entry.is(rule), "{rule:?}\n{text}{entry:?}");
        let back = Rule { flags: rule.flags.as_reported(), ..rule.clone() };
        assert_eq!(entry.line(), back.line());
    }
    let has =
        |what: &str, test: &dyn Fn(&Rule) -> bool| assert!(rules.iter().any(test), "no rule with {what}");
    // The generator must reach what it is for.
    has("an extension", &|r| matches!(r.matches, Match::Extension(_)));
    has("an offset", &|r| matches!(r.matches, Match::Magic { offset: 1.., .. }));
    has(
        "a magic up to the limit",
        &|r| matches!(&r.matches, Match::Magic { offset, magic, .. } if offset + magic.len() > HEAD_MAX - 8),
    );
    has("a colon in its name", &|r| r.name.contains(':'));
}
