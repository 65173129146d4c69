//! ELF headers: the magic and mask of an architecture, and the facts of an executable.
//!
//! Patterns are `const`, so the table in [`crate::arch`] is computed and checked at compile time. Nothing here knows an
//! architecture by name, and there is no I/O. Offsets and numbers are from the System V ABI, edition 4.1, chapter 4 (and `elf.h`).

/// `e_ident[EI_CLASS]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 32-bit objects.
    Elf32 = 1,
    /// 64-bit objects.
    Elf64 = 2,
}

/// `e_ident[EI_DATA]`: the byte order of everything after `e_ident`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Little-endian.
    Lsb = 1,
    /// Big-endian.
    Msb = 2,
}

/// `e_ident[EI_CLASS]`, `e_ident[EI_DATA]` and `e_machine`.
pub type Machine = (u8, u8, u16);

/// Bits of `e_flags` that distinguish two architectures which share everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The bits to compare.
    pub mask: u32,
    /// Their value.
    pub value: u32,
}

/// The longest pattern, in bytes: up to the end of `e_flags` in a 32-bit header.
pub const PATTERN_MAX: usize = 40;

/// `EI_ABIVERSION` and `EI_PAD` in `e_ident`: zero in ordinary programs, and ignored by patterns, kernel and QEMU.
pub const PADDING: std::ops::Range<usize> = 8..16;

const ELFMAG: [u8; 4] = [0x7f, b'E', b'L', b'F'];
const EV_CURRENT: u8 = 1;
/// `e_type` of an executable; a position-independent one (and a shared object) has 3.
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;
const E_VERSION: usize = 20;
/// The offset of `e_flags` in a 32-bit header.
const E_FLAGS_32: usize = 36;

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;

/// Magic and mask: the kernel compares the first bytes of a program wherever the mask has ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    magic: [u8; PATTERN_MAX],
    mask: [u8; PATTERN_MAX],
    len: usize,
}

impl Pattern {
    /// The pattern of all executables of an architecture.
    ///
    /// It compares the magic number, class, data, file version, `e_type` (executable or position-independent) and `e_machine`, but
    /// not bytes 7 to 15 of `e_ident`, which the kernel's ELF loader also ignores: OSABI is 3 in static GNU programs with ifuncs and
    /// 2 in NetBSD's, and AppImages have `AI\x02` from byte 8 on.
    #[must_use]
    pub const fn of(class: Class, data: Data, machine: u16, flags: Option<Flags>) -> Self {
        let mut p = Self { magic: [0; PATTERN_MAX], mask: [0; PATTERN_MAX], len: E_MACHINE + 2 };
        let mut i = 0;
        while i < ELFMAG.len() {
            p = p.byte(i, ELFMAG[i], 0xff);
            i += 1;
        }
        p = p.byte(4, class as u8, 0xff).byte(5, data as u8, 0xff).byte(6, EV_CURRENT, 0xff);
        p = p.half(E_TYPE, data, ET_EXEC, !(ET_EXEC ^ ET_DYN)).half(E_MACHINE, data, machine, 0xffff);
        if let Some(f) = flags {
            // QEMU compares this byte, qus does not. The magic must be a program that both take.
            let at = if matches!(data, Data::Msb) { E_VERSION + 3 } else { E_VERSION };
            p = p.byte(at, EV_CURRENT, 0);
            let (hi, lo) = if matches!(data, Data::Msb) { (0, 2) } else { (2, 0) };
            p = p.half(E_FLAGS_32 + hi, data, (f.value >> 16) as u16, (f.mask >> 16) as u16);
            p = p.half(E_FLAGS_32 + lo, data, f.value as u16, f.mask as u16);
            p.len = E_FLAGS_32 + 4;
        }
        p
    }

    const fn byte(mut self, at: usize, value: u8, mask: u8) -> Self {
        self.magic[at] = value;
        self.mask[at] = mask;
        self
    }

    const fn half(self, at: usize, data: Data, value: u16, mask: u16) -> Self {
        let (v, m) = match data {
            Data::Lsb => (value.to_le_bytes(), mask.to_le_bytes()),
            Data::Msb => (value.to_be_bytes(), mask.to_be_bytes()),
        };
        self.byte(at, v[0], m[0]).byte(at + 1, v[1], m[1])
    }

    /// The bytes to compare with.
    #[must_use]
    pub fn magic(&self) -> &[u8] {
        &self.magic[..self.len]
    }

    /// The bits to compare.
    #[must_use]
    pub fn mask(&self) -> &[u8] {
        &self.mask[..self.len]
    }

    /// Does a file that begins with `head` match? As in the kernel, a short file continues with zeros.
    #[must_use]
    pub fn matches(&self, head: &[u8]) -> bool {
        (0..self.len).all(|i| (head.get(i).copied().unwrap_or(0) ^ self.magic[i]) & self.mask[i] == 0)
    }

    /// Is there a file that both match?
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        let mut i = 0;
        while i < PATTERN_MAX {
            if (self.magic[i] ^ other.magic[i]) & self.mask[i] & other.mask[i] != 0 {
                return false;
            }
            i += 1;
        }
        true
    }

    /// Is the ELF magic number compared in full?
    #[must_use]
    pub const fn requires_elf(&self) -> bool {
        let mut i = 0;
        while i < ELFMAG.len() {
            if self.magic[i] != ELFMAG[i] || self.mask[i] != 0xff {
                return false;
            }
            i += 1;
        }
        true
    }
}

/// Why a file can't be an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It has no ELF header.
    NotElf,
    /// It is shorter than its headers say.
    Truncated {
        /// The least length by its headers, in bytes.
        expected: u64,
        /// Its length, in bytes.
        found: u64,
    },
    /// It is an object file, a core dump, or similar.
    NotExecutable,
}

/// Facts about an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// The machine that it is for.
    pub machine: Machine,
    /// Its dynamic loader, if it needs one.
    pub interpreter: Option<String>,
}

/// How many bytes of a file [`Executable::read`] needs at most.
pub const HEAD_LEN: usize = 4096;

impl Executable {
    /// Reads the facts from `head`, the first [`HEAD_LEN`] bytes (or fewer) of a file of `len` bytes.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub fn read(head: &[u8], len: u64) -> Result<Self, Flaw> {
        let r = Reader::new(head, len)?;
        if ![ET_EXEC, ET_DYN].contains(&r.half(E_TYPE)?) {
            return Err(Flaw::NotExecutable);
        }
        // e_phoff, e_phentsize and e_phnum, then of each program header p_type, p_offset and p_filesz.
        let (phoff, sizes) = if r.wide { (r.word(32)?, 54) } else { (r.word(28)?, 42) };
        let (size, count) = (u64::from(r.half(sizes)?), u64::from(r.half(sizes + 2)?));
        let table_end = phoff.saturating_add(size * count);
        if table_end > len {
            return Err(Flaw::Truncated { expected: table_end, found: len });
        }
        let mut interpreter = None;
        let mut loads = 0;
        for i in 0..count {
            // A sparse file may exceed usize.
            let at = usize::try_from(phoff.saturating_add(i * size)).map_err(|_| Flaw::NotExecutable)?;
            let [offset, filesz] = if r.wide { [8, 32] } else { [4, 16] };
            let (offset, filesz) = (r.word(at.saturating_add(offset))?, r.word(at.saturating_add(filesz))?);
            let end = offset.saturating_add(filesz);
            match r.int(at)? {
                PT_LOAD if end > len => return Err(Flaw::Truncated { expected: end, found: len }),
                PT_LOAD => loads += 1,
                PT_INTERP => interpreter = Some(r.string(offset, filesz)?),
                _ => {}
            }
        }
        if loads == 0 {
            return Err(Flaw::NotExecutable);
        }
        Ok(Self { machine: (head[4], head[5], r.half(E_MACHINE)?), interpreter })
    }
}

/// Reads numbers in either byte order, at offsets that may be out of range.
struct Reader<'a> {
    head: &'a [u8],
    len: u64,
    wide: bool,
    big: bool,
}

impl<'a> Reader<'a> {
    fn new(head: &'a [u8], len: u64) -> Result<Self, Flaw> {
        if head.len() < 6 || head[..4] != ELFMAG || !(1..=2).contains(&head[4]) || !(1..=2).contains(&head[5])
        {
            return Err(Flaw::NotElf);
        }
        Ok(Self { head, len, wide: head[4] == Class::Elf64 as u8, big: head[5] == Data::Msb as u8 })
    }

    fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N], Flaw> {
        let end = at.saturating_add(N);
        match self.head.get(at..end).and_then(|b| b.try_into().ok()) {
            Some(b) => Ok(b),
            None if end as u64 > self.len => Err(Flaw::Truncated { expected: end as u64, found: self.len }),
            None => Err(Flaw::NotExecutable),
        }
    }

    fn half(&self, at: usize) -> Result<u16, Flaw> {
        self.bytes(at).map(|b| if self.big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    }

    fn int(&self, at: usize) -> Result<u32, Flaw> {
        self.bytes(at).map(|b| if self.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    }

    /// A number of the file's class.
    fn word(&self, at: usize) -> Result<u64, Flaw> {
        if !self.wide {
            return self.int(at).map(u64::from);
        }
        self.bytes(at).map(|b| if self.big { u64::from_be_bytes(b) } else { u64::from_le_bytes(b) })
    }

    /// The NUL-terminated string of a segment; a placeholder if it is out of range.
    fn string(&self, offset: u64, size: u64) -> Result<String, Flaw> {
        let end = offset.saturating_add(size);
        if end > self.len {
            return Err(Flaw::Truncated { expected: end, found: self.len });
        }
        let text = usize::try_from(offset)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(a, b)| self.head.get(a..b));
        Ok(text.map_or_else(
            || "a dynamic loader".to_owned(),
            |t| String::from_utf8_lossy(t).trim_end_matches('\0').to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_spells_the_bytes_of_both_byte_orders() {
        let p = Pattern::of(Class::Elf64, Data::Lsb, 183, None);
        assert_eq!(p.magic(), b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
        assert_eq!(p.mask(), b"\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\xfe\xff\xff\xff");
        let p = Pattern::of(Class::Elf32, Data::Msb, 8, Some(Flags { mask: 0x20, value: 0x20 }));
        assert_eq!(&p.magic()[16..20], b"\0\x02\0\x08");
        assert_eq!(&p.mask()[16..20], b"\xff\xfe\xff\xff");
        assert_eq!((&p.magic()[36..], &p.mask()[36..]), (&b"\0\0\0\x20"[..], &b"\0\0\0\x20"[..]));
    }

    #[test]
    fn this_test_program_is_executable_and_half_of_it_truncated() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let head = &own[..HEAD_LEN];
        let found = Executable::read(head, own.len() as u64).unwrap();
        assert_eq!(found.machine.0, if cfg!(target_pointer_width = "64") { 2 } else { 1 });
        assert!(matches!(Executable::read(head, 5000), Err(Flaw::Truncated { found: 5000, .. })));
        assert!(matches!(Executable::read(&own[..30], 30), Err(Flaw::Truncated { found: 30, .. })));
        assert_eq!(Executable::read(b"#!/bin/sh\n", 10), Err(Flaw::NotElf));
        assert_eq!(Executable::read(b"", 0), Err(Flaw::NotElf));
    }

    #[test]
    fn an_object_file_is_not_executable() {
        let mut own = std::fs::read("/proc/self/exe").unwrap();
        for byte in [16, 17] {
            own[byte] = u8::from(own[byte] != 0);
        }
        assert_eq!(Executable::read(&own[..HEAD_LEN], own.len() as u64), Err(Flaw::NotExecutable));
    }
}
