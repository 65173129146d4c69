//! (asked for, registered, native) → what to do about one handler. Pure: it is told what is, and decides.

use crate::rule::{Entry, Flags, Match, Rule};

/// What to do about one handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The kernel runs these programs itself: a handler would send each of them, the host's own, through an emulator.
    LeaveToKernel,
    /// A handler of somebody else (this one) takes the same programs, and its interpreter isn't a QEMU: Rosetta, FEX, box64.
    LeaveTo(String),
    /// The same handler is there, or one that does more.
    Keep,
    /// Nothing of that name is there.
    Register,
    /// Another handler of that name is there: ours take its place, once it is known to work.
    Replace(Entry),
}

/// What may give way to a handler that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overwrite {
    /// Handlers of other makers.
    pub force: bool,
    /// The same handler.
    pub replace: bool,
}

/// Decides about `rule`, where the `entries` are registered, and the kernel runs such programs itself (`native`).
///
/// With `force`, handlers of other makers are overridden (not removed: the one that was registered last is used), and one of
/// ours that does more than was asked for is replaced; with `replace`, every one of ours is.
#[must_use]
pub fn action(rule: &Rule, entries: &[Entry], native: bool, how: Overwrite) -> Action {
    if native {
        return Action::LeaveToKernel;
    }
    let competitor = entries
        .iter()
        .find(|e| e.enabled && e.name != rule.name && overlap(&e.matches, &rule.matches) && !is_qemu(e));
    if let Some(other) = competitor.filter(|_| !how.force) {
        return Action::LeaveTo(other.name.clone());
    }
    match entries.iter().find(|e| e.name == rule.name) {
        None => Action::Register,
        Some(e) if !how.replace && (e.is(rule) || (!how.force && does_more(e, rule))) => Action::Keep,
        Some(e) => Action::Replace(e.clone()),
    }
}

/// Is this a handler that works everywhere, where one was asked for that only names a path? Nobody wants to lose it for that.
fn does_more(entry: &Entry, rule: &Rule) -> bool {
    let is_fixed = Flags::parse(&entry.flags).fix_binary;
    entry.enabled && is_qemu(entry) && is_fixed && !rule.flags.fix_binary && entry.matches == rule.matches
}

/// Is its interpreter a QEMU? RanBy the name of its file, whatever the handler is called.
#[must_use]
pub fn is_qemu(entry: &Entry) -> bool {
    entry.interpreter.rsplit('/').next().is_some_and(|file| file.starts_with("qemu"))
}

/// Is there a file that both take?
#[must_use]
pub fn overlap(a: &Match, b: &Match) -> bool {
    let (Match::Magic { offset: i, magic: am, mask: ak }, Match::Magic { offset: j, magic: bm, mask: bk }) =
        (a, b)
    else {
        return false;
    };
    let byte = |offset: usize, magic: &[u8], mask: &[u8], at: usize| {
        let k = at.checked_sub(offset)?;
        Some((*magic.get(k)?, *mask.get(k)?))
    };
    (0..(i + am.len()).max(j + bm.len())).all(|at| match (byte(*i, am, ak, at), byte(*j, bm, bk, at)) {
        (Some((x, xm)), Some((y, ym))) => (x ^ y) & xm & ym == 0,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ARCHES, named};

    const PLAIN: Overwrite = Overwrite { force: false, replace: false };
    const FORCE: Overwrite = Overwrite { force: true, replace: false };
    const REPLACE: Overwrite = Overwrite { force: false, replace: true };

    fn rule(name: &str, interpreter: &str) -> Rule {
        let arch = named(name).next().unwrap();
        Rule {
            name: arch.entry(),
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
        }
    }

    #[test]
    fn what_runs_natively_is_never_registered() {
        let r = rule("x86_64", "/q/qemu-x86_64-static");
        assert_eq!(action(&r, &[], true, FORCE), Action::LeaveToKernel);
        assert_eq!(action(&r, &[entry(&r)], true, PLAIN), Action::LeaveToKernel);
    }

    #[test]
    fn the_same_handler_is_kept_and_another_of_its_name_replaced() {
        let r = rule("arm", "/q/qemu-arm-static");
        assert_eq!(action(&r, &[], false, PLAIN), Action::Register);
        assert_eq!(action(&r, &[entry(&r)], false, PLAIN), Action::Keep);
        let stale = entry(&rule("arm", "/usr/bin/qemu-arm"));
        assert_eq!(action(&r, std::slice::from_ref(&stale), false, PLAIN), Action::Replace(stale));
        let by_path = Rule { flags: Flags::default(), ..rule("arm", "/usr/bin/qemu-arm") };
        assert_eq!(action(&by_path, &[entry(&r)], false, PLAIN), Action::Keep);
        assert_eq!(action(&by_path, &[entry(&r)], false, FORCE), Action::Replace(entry(&r)));
        assert_eq!(action(&by_path, &[entry(&r)], false, REPLACE), Action::Replace(entry(&r)));
        assert_eq!(action(&r, &[entry(&r)], false, FORCE), Action::Keep);
        assert_eq!(action(&r, &[entry(&r)], false, REPLACE), Action::Replace(entry(&r)));
        assert_eq!(action(&r, &[entry(&r)], true, REPLACE), Action::LeaveToKernel);
        let disabled = Entry { enabled: false, ..entry(&r) };
        assert_eq!(action(&r, std::slice::from_ref(&disabled), false, PLAIN), Action::Replace(disabled));
    }

    #[test]
    fn another_makers_interpreter_is_left_alone_unless_forced() {
        let r = rule("x86_64", "/q/qemu-x86_64-static");
        let rosetta =
            Entry { name: "rosetta".to_owned(), interpreter: "/mnt/rosetta".to_owned(), ..entry(&r) };
        assert_eq!(
            action(&r, std::slice::from_ref(&rosetta), false, PLAIN),
            Action::LeaveTo("rosetta".to_owned())
        );
        assert_eq!(action(&r, std::slice::from_ref(&rosetta), false, FORCE), Action::Register);
        assert_eq!(
            action(&r, std::slice::from_ref(&rosetta), false, REPLACE),
            Action::LeaveTo("rosetta".to_owned())
        );
        assert_eq!(action(&rule("arm", "/q"), &[rosetta], false, PLAIN), Action::Register);
        let distribution = Entry {
            name: "qemu-x86".to_owned(),
            interpreter: "/usr/bin/qemu-x86_64".to_owned(),
            ..entry(&r)
        };
        assert_eq!(action(&r, &[distribution], false, PLAIN), Action::Register);
    }

    #[test]
    fn rows_overlap_only_with_themselves_and_a_broad_pattern_with_all() {
        let elf = Match::Magic { offset: 0, magic: b"\x7fELF".to_vec(), mask: vec![0xff; 4] };
        let behind = Match::Magic { offset: 1, magic: b"EXE".to_vec(), mask: vec![0xff; 3] };
        for a in ARCHES {
            let of_a: Match = (&a.pattern).into();
            assert!(overlap(&of_a, &elf) && !overlap(&of_a, &behind));
            for b in ARCHES {
                assert_eq!(overlap(&of_a, &(&b.pattern).into()), a.name == b.name);
            }
        }
    }
}
