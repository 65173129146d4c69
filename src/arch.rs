//! The table of architectures, checked at compile time.
//!
//! A row has the facts of an ELF header ([`crate::elf`] makes magic and mask of them), the emulator, and all names in use.
//! Nothing else in qus knows an architecture. Microblaze has two rows for each byte order, as two machine numbers are in use
//! (QEMU registers only the unofficial 0xbaab).

use crate::elf::Class::{self, Elf32, Elf64};
use crate::elf::Data::{self, Lsb, Msb};
use crate::elf::{Flags, Machine, Pattern};

/// An architecture.
#[derive(Debug)]
pub struct Arch {
    /// The name of the row; its handler is `qemu-NAME`.
    pub name: &'static str,
    /// The target: [`Arch::name`], or that of the row which this is a second pattern for.
    pub target: &'static str,
    /// The emulator: `qemu-EMULATOR`.
    pub emulator: &'static str,
    /// The family in QEMU's script, which skips that of the host.
    pub family: &'static str,
    /// OCI platforms, the one to print first.
    pub platforms: &'static [&'static str],
    /// Other names, separated by spaces: of distributions, compilers, kernels, images.
    pub aliases: &'static str,
    /// `e_ident[EI_CLASS]`, `e_ident[EI_DATA]`, `e_machine`.
    pub machine: (Class, Data, u16),
    /// Magic and mask.
    pub pattern: Pattern,
}

/// `EF_MIPS_ABI2` in `e_flags`: the n32 ABI, otherwise the same as o32.
const EF_MIPS_ABI2: u32 = 0x20;

const fn arch(name: &'static str, class: Class, data: Data, machine: u16) -> Arch {
    Arch {
        name,
        target: name,
        emulator: name,
        family: name,
        platforms: &[],
        aliases: "",
        machine: (class, data, machine),
        pattern: Pattern::of(class, data, machine, None),
    }
}

impl Arch {
    const fn family(mut self, family: &'static str) -> Self {
        self.family = family;
        self
    }

    const fn oci(mut self, platforms: &'static [&'static str]) -> Self {
        self.platforms = platforms;
        self
    }

    const fn aka(mut self, aliases: &'static str) -> Self {
        self.aliases = aliases;
        self
    }

    const fn run_by(mut self, emulator: &'static str) -> Self {
        self.emulator = emulator;
        self
    }

    /// Makes it a second pattern of `target`.
    const fn also(mut self, target: &'static str) -> Self {
        self.target = target;
        self.emulator = target;
        self.family = target;
        self
    }

    const fn mips_abi2(mut self, on: bool) -> Self {
        let (class, data, machine) = self.machine;
        let value = if on { EF_MIPS_ABI2 } else { 0 };
        self.pattern = Pattern::of(class, data, machine, Some(Flags { mask: EF_MIPS_ABI2, value }));
        self
    }

    /// The name of its handler.
    #[must_use]
    pub fn handler_name(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// Class, byte order and machine of its programs.
    #[must_use]
    pub const fn machine_bytes(&self) -> Machine {
        (self.machine.0 as u8, self.machine.1 as u8, self.machine.2)
    }

    /// All names of the target; platforms without `linux/`.
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let platforms = self.platforms.iter().filter_map(|p| p.strip_prefix(LINUX));
        std::iter::once(self.target).chain(self.aliases.split_ascii_whitespace()).chain(platforms)
    }
}

/// The prefix of OCI platforms, which may precede any name.
const LINUX: &str = "linux/";

/// The prefix of handlers' names. qus never touches others.
pub const PREFIX: &str = "qemu-";

/// Every row, sorted by name.
#[rustfmt::skip]
pub static ARCHES: &[Arch] = &[
    //   name             class  data  e_machine
    arch("aarch64",       Elf64, Lsb,    183).family("arm").oci(&["linux/arm64", "linux/arm64/v8"])
                                             .aka("arm64v8 armv8 armv8a armv8-a armv9 armv9a arm64/v9"),
    arch("aarch64_be",    Elf64, Msb,    183).family("armeb").oci(&["linux/arm64be"]).aka("arm64_be"),
    arch("alpha",         Elf64, Lsb, 0x9026).aka("alphaev56 alphaev6 alphaev67"),
    arch("arm",           Elf32, Lsb,     40).oci(&["linux/arm", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"])
                                             .aka("arm/v8 aarch32 arm32 arm32v5 arm32v6 arm32v7 armel armhf armhfp \
                                                   armv4t armv4tl armv5 armv5l armv5te armv5tel armv5tejl armv5tl \
                                                   armv6 armv6h armv6hl armv6j armv6k armv6kz armv6l armv7 armv7a armv7-a \
                                                   armv7h armv7hf armv7hl armv7hnl armv7l armv7r armv8l armv8hl armv8hnl thumbv7neon"),
    arch("armeb",         Elf32, Msb,     40).oci(&["linux/armbe"]).aka("armv4b armv5b armv5teb armv6b armv7b armv8b"),
    arch("hexagon",       Elf32, Lsb,    164),
    arch("hppa",          Elf32, Msb,     15).aka("parisc parisc64 hppa1.1 hppa2.0"),
    arch("i386",          Elf32, Lsb,      3).oci(&["linux/386"]).aka("i586 i686 i786 ia32 x86 x86_32 x86-32"),
    arch("i486",          Elf32, Lsb,      6).family("i386").run_by("i386"),
    arch("loongarch64",   Elf64, Lsb,    258).family("loongarch").oci(&["linux/loong64"]).aka("loong loongarch"),
    arch("m68k",          Elf32, Msb,      4),
    arch("microblaze",    Elf32, Msb,    189),
    arch("microblaze-baab", Elf32, Msb, 0xbaab).also("microblaze"),
    arch("microblazeel",  Elf32, Lsb,    189),
    arch("microblazeel-baab", Elf32, Lsb, 0xbaab).also("microblazeel"),
    arch("mips",          Elf32, Msb,      8).mips_abi2(false).oci(&["linux/mips"]).aka("mips32 mipsbe mipseb mipsr6 mipsisa32r6"),
    arch("mips64",        Elf64, Msb,      8).family("mips").oci(&["linux/mips64"]).aka("mips64eb mips64r6 mipsisa64r6"),
    arch("mips64el",      Elf64, Lsb,      8).family("mips").oci(&["linux/mips64le"]).aka("mips64r6el mipsisa64r6el"),
    arch("mipsel",        Elf32, Lsb,      8).mips_abi2(false).family("mips").oci(&["linux/mipsle"]).aka("mips32el mipsr6el mipsisa32r6el"),
    arch("mipsn32",       Elf32, Msb,      8).mips_abi2(true).family("mips").aka("mips64p32 mipsn32r6"),
    arch("mipsn32el",     Elf32, Lsb,      8).mips_abi2(true).family("mips").aka("mips64p32le mipsn32r6el"),
    arch("or1k",          Elf32, Msb,     92).aka("openrisc"),
    arch("ppc",           Elf32, Msb,     20).aka("ppc32 powerpc"),
    arch("ppc64",         Elf64, Msb,     21).family("ppc").oci(&["linux/ppc64"]).aka("powerpc64 ppc64p7"),
    arch("ppc64le",       Elf64, Lsb,     21).family("ppcle").oci(&["linux/ppc64le"]).aka("ppc64el powerpc64el powerpc64le"),
    arch("riscv32",       Elf32, Lsb,    243).family("riscv").aka("rv32 rv32gc riscv32gc"),
    arch("riscv64",       Elf64, Lsb,    243).family("riscv").oci(&["linux/riscv64"]).aka("rv64 rv64gc riscv64gc"),
    arch("s390x",         Elf64, Msb,     22).oci(&["linux/s390x"]).aka("systemz"),
    arch("sh4",           Elf32, Lsb,     42).aka("sh4a sh4le"),
    arch("sh4eb",         Elf32, Msb,     42).aka("sh4aeb"),
    arch("sparc",         Elf32, Msb,      2).aka("sparc32"),
    arch("sparc32plus",   Elf32, Msb,     18).family("sparc").aka("sparcv8plus"),
    arch("sparc64",       Elf64, Msb,     43).family("sparc").oci(&["linux/sparc64"]),
    arch("x86_64",        Elf64, Lsb,     62).family("i386").oci(&["linux/amd64", "linux/amd64/v1", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4"])
                                             .aka("x64 x86-64 x86_64_v2 x86_64_v3 x86_64_v4 x86-64-v2 x86-64-v3 x86-64-v4 x86_64-v2 x86_64-v3 x86_64-v4 amd64v2 amd64v3 amd64v4 ia32e"),
    arch("xtensa",        Elf32, Lsb,     94),
    arch("xtensaeb",      Elf32, Msb,     94),
];

const _: () = {
    let mut i = 0;
    while i < ARCHES.len() {
        assert!(ARCHES[i].pattern.requires_elf(), "a row would match files that are not ELF");
        assert!(
            i == 0 || before(ARCHES[i - 1].name, ARCHES[i].name),
            "the rows are not sorted by name, or one is there twice"
        );
        let mut j = 0;
        while j < i {
            assert!(!ARCHES[i].pattern.overlaps(&ARCHES[j].pattern), "two rows claim the same program");
            j += 1;
        }
        i += 1;
    }
};

/// Compares strings in a `const`.
const fn before(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() {
        if a[i] != b[i] {
            return a[i] < b[i];
        }
        i += 1;
    }
    a.len() < b.len()
}

/// The rows of the target with that name, if any.
///
/// Names are those of QEMU (`aarch64`), OCI (`linux/arm64`, `arm/v7`, `386`), Debian (`armhf`, `ppc64el`), RPM (`armv7hl`),
/// Docker's official images (`arm64v8`), compilers (`riscv64gc`, `aarch64-linux-gnu`) and uname (`armv7l`), in any case, and `linux/`
/// may precede each. Names of handlers (`qemu-arm`) and emulators (`qemu-arm-static`) work as well.
pub fn named(name: &str) -> impl Iterator<Item = &'static Arch> + use<> {
    let name = bare(name);
    let target = ARCHES.iter().find(|a| a.name == name || a.names().any(|n| n == name)).map(|a| a.target);
    ARCHES.iter().filter(move |a| Some(a.target) == target)
}

/// The name without `qemu-`, `-static` or `linux/`; of a triple, the architecture.
fn bare(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix(LINUX).unwrap_or(&name);
    let emulator = name.strip_prefix(PREFIX).map(|name| name.strip_suffix("-static").unwrap_or(name));
    emulator.unwrap_or_else(|| of_triple(name).unwrap_or(name)).to_owned()
}

/// The architecture of a triple (`aarch64-unknown-linux-gnu`), or of what Nix calls a system (`aarch64-linux`).
///
/// Where the ABI makes another target of it (`gnuabin32`) or none (`gnux32`), it stays unknown; so does MIPS of 64 bits, whose default
/// is n32 for some, n64 for others.
fn of_triple(name: &str) -> Option<&str> {
    let (arch, rest) = name.split_once('-')?;
    let rest = ["unknown-", "pc-"].iter().find_map(|vendor| rest.strip_prefix(vendor)).unwrap_or(rest);
    let abi = rest.strip_prefix("linux")?;
    let known: &[_] = match arch.starts_with("mips64") || arch.starts_with("mipsisa64") {
        true => &["-gnuabi64", "-muslabi64"],
        false => &["", "-gnu", "-musl", "-gnueabi", "-gnueabihf", "-musleabi", "-musleabihf"],
    };
    known.contains(&abi).then_some(arch)
}

/// The names of all targets, sorted.
pub fn targets() -> impl Iterator<Item = &'static str> {
    ARCHES.iter().filter(|a| a.name == a.target).map(|a| a.name)
}

/// The names of targets nearest to a mistyped one.
#[must_use]
pub fn nearest(name: &str) -> Vec<&'static str> {
    near(&bare(name), ARCHES.iter().flat_map(Arch::names))
}

/// The candidates with the fewest edits from a mistyped word, at most three; none if that are too many for its length.
#[must_use]
pub fn near<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let (mut near, mut fewest) = (Vec::new(), usize::MAX);
    for candidate in candidates {
        let most = fewest.min((1 + 2 * candidate.len().min(word.len())) / 5);
        // Cheap for very long words.
        if candidate.len().abs_diff(word.len()) > most || near.contains(&candidate) {
            continue;
        }
        let edits = distance(word, candidate);
        if edits < fewest && edits <= most {
            (near, fewest) = (vec![candidate], edits);
        } else if edits == fewest && near.len() < 3 {
            near.push(candidate);
        }
    }
    near
}

/// Edits (insertions, deletions, substitutions, neighbours swapped) between two names: optimal string alignment.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            d[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let edited = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                edited.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1)
            };
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d[i][j] = d[i][j].min(d[i - 2][j - 2] + 1);
            }
        }
    }
    d[a.len()][b.len()]
}

/// The family of a host, as in qemu-binfmt-conf.sh; `machine` is as in `uname -m` or `HOST_ARCH`.
///
/// Files that are exported for a host leave out targets of its own family.
#[must_use]
pub fn host_family(machine: &str) -> &str {
    match machine {
        "Power Macintosh" => "ppc",
        "i86pc" | "BePC" => "i386",
        m if m.starts_with("armv") => {
            if m.ends_with('b') {
                "armeb"
            } else {
                "arm"
            }
        }
        m if m.starts_with("mips") => "mips",
        m if m.starts_with("sparc") => "sparc",
        m if m.starts_with("riscv") => "riscv",
        m => named(m).next().map_or(m, |a| a.family),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(name: &str) -> Vec<&'static str> {
        named(name).map(|a| a.name).collect()
    }

    #[test]
    fn every_spelling_of_a_target_finds_it() {
        for (spelling, name) in [
            ("aarch64", "aarch64"),
            ("arm64", "aarch64"),
            ("linux/arm64", "aarch64"),
            ("linux/arm64/v8", "aarch64"),
            ("arm64/v8", "aarch64"),
            ("arm64v8", "aarch64"),
            ("qemu-aarch64", "aarch64"),
            ("linux/arm/v7", "arm"),
            ("arm/v6", "arm"),
            ("armhf", "arm"),
            ("armel", "arm"),
            ("arm32v6", "arm"),
            ("armv7l", "arm"),
            ("386", "i386"),
            ("linux/386", "i386"),
            ("i686", "i386"),
            ("i486", "i486"),
            ("amd64", "x86_64"),
            ("linux/amd64/v2", "x86_64"),
            ("ppc64el", "ppc64le"),
            ("loong64", "loongarch64"),
            ("mips64le", "mips64el"),
            ("linux/mipsle", "mipsel"),
            ("AMD64", "x86_64"),
            ("S390X", "s390x"),
            ("linux/aarch64", "aarch64"),
            ("linux/x86_64", "x86_64"),
            ("linux/i386", "i386"),
            ("linux/armhf", "arm"),
            ("linux/amd64/v4", "x86_64"),
            ("aarch32", "arm"),
            ("armv7hl", "arm"),
            ("armhfp", "arm"),
            ("armv7a", "arm"),
            ("x64", "x86_64"),
            ("rv64", "riscv64"),
            ("riscv64gc", "riscv64"),
            ("qemu-aarch64-static", "aarch64"),
            ("qemu-arm-static", "arm"),
            ("QEMU-ARM", "arm"),
            ("linux/qemu-arm", "arm"),
            ("Linux/Qemu-Arm-Static", "arm"),
            ("mips64r6el", "mips64el"),
            ("mips64p32le", "mipsn32el"),
            ("parisc64", "hppa"),
            ("armv5teb", "armeb"),
            ("armv7h", "arm"),
            ("armv7hf", "arm"),
            ("x86_64-v3", "x86_64"),
            ("aarch64-linux", "aarch64"),
            ("aarch64-linux-gnu", "aarch64"),
            ("aarch64-unknown-linux-musl", "aarch64"),
            ("x86_64-pc-linux-gnu", "x86_64"),
            ("armv7l-linux", "arm"),
            ("arm-linux-gnueabihf", "arm"),
            ("armv7-unknown-linux-musleabihf", "arm"),
            ("riscv64gc-unknown-linux-gnu", "riscv64"),
            ("powerpc64le-linux-gnu", "ppc64le"),
            ("mips64el-linux-gnuabi64", "mips64el"),
            ("mipsisa64r6-linux-gnuabi64", "mips64"),
            ("i686-linux-gnu", "i386"),
        ] {
            assert_eq!(only(spelling), [name], "{spelling}");
        }
        assert_eq!(only("microblaze"), ["microblaze", "microblaze-baab"]);
        assert_eq!(only("qemu-microblazeel-baab"), ["microblazeel", "microblazeel-baab"]);
        // s390 and mipsn32's GNU triplet are other programs; riscv and sparcv9 could be two.
        for unknown in [
            "",
            "arm/",
            "linux",
            "linux/",
            "linux/linux/arm",
            "qemu-linux/arm",
            "qemu-",
            "-static",
            "arm-static",
            "yes",
            "s390",
            "riscv",
            "sparcv9",
            "linux/riscv64/v1",
            "amd64/",
            "arm64/v7",
            "mips64-linux-gnuabin32",
            "mips64-linux-gnu",
            "mips64el-linux",
            "x86_64-linux-gnux32",
            "aarch64-linux-gnu_ilp32",
            "powerpc-linux-gnuspe",
            "aarch64-apple-darwin",
            "x86_64-pc-windows-gnu",
            "aarch64-unknown-freebsd",
            "linux-gnu",
            "-linux",
            "unknown-linux-gnu",
            "vax-linux-gnu",
            "qemu-aarch64-linux",
        ] {
            assert!(only(unknown).is_empty(), "{unknown}");
        }
    }

    #[test]
    fn no_name_stands_for_two_targets() {
        for a in ARCHES {
            for name in a.names().chain([a.name]) {
                let of = |b: &&Arch| b.name == name || b.names().any(|n| n == name);
                let mut claimed: Vec<_> = ARCHES.iter().filter(of).map(|b| b.target).collect();
                claimed.dedup();
                assert_eq!(claimed, [a.target], "{name}");
                assert!(
                    name == name.to_ascii_lowercase() && bare(name) == name,
                    "{name} is not found as it is"
                );
            }
            assert!(a.platforms.iter().all(|p| p.starts_with(LINUX)), "{}", a.name);
            let twice = |n: &&str| a.names().filter(|m| m == n).count() > 1;
            assert_eq!(a.aliases.split_ascii_whitespace().find(twice), None, "it is there already");
        }
    }

    #[test]
    fn a_mistyped_name_gets_the_nearest_ones() {
        assert_eq!(nearest("aarch46"), ["aarch64"]);
        assert_eq!(nearest("riscv"), ["riscv32", "riscv64"]);
        assert_eq!(nearest("linux/arm46")[0], "arm64");
        assert_eq!(nearest("qemu-aarch46"), ["aarch64"]);
        assert_eq!(nearest("aarch46-linux-gnu"), ["aarch64"]);
        assert!(nearest("bogus-machine").is_empty() && nearest("").is_empty());
        assert!(nearest(&"x".repeat(1 << 20)).is_empty(), "in no time");
    }

    #[test]
    fn hosts_fall_into_qemus_families() {
        for (machine, family) in [
            ("x86_64", "i386"),
            ("i686", "i386"),
            ("amd64", "i386"),
            ("aarch64", "arm"),
            ("armv7l", "arm"),
            ("armv5tejl", "arm"),
            ("armv5teb", "armeb"),
            ("ppc64le", "ppcle"),
            ("ppc64", "ppc"),
            ("mips64", "mips"),
            ("sparc64", "sparc"),
            ("riscv64", "riscv"),
            ("s390x", "s390x"),
            ("armeb", "armeb"),
            ("loongarch64", "loongarch"),
            ("vax", "vax"),
        ] {
            assert_eq!(host_family(machine), family, "{machine}");
        }
    }
}
