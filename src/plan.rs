//! (requested, registered, native) → what to do about one handler. Pure.

use crate::elf::PADDING;
use crate::rule::{Entry, Flags, Match, Rule};

/// What to do about one handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The kernel runs these programs natively: a handler would send all of them, the host's own, through an emulator.
    LeaveToKernel,
    /// A third-party handler (this one) runs them, and its interpreter isn't a QEMU: Rosetta, FEX, box64.
    LeaveTo(Entry),
    /// This handler is as requested, or does more. It is kept if it works.
    Keep(Entry),
    /// No handler has that name.
    Register,
    /// This handler of that name is replaced once the new one works.
    Replace(Entry),
}

/// Which handlers may be overridden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overwrite {
    /// Third-party handlers, and those that do more than requested.
    pub force: bool,
    /// Those that are as requested.
    pub replace: bool,
}

/// Decides about `rule`, given the registered `entries`, and whether the kernel runs such programs itself (`native`).
///
/// With `force`, third-party handlers are overridden (not removed: the kernel uses the one that was registered last), and a
/// handler of that name that does more than requested is replaced; with `replace`, any of that name is.
pub(crate) fn action(rule: &Rule, entries: &[Entry], native: bool, how: Overwrite) -> Action {
    if native {
        return Action::LeaveToKernel;
    }
    let there = entries.iter().find(|e| e.name == rule.name);
    // A probe shows whether it precedes a third-party one.
    let keeps = |e: &Entry| !how.replace && (e.is(rule) || !how.force && does_more(e, rule));
    match there {
        Some(e) if keeps(e) => Action::Keep(e.clone()),
        _ => match (third_party(rule, entries), there) {
            (Some(other), _) if !how.force => Action::LeaveTo(other.clone()),
            (_, None) => Action::Register,
            (_, Some(e)) => Action::Replace(e.clone()),
        },
    }
}

/// The third-party handler that takes every program that `rule` takes.
pub(crate) fn third_party<'a>(rule: &Rule, entries: &'a [Entry]) -> Option<&'a Entry> {
    entries.iter().find(|e| is_rival(e, rule) && covers(&e.matches, &rule.matches))
}

/// The third-party handlers that take some of the programs that `rule` takes.
pub(crate) fn partial<'a>(rule: &'a Rule, entries: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
    entries.iter().filter(|e| {
        is_rival(e, rule) && overlaps(&e.matches, &rule.matches) && !covers(&e.matches, &rule.matches)
    })
}

fn is_rival(entry: &Entry, rule: &Rule) -> bool {
    entry.enabled && entry.name != rule.name && !entry.is_qemu() && entry.signature().is_none()
}

/// Does the entry have flag F, while the rule only names a path? Replacing it would break containers.
fn does_more(entry: &Entry, rule: &Rule) -> bool {
    let is_fixed = Flags::parse(&entry.flags).fix_binary;
    let takes_all = covers(&entry.matches, &rule.matches);
    entry.enabled && is_fixed && !rule.flags.fix_binary && takes_all
}

/// The byte at an offset in a file, and the bits of it that are compared.
fn compared(matches: &Match, at: usize) -> (u8, u8) {
    let Match::Magic { offset, magic, mask } = matches else { return (0, 0) };
    let found = at.checked_sub(*offset).and_then(|i| Some((*magic.get(i)?, *mask.get(i)?)));
    found.unwrap_or((0, 0))
}

fn end(matches: &Match) -> usize {
    if let Match::Magic { offset, magic, .. } = matches { offset + magic.len() } else { 0 }
}

/// Does `a` take every ordinary program that `b` takes? In ordinary programs, the padding of `e_ident` is zero, as the ABI
/// requires, but not in AppImages.
pub(crate) fn covers(a: &Match, b: &Match) -> bool {
    let (Match::Magic { .. }, Match::Magic { .. }) = (a, b) else { return false };
    (0..end(a)).all(|at| {
        let ((want, bits), (value, known)) = (compared(a, at), compared(b, at));
        let known = if PADDING.contains(&at) { 0xff } else { known };
        let value = if PADDING.contains(&at) { 0 } else { value };
        bits & !known == 0 && (want ^ value) & bits == 0
    })
}

/// Is there a file that both take?
pub(crate) fn overlaps(a: &Match, b: &Match) -> bool {
    let (Match::Magic { .. }, Match::Magic { .. }) = (a, b) else { return false };
    (0..end(a).max(end(b))).all(|at| {
        let ((x, xm), (y, ym)) = (compared(a, at), compared(b, at));
        (x ^ y) & xm & ym == 0
    })
}

/// Does anything other than qus hold this binfmt_misc? Other entries show that, unless they came while anchors of qus held it.
pub(crate) fn is_held_by_others(entries: &[Entry]) -> bool {
    let mut anchors = entries.iter().filter_map(Entry::signature).filter(|s| s.anchored).peekable();
    match anchors.peek() {
        Some(_) => anchors.any(|s| s.joined),
        None => !entries.is_empty(),
    }
}

/// Would binfmt_misc vanish with these handlers, and with it those that are `left`? Their trees may be all that holds it.
pub(crate) fn depends_on(removed: &[&Entry], left: &[&Entry]) -> bool {
    let anchors =
        |entries: &[&Entry]| entries.iter().filter_map(|e| e.signature()).filter(|s| s.anchored).count();
    let joined = removed.iter().filter_map(|e| e.signature()).any(|s| s.joined);
    anchors(removed) > 0 && anchors(left) == 0 && !joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ARCHES, named};
    use crate::rule::Signature;

    const PLAIN: Overwrite = Overwrite { force: false, replace: false };
    const FORCE: Overwrite = Overwrite { force: true, replace: false };
    const REPLACE: Overwrite = Overwrite { force: false, replace: true };

    fn rule(name: &str, interpreter: &str) -> Rule {
        let arch = named(name).next().unwrap();
        Rule {
            name: arch.handler_name(),
            matches: (&arch.pattern).into(),
            interpreter: interpreter.to_owned(),
            flags: Flags { fix_binary: true, ..Flags::default() },
        }
    }

    fn entry(rule: &Rule) -> Entry {
        Entry {
            name: rule.name.clone(),
            enabled: true,
            interpreter: rule.interpreter.clone(),
            flags: rule.flags.to_string(),
            matches: rule.matches.clone(),
            has_mask: true,
        }
    }

    fn other(name: &str, offset: usize, magic: &[u8], mask: &[u8]) -> Entry {
        let matches = Match::Magic { offset, magic: magic.to_vec(), mask: mask.to_vec() };
        Entry { name: name.into(), matches, interpreter: format!("/opt/{name}"), ..entry(&rule("arm", "/q")) }
    }

    #[test]
    fn native_targets_are_never_registered() {
        let r = rule("x86_64", "/q/qemu-x86_64-static");
        assert_eq!(action(&r, &[], true, FORCE), Action::LeaveToKernel);
        assert_eq!(action(&r, &[entry(&r)], true, REPLACE), Action::LeaveToKernel);
    }

    #[test]
    fn the_same_handler_is_kept_and_another_of_its_name_replaced() {
        let r = rule("arm", "/q/qemu-arm-static");
        let ours = entry(&r.signed(Signature {
            anchored: true,
            joined: false,
            held: false,
            clean: false,
            nonce: *b"abcd",
        }));
        let kept = Action::Keep(ours.clone());
        let there = std::slice::from_ref(&ours);
        assert_eq!(action(&r, &[], false, PLAIN), Action::Register);
        assert_eq!(action(&r, there, false, PLAIN), kept, "signed or not, it is the same");
        assert_eq!(action(&r, there, false, FORCE), kept);
        assert_eq!(action(&r, there, false, REPLACE), Action::Replace(ours.clone()));
        let stale = entry(&rule("arm", "/usr/bin/qemu-arm"));
        assert_eq!(action(&r, std::slice::from_ref(&stale), false, PLAIN), Action::Replace(stale));
        let by_path = Rule { flags: Flags::default(), ..rule("arm", "/usr/bin/qemu-arm") };
        assert_eq!(action(&by_path, there, false, PLAIN), kept, "it does more");
        assert_eq!(action(&by_path, there, false, FORCE), Action::Replace(ours.clone()));
        assert_eq!(action(&by_path, there, false, REPLACE), Action::Replace(ours.clone()));
        let disabled = Entry { enabled: false, ..ours };
        assert_eq!(action(&r, std::slice::from_ref(&disabled), false, PLAIN), Action::Replace(disabled));
    }

    #[test]
    fn a_path_does_not_replace_a_handler_with_flag_f() {
        let by_path = Rule { flags: Flags::default(), ..rule("aarch64", "/q/qemu-aarch64-static") };
        let mut theirs = entry(&rule("aarch64", "/usr/libexec/qemu-binfmt/aarch64-binfmt-P"));
        let Match::Magic { mask, .. } = &mut theirs.matches else { unreachable!() };
        mask[PADDING].fill(0xff);
        assert_eq!(action(&by_path, std::slice::from_ref(&theirs), false, PLAIN), Action::Keep(theirs));
    }

    #[test]
    fn a_third_party_handler_is_left_alone_unless_forced() {
        let r = rule("x86_64", "/q/qemu-x86_64-static");
        let rosetta =
            Entry { name: "rosetta".to_owned(), interpreter: "/mnt/rosetta".to_owned(), ..entry(&r) };
        let there = std::slice::from_ref(&rosetta);
        assert_eq!(action(&r, there, false, PLAIN), Action::LeaveTo(rosetta.clone()));
        assert_eq!(action(&r, there, false, FORCE), Action::Register);
        assert_eq!(action(&r, there, false, REPLACE), Action::LeaveTo(rosetta.clone()));
        assert_eq!(action(&rule("arm", "/q"), there, false, PLAIN), Action::Register);
        let both = [entry(&r), rosetta];
        assert_eq!(action(&r, &both, false, PLAIN), Action::Keep(entry(&r)), "a probe shows which is first");
        let distribution = Entry {
            name: "qemu-x86".to_owned(),
            interpreter: "/usr/bin/qemu-x86_64".to_owned(),
            ..entry(&r)
        };
        assert_eq!(action(&r, &[distribution], false, PLAIN), Action::Register);
    }

    #[test]
    fn only_a_handler_of_all_ordinary_programs_is_a_rival() {
        let r = rule("x86_64", "/q/qemu-x86_64-static");
        let header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
        let with = |at: usize, value: u8, bits: u8| {
            let (mut magic, mut mask) =
                (header.to_vec(), b"\xff\xff\xff\xff\xff\xfe\xfe\0\0\0\0\0\0\0\0\0\xfe\xff\xff\xff".to_vec());
            (magic[at], mask[at]) = (value, bits);
            other("x", 0, &magic, &mask)
        };
        let appimage = b"\x7fELF\x02\x01\x01\0AI\x02\0\0\0\0\0\x02\0\x3e\0";
        for (what, all, entry) in [
            ("box64", true, with(15, 0, 0)),
            ("FEX", true, with(11, 0, 0xff)),
            ("PIE or not", false, with(16, 2, 0xff)),
            ("SysV only", false, with(7, 0, 0xff)),
            ("AppImages by their mark", false, other("x", 8, b"AI\x02", &[0xff; 3])),
            ("AppImages by the whole header", false, other("x", 0, appimage, &[0xff; 20])),
            ("DICOM", false, other("x", 128, b"DICM", &[0xff; 4])),
            ("all ELF files", true, other("x", 0, b"\x7fELF", &[0xff; 4])),
            ("EXE after a byte", false, other("x", 1, b"EXE", &[0xff; 3])),
        ] {
            let entries = [entry];
            assert_eq!(third_party(&r, &entries).is_some(), all, "{what}");
            let overlaps = overlaps(&entries[0].matches, &r.matches);
            assert_eq!(partial(&r, &entries).next().is_some(), overlaps && !all, "{what}");
        }
    }

    #[test]
    fn rows_overlap_only_with_themselves() {
        for a in ARCHES {
            let of_a: Match = (&a.pattern).into();
            for b in ARCHES {
                let of_b: Match = (&b.pattern).into();
                assert_eq!(
                    (overlaps(&of_a, &of_b), covers(&of_a, &of_b)),
                    (a.name == b.name, a.name == b.name)
                );
            }
        }
    }
}
