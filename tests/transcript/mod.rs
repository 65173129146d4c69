//! What commands print, compared whole with a file in `tests/golden/`; `BLESS=1 cargo test` rewrites the files.
//!
//! A transcript reads as a terminal does: `$` before each command, then its standard output, then its standard error with `!`
//! before each line, then its exit code if that is not 0. What differs from run to run (durations, digests, lengths of QEMU's
//! files, the versions of qus and of Linux) is replaced by a word.

#![allow(dead_code)] // not every crate of tests uses all of it

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Every registration in a sandbox has the first note, every removal the second; transcripts leave them out.
pub(crate) const NAMESPACE_NOTES: [&str; 2] = [
    "qus: note: registered for this user namespace only: other users and the host do not see these handlers; they go with its last \
     process: when the user logs out (unless `loginctl enable-linger`), and with `podman system migrate`",
    "qus: note: this user namespace still does not see the host's handlers; a new one does: `podman system migrate`, or start \
     rootless Docker again",
];

/// Commands and what they printed.
#[derive(Default)]
pub(crate) struct Transcript(String);

impl Transcript {
    /// Adds a command, as a reader would type it, and what came of it.
    pub(crate) fn add(&mut self, command: &str, output: &Output) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let end =
            output.status.code().map_or_else(|| output.status.to_string(), |code| format!("exit {code}"));
        self.tell(command, &text(&output.stdout), &text(&output.stderr), &end);
    }

    /// Adds what a command would print, and how it would end.
    pub(crate) fn tell(&mut self, command: &str, stdout: &str, stderr: &str, end: &str) {
        writeln!(self.0, "$ {}", command.trim()).unwrap();
        for line in steady(stdout).lines() {
            writeln!(self.0, "{line}").unwrap();
        }
        for line in steady(stderr).lines().filter(|line| !NAMESPACE_NOTES.contains(line)) {
            writeln!(self.0, "! {line}").unwrap();
        }
        if end != "exit 0" {
            writeln!(self.0, "{end}").unwrap();
        }
    }

    /// Compares with `tests/golden/FOLDER/TEST.txt`, or with `TEST.PART.txt` if a test has several.
    pub(crate) fn compare(&self, folder: &str, part: &str) {
        let part = if part.is_empty() { String::new() } else { format!(".{part}") };
        golden(&format!("{folder}/{}{part}.txt", this_test()), &self.0);
    }

    /// Is there such a file that begins otherwise? Whatever comes, it will differ.
    pub(crate) fn is_lost(&self, folder: &str) -> bool {
        let path = golden_path(&format!("{folder}/{}.txt", this_test()));
        std::fs::read_to_string(path).is_ok_and(|golden| !golden.starts_with(&self.0))
    }
}

/// MODULE/TEST.
fn this_test() -> String {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main");
    test.expect("golden files are found by the thread's name: --test-threads 2").replace("::", "/")
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares a text with a file in `tests/golden/`.
pub(crate) fn golden(name: &str, text: &str) {
    let path = golden_path(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    if std::fs::read_to_string(&path).is_ok_and(|golden| golden == text) {
        return;
    }
    panic!("tests/golden/{name} differs; BLESS=1 cargo test rewrites it:\n{}", diff(&path, text));
}

/// How a text differs from a file.
pub(crate) fn diff(path: &Path, text: &str) -> String {
    let mut diff = Command::new("diff")
        .args(["-uN", "--label=golden", "--label=now", "--"])
        .args([path.as_os_str(), "-".as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    diff.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8_lossy(&diff.wait_with_output().unwrap().stdout).into_owned()
}

/// The text as it is where the entrypoint was built by cargo, which tells it no commit.
fn without_revision(text: &str) -> String {
    let cut = |text: &str, before: &str, end: char, kept: &str| {
        let mut pieces = text.split(before);
        let mut out = pieces.next().unwrap_or_default().to_owned();
        pieces.for_each(|piece| {
            out += &format!("{kept}{}", piece.split_once(end).map_or(piece, |(_, rest)| rest))
        });
        out
    };
    let text = cut(text, "qus VERSION (", ')', "qus VERSION");
    cut(&text, "\"revision\": \"", '"', "\"revision\": null")
}

/// The text without what each run signs its handlers with: `qus` in hexadecimal, a byte of flags, and a nonce of four bytes.
fn without_nonces(text: &str) -> String {
    let mut pieces = text.split("717573");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_signed = piece.len() > 10 && piece.as_bytes()[..10].iter().all(u8::is_ascii_hexdigit);
        let (flags, rest) = if is_signed { (&piece[..2], &piece[10..]) } else { ("", piece) };
        write!(out, "717573{flags}{}{rest}", if is_signed { "NNNNNNNN" } else { "" }).unwrap();
    }
    out
}

/// Replaces what differs from run to run: decimal and hexadecimal numbers after certain words.
pub(crate) fn steady(text: &str) -> String {
    let text = text.replace(concat!("qus ", env!("CARGO_PKG_VERSION")), "qus VERSION");
    let text = text.replace(concat!("\"qus\": \"", env!("CARGO_PKG_VERSION")), "\"qus\": \"VERSION");
    let text = without_revision(&text);
    // Which of its variants a processor has.
    let variants = ["v2", "v3"].map(|v| [format!(" linux/amd64/{v}"), format!("    \"linux/amd64/{v}\",\n")]);
    let text = variants.iter().flatten().fold(text, |text, variant| text.replace(variant, ""));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let text = text.replace(&format!("Linux {} on ", release.trim_end()), "Linux RELEASE on ");
    let text = without_nonces(&text);
    let labels = ["runs (", "\"proof_us\": ", "bytes of at least ", "its sha256 is ", "SHA256SUMS says "];
    labels.iter().fold(text, |text, words| {
        let mut pieces = text.split(words);
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let rest = piece.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            let number = if rest.len() < piece.len() { "N" } else { "" };
            write!(out, "{words}{number}{rest}").unwrap();
        }
        out
    })
}
