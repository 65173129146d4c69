//! The table of architectures against what others say: QEMU's own rows, and the headers of real files.
//!
//! `tests/data/` holds both; its README says how it is refreshed. A difference from upstream is listed in [`DEPARTURES`] with its
//! reason, byte by byte; one that is not listed, and one that is listed but gone, fail.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::collections::BTreeMap;

use qus::arch::{ARCHES, named};
use qus::rule::{Entry, Match};

/// The offset of a byte, then (magic, mask) upstream and here. A pattern continues with zeros.
type Difference = (usize, (u8, u8), (u8, u8));

/// A deliberate difference, and the targets that have it.
struct Departure {
    why: &'static str,
    differences: &'static [Difference],
    targets: &'static str,
}

/// The targets whose upstream row compares `EI_ABIVERSION` (byte 8).
const WITH_ABI_VERSION: &str = "aarch64 aarch64_be alpha arm armeb hexagon hppa i386 m68k microblaze microblazeel or1k ppc \
    ppc64 ppc64le riscv32 riscv64 s390x sh4 sh4eb sparc sparc32plus sparc64 x86_64 xtensa xtensaeb";

const DEPARTURES: &[Departure] = &[
    Departure {
        why: "bytes 9 to 15 of e_ident: the kernel's ELF loader ignores them, and AppImages have something there",
        differences: &[
            (9, (0, 0xff), (0, 0)),
            (10, (0, 0xff), (0, 0)),
            (11, (0, 0xff), (0, 0)),
            (12, (0, 0xff), (0, 0)),
            (13, (0, 0xff), (0, 0)),
            (14, (0, 0xff), (0, 0)),
            (15, (0, 0xff), (0, 0)),
        ],
        targets: "all",
    },
    Departure {
        why: "EI_ABIVERSION, for the same reason: AppImages have an A there",
        differences: &[(8, (0, 0xff), (0, 0))],
        targets: WITH_ABI_VERSION,
    },
    Departure {
        why: "EI_OSABI: upstream takes 0 to 3 only; the kernel's ELF loader takes FreeBSD's 9 and ARM's 97 as well",
        differences: &[(7, (0, 0xfc), (0, 0))],
        targets: "i386 loongarch64 ppc ppc64 ppc64le s390x sh4 sh4eb sparc sparc32plus sparc64 x86_64",
    },
    Departure {
        why: "EI_DATA and EI_VERSION: upstream also takes 0, which no linker writes",
        differences: &[(5, (1, 0xfe), (1, 0xff)), (6, (1, 0xfe), (1, 0xff))],
        targets: "i386 x86_64",
    },
    Departure {
        why: "the high byte of e_machine: upstream takes 256 machines for ppc64le",
        differences: &[(19, (0, 0), (0, 0xff))],
        targets: "ppc64le",
    },
    Departure {
        why: "e_version: the kernel's ELF loader ignores it, and no other row compares it",
        differences: &[
            (20, (0, 0xff), (0, 0)),
            (21, (0, 0xff), (0, 0)),
            (22, (0, 0xff), (0, 0)),
            (23, (1, 0xff), (1, 0)),
        ],
        targets: "mips mipsn32",
    },
    Departure {
        why: "e_version, little-endian",
        differences: &[
            (20, (1, 0xff), (1, 0)),
            (21, (0, 0xff), (0, 0)),
            (22, (0, 0xff), (0, 0)),
            (23, (0, 0xff), (0, 0)),
        ],
        targets: "mipsel mipsn32el",
    },
    Departure {
        why: "e_machine: the row of that name is for the official number, 189; upstream's 0xbaab has a row of its own",
        differences: &[(18, (0xba, 0xff), (0, 0xff)), (19, (0xab, 0xff), (189, 0xff))],
        targets: "microblaze",
    },
    Departure {
        why: "the same, little-endian",
        differences: &[(18, (0xab, 0xff), (189, 0xff)), (19, (0xba, 0xff), (0, 0xff))],
        targets: "microblazeel",
    },
];

/// The rows that upstream has not got.
const OURS_ALONE: [&str; 3] = ["i486", "microblaze-baab", "microblazeel-baab"];

const UPSTREAM: &str = include_str!("data/qemu-user.binfmt.conf");
const HEADERS: &str = include_str!("data/elf-headers.tsv");

fn rows(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.starts_with('#') && !l.is_empty())
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// QEMU's rows: name, magic, mask.
fn upstream() -> BTreeMap<&'static str, (Vec<u8>, Vec<u8>)> {
    rows(UPSTREAM)
        .map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let ["", name, "M", "", magic, mask, interpreter, _flags] = fields[..] else { panic!("{line}") };
            let name = name.strip_prefix("qemu-").unwrap();
            assert_eq!(interpreter, format!("/usr/bin/qemu-{name}"));
            (name, (unhex(&magic.replace("\\x", "")), unhex(&mask.replace("\\x", ""))))
        })
        .collect()
}

/// Where two patterns differ. What a mask hides is no difference, but the mask is.
fn compare(theirs: (&[u8], &[u8]), ours: (&[u8], &[u8])) -> Vec<Difference> {
    let at = |(magic, mask): (&[u8], &[u8]), i: usize| {
        (magic.get(i).copied().unwrap_or(0), mask.get(i).copied().unwrap_or(0))
    };
    let differs = |(a, am): (u8, u8), (b, bm): (u8, u8)| am != bm || (a ^ b) & am != 0;
    (0..theirs.0.len().max(ours.0.len()))
        .filter(|&i| differs(at(theirs, i), at(ours, i)))
        .map(|i| (i, at(theirs, i), at(ours, i)))
        .collect()
}

#[test]
fn every_difference_from_qemus_rows_has_a_reason() {
    let upstream = upstream();
    let mut wrong = Vec::new();
    for (name, (magic, mask)) in &upstream {
        let ours = ARCHES.iter().find(|a| a.name == *name).unwrap_or_else(|| panic!("no row {name}"));
        let mut found = compare((magic, mask), (ours.pattern.magic(), ours.pattern.mask()));
        let applies = |d: &&Departure| d.targets == "all" || d.targets.split_whitespace().any(|t| t == *name);
        for departure in DEPARTURES.iter().filter(applies) {
            for listed in departure.differences {
                match found.iter().position(|f| f == listed) {
                    Some(at) => drop(found.swap_remove(at)),
                    None => {
                        wrong.push(format!("{name}: listed but not found ({}): {listed:x?}", departure.why))
                    }
                }
            }
        }
        wrong.extend(found.iter().map(|f| format!("{name}: not listed (byte, theirs, ours): {f:x?}")));
    }
    assert!(wrong.is_empty(), "fix the table or DEPARTURES:\n{}", wrong.join("\n"));
    let only_ours: Vec<_> = ARCHES.iter().map(|a| a.name).filter(|n| !upstream.contains_key(n)).collect();
    assert_eq!(only_ours, OURS_ALONE);
}

#[test]
fn rows_that_qemu_lacks_differ_only_in_the_machine_number() {
    for (ours, near) in
        [("i486", "i386"), ("microblaze-baab", "microblaze"), ("microblazeel-baab", "microblazeel")]
    {
        let row = |name: &str| &ARCHES.iter().find(|a| a.name == name).unwrap().pattern;
        let (a, b) = (row(ours), row(near));
        let at: Vec<_> =
            compare((a.magic(), a.mask()), (b.magic(), b.mask())).into_iter().map(|d| d.0).collect();
        assert!(!at.is_empty() && at.iter().all(|i| [18, 19].contains(i)), "{ours}: {at:?}");
    }
    let upstream = upstream();
    for name in ["microblaze", "microblazeel"] {
        let ours = named(name).find(|a| a.name.ends_with("-baab")).unwrap();
        assert_eq!(ours.pattern.magic()[16..20], upstream[name].0[16..20], "{name}");
    }
}

#[test]
fn every_real_header_is_taken_by_its_own_row_and_no_other() {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in rows(HEADERS) {
        let fields: Vec<_> = line.split('\t').collect();
        let [target, kind, _, package, _, path, _, header] = fields[..] else { panic!("{line}") };
        let header = unhex(header);
        let takers: Vec<_> =
            ARCHES.iter().filter(|a| a.pattern.matches(&header)).map(|a| (a.name, a.emulator)).collect();
        let right = match takers[..] {
            [] => target == "-",
            [(name, emulator)] => {
                *seen.entry(name).or_default() += 1;
                emulator == target
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{package} {path} ({kind}) is for {target}, and is taken by {takers:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unseen: Vec<_> = ARCHES.iter().map(|a| a.name).filter(|n| !seen.contains_key(n)).collect();
    assert!(unseen.is_empty(), "no header in tests/data/elf-headers.tsv is of: {unseen:?}");
    assert!(rows(HEADERS).filter(|l| l.starts_with("-\t")).count() > 10, "the negative samples are gone");
}

#[test]
fn the_kernels_text_of_a_pattern_takes_what_the_pattern_takes() {
    for line in rows(HEADERS) {
        let header = unhex(line.rsplit('\t').next().unwrap());
        for arch in ARCHES {
            let entry = Entry {
                name: arch.handler_name(),
                enabled: true,
                interpreter: String::new(),
                flags: String::new(),
                matches: Match::from(&arch.pattern),
                has_mask: true,
            };
            assert_eq!(entry.matches(&header), arch.pattern.matches(&header), "{} {line}", arch.name);
        }
    }
}
