//! The kernel's text of a handler: whatever it says is read, and what can be said in a line again is read back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qus::rule::{Entry, Match};

fuzz_target!(|data: &[u8]| {
    let entry = Entry::parse("qemu-arm", data);
    let _ = entry.matches(&data[..data.len().min(256)]);
    if let Ok(line) = entry.line() {
        // Only a path may have newlines.
        assert!(line.len() <= qus::rule::LINE_MAX && !line.replace(&entry.interpreter, "").contains('\n'));
        let delimiter = line.chars().next().unwrap();
        // The kernel splits it there: at no other place may the delimiter stand.
        assert_eq!(line.matches(delimiter).count(), 7, "{line}");
        let again = Entry::parse(&entry.name, shown(&entry).as_bytes());
        let has_mask = entry.has_mask && matches!(entry.matches, Match::Magic { .. });
        assert_eq!(again, Entry { enabled: true, has_mask, ..entry });
    }
});

/// What the kernel would show of it (fs/binfmt_misc.c, entry_status).
fn shown(entry: &Entry) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let files = match &entry.matches {
        Match::Magic { offset, magic, mask } => {
            let mask = if entry.has_mask { format!("mask {}\n", hex(mask)) } else { String::new() };
            format!("offset {offset}\nmagic {}\n{mask}", hex(magic))
        }
        Match::Extension(dot) => format!("extension .{dot}\n"),
        Match::Unknown => String::new(),
    };
    format!("enabled\ninterpreter {}\nflags: {}\n{files}", entry.interpreter, entry.flags)
}
