//! Registration line ⇄ the kernel's text of an entry. Pure; no I/O.
//!
//! The form of a line is `:name:type:offset:magic:mask:interpreter:flags`, where the first byte is the delimiter
//! (Documentation/admin-guide/binfmt-misc.rst). What such a line cannot express is refused here: the kernel would refuse it with
//! EINVAL, which explains nothing, or accept it with another meaning.

use std::fmt;

use crate::elf::{PADDING, Pattern};

/// The longest line, in bytes: `MAX_REGISTER_LENGTH` in fs/binfmt_misc.c.
pub const LINE_MAX: usize = 1920;

/// How many bytes of a file the kernel compares: `BINPRM_BUF_SIZE` in include/uapi/linux/binfmts.h.
pub const HEAD_MAX: usize = 256;

/// The longest name, in bytes: a handler is a file.
pub const NAME_MAX: usize = 255;

/// The delimiters to choose from, in the order of preference. None has a meaning in a magic, and none is a flag, which kernels
/// since 6.12.101 refuse. No `;` and no `#`: a line of binfmt.d(5) that begins with one is a comment.
const DELIMITERS: &[u8] = b":|,!%&+=@~^";

/// The flags of a handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `P`: the program sees its own `argv[0]`.
    pub preserve_argv0: bool,
    /// `O`: the kernel opens the program and passes the descriptor on.
    pub open_binary: bool,
    /// `C`: credentials are those of the program, not of the interpreter. Implies `O`.
    pub credentials: bool,
    /// `F`: the kernel opens the interpreter at registration, and uses that open file.
    pub fix_binary: bool,
}

impl Flags {
    /// The flags that the kernel reports for a handler registered with these.
    #[must_use]
    pub const fn as_reported(mut self) -> Self {
        self.open_binary |= self.credentials;
        self
    }

    /// Parses letters, ignoring unknown ones.
    #[must_use]
    pub fn parse(letters: &str) -> Self {
        Self {
            preserve_argv0: letters.contains('P'),
            open_binary: letters.contains('O'),
            credentials: letters.contains('C'),
            fix_binary: letters.contains('F'),
        }
    }

    const fn each(self) -> [(char, bool); 4] {
        [('P', self.preserve_argv0), ('O', self.open_binary), ('C', self.credentials), ('F', self.fix_binary)]
    }
}

impl fmt::Display for Flags {
    /// The letters in the kernel's order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.each().iter().filter(|(_, set)| *set).try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

/// A handler to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name of the handler, and of its file in binfmt_misc.
    pub name: String,
    /// The files that it takes.
    pub matches: Match,
    /// The path of the interpreter. Resolved at registration with [`Flags::fix_binary`], otherwise at each execution, in the root
    /// directory of the process.
    pub interpreter: String,
    /// The flags.
    pub flags: Flags,
}

/// Why a line cannot express a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The line would have this length in bytes.
    TooLong(usize),
    /// The path of the interpreter is empty, not UTF-8, or has a newline or a NUL.
    BadInterpreter,
    /// The name is empty, too long, has a `/`, a newline or a NUL, or is `register`, `status`, `.` or `..`.
    BadName,
    /// The magic is empty or exceeds [`HEAD_MAX`], or the extension has a `/`.
    BadMatch,
    /// The name and the path have every delimiter.
    NoDelimiter,
    /// Its kind is unknown to this version.
    Unknown,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(n) => {
                write!(f, "the rule has {n} bytes, and the kernel accepts {LINE_MAX}")
            }
            Self::BadInterpreter => {
                f.write_str("the path of an emulator must be absolute, UTF-8, and without newlines")
            }
            Self::BadMatch => {
                write!(
                    f,
                    "a magic must not be empty, nor end after byte {HEAD_MAX}; an extension must not have a slash"
                )
            }
            Self::BadName => f.write_str("this is not a valid name for a handler"),
            Self::Unknown => f.write_str("this version does not know that kind of handler"),
            Self::NoDelimiter => f.write_str("its path has every character that could delimit the fields"),
        }
    }
}

/// What qus writes into bytes 8 to 15 of the magic ([`PADDING`]), which no mask of qus compares. The kernel keeps and shows them, so
/// that an entry tells that qus registered it, and in which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The handler holds a detached tree (see `anchor.rs`).
    pub anchored: bool,
    /// Something other than an anchor of qus held this binfmt_misc before.
    pub joined: bool,
    /// A running `hold` looks after it.
    pub held: bool,
    /// That hold removes it at its end.
    pub clean: bool,
    /// Of the run that registered it.
    pub nonce: [u8; 4],
}

impl Signature {
    const NAME: [u8; 3] = *b"qus";
    const ANCHORED: u8 = 1;
    const JOINED: u8 = 2;
    const HELD: u8 = 4;
    const CLEAN: u8 = 8;

    /// As bytes of the magic.
    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        let flags = self.anchored as u8 * Self::ANCHORED
            + self.joined as u8 * Self::JOINED
            + self.held as u8 * Self::HELD
            + self.clean as u8 * Self::CLEAN;
        let ([q, u, s], [a, b, c, d]) = (Self::NAME, self.nonce);
        [q, u, s, flags, a, b, c, d]
    }

    fn read(bytes: [u8; 8]) -> Option<Self> {
        let [q, u, s, flags, nonce @ ..] = bytes;
        let is_set = |flag| flags & flag != 0;
        let (anchored, joined) = (is_set(Self::ANCHORED), is_set(Self::JOINED));
        let (held, clean) = (is_set(Self::HELD), is_set(Self::CLEAN));
        ([q, u, s] == Self::NAME).then_some(Self { anchored, joined, held, clean, nonce })
    }
}

impl Rule {
    /// The same rule, signed.
    #[must_use]
    pub fn signed(&self, signature: Signature) -> Self {
        self.padded(signature, 0)
    }

    /// Its signature.
    #[must_use]
    pub fn signature(&self) -> Option<Signature> {
        self.matches.signature()
    }

    /// The rule for only those programs that have this signature in their headers: the probes of one run.
    #[must_use]
    pub fn for_probes(&self, signature: Signature) -> Self {
        self.padded(signature, 0xff)
    }

    fn padded(&self, signature: Signature, bits: u8) -> Self {
        let mut rule = self.clone();
        if let Match::Magic { offset: 0, magic, mask } = &mut rule.matches {
            magic[PADDING].copy_from_slice(&signature.bytes());
            mask[PADDING].fill(bits);
        }
        rule
    }

    /// The line to write to `register`, without a newline.
    ///
    /// # Errors
    /// [`RuleError`] if a line cannot express it.
    pub fn line(&self) -> Result<String, RuleError> {
        // The kernel would take one, the host's own tools would not.
        match self.interpreter.contains('\n') {
            true => Err(RuleError::BadInterpreter),
            false => line(&self.name, &self.matches, true, &self.interpreter, &self.flags.to_string()),
        }
    }
}

fn line(
    name: &str,
    matches: &Match,
    has_mask: bool,
    interpreter: &str,
    flags: &str,
) -> Result<String, RuleError> {
    let forbidden = |s: &str| s.is_empty() || s.contains(['\n', '\0']);
    if forbidden(name)
        || name.len() > NAME_MAX
        || name.contains('/')
        || matches!(name, "." | ".." | "register" | "status")
    {
        return Err(RuleError::BadName);
    }
    if interpreter.is_empty() || interpreter.contains('\0') {
        return Err(RuleError::BadInterpreter);
    }
    let extension = match matches {
        Match::Magic { offset, magic, mask } => {
            let is_good = !magic.is_empty() && mask.len() == magic.len() && offset + magic.len() <= HEAD_MAX;
            if is_good { "" } else { return Err(RuleError::BadMatch) }
        }
        Match::Extension(dot) if forbidden(dot) || dot.contains('/') => return Err(RuleError::BadMatch),
        Match::Extension(dot) => dot,
        Match::Unknown => return Err(RuleError::Unknown),
    };
    let texts = [name, interpreter, extension, flags];
    let taken = |d: u8| texts.iter().any(|text| text.as_bytes().contains(&d));
    let d = char::from(*DELIMITERS.iter().find(|d| !taken(**d)).ok_or(RuleError::NoDelimiter)?);
    let masked = |mask: &[u8]| if has_mask { escaped(mask) } else { String::new() };
    let (kind, offset, magic, mask) = match matches {
        Match::Magic { offset, magic, mask } => {
            let offset = if *offset == 0 { String::new() } else { offset.to_string() };
            ("M", offset, escaped(magic), masked(mask))
        }
        Match::Extension(dot) => ("E", String::new(), dot.clone(), String::new()),
        Match::Unknown => return Err(RuleError::Unknown),
    };
    let mut line = String::with_capacity(512);
    for field in [name, kind, &offset, &magic, &mask, interpreter, flags] {
        line.push(d);
        line.push_str(field);
    }
    if line.len() > LINE_MAX { Err(RuleError::TooLong(line.len())) } else { Ok(line) }
}

/// Bytes as `\xHH`, which the kernel, systemd and binfmt-support read, NUL included.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = vec![0; 4 * bytes.len()];
    for (shown, byte) in text.chunks_exact_mut(4).zip(bytes) {
        let [high, low] = [byte >> 4, byte & 15].map(|nibble| HEX[usize::from(nibble)]);
        shown.copy_from_slice(&[b'\\', b'x', high, low]);
    }
    // It is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The kernel's entry of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The kernel skips disabled handlers.
    pub enabled: bool,
    /// The path of the interpreter, with U+FFFD for bytes that aren't UTF-8.
    pub interpreter: String,
    /// The flags, including unknown ones.
    pub flags: String,
    /// The files that it takes.
    pub matches: Match,
    /// Does the kernel show a mask? Without one, it compares all bits.
    pub has_mask: bool,
}

impl From<&Pattern> for Match {
    fn from(pattern: &Pattern) -> Self {
        Self::Magic { offset: 0, magic: pattern.magic().to_vec(), mask: pattern.mask().to_vec() }
    }
}

/// The files that a handler takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Files with these bytes.
    Magic {
        /// Where in the file, in bytes.
        offset: usize,
        /// The bytes.
        magic: Vec<u8>,
        /// The bits that are compared; as long as `magic`.
        mask: Vec<u8>,
    },
    /// Files whose names have this extension.
    Extension(String),
    /// A kind unknown to this version (Linux 7.3 has more).
    Unknown,
}

/// The likely owner of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// qus, by its signature.
    Qus,
    /// The distribution's package of QEMU, as Debian's registers it.
    Distribution,
    /// Another QEMU.
    Qemu,
    /// The Windows Subsystem for Linux.
    Wsl,
    /// Anyone else.
    ThirdParty,
}

impl Match {
    fn signature(&self) -> Option<Signature> {
        let Self::Magic { offset: 0, magic, .. } = self else { return None };
        Signature::read(magic.get(PADDING)?.try_into().ok()?)
    }

    /// Do both take the same files? Bits that the mask excludes don't matter.
    #[must_use]
    pub fn takes_what(&self, other: &Self) -> bool {
        let (Self::Magic { offset, magic, mask }, Self::Magic { offset: o, magic: m, mask: k }) =
            (self, other)
        else {
            return self == other;
        };
        offset == o && mask == k && magic.iter().zip(m).zip(mask).all(|((a, b), bits)| (a ^ b) & bits == 0)
    }
}

impl Entry {
    /// Parses the kernel's text of the entry `name`. Unknown lines are skipped, unknown flags kept.
    #[must_use]
    pub fn parse(name: &str, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        // Not `lines`, which drops a carriage return: a path may end with one.
        // A path may have newlines, too: it ends where the flags begin.
        let flags = text.rfind("\nflags: ");
        let (head, tail) = flags.map_or((&*text, &*text), |at| text.split_at(at));
        let lines: Vec<&str> = tail.split('\n').collect();
        let enabled = text.split('\n').next() == Some("enabled");
        let path = head.split_once("\ninterpreter ").map_or("", |(_, path)| path);
        let path = if flags.is_some() { path } else { path.split('\n').next().unwrap_or_default() };
        let field = |key: &str| lines.iter().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
        let magic = unhex(field("magic "));
        let mask = unhex(field("mask ")).filter(|m| !m.is_empty());
        let has_mask = mask.is_some();
        let matches = if let Some(dot) = lines.iter().find_map(|l| l.strip_prefix("extension .")) {
            Match::Extension(dot.to_owned())
        } else if let Some(magic) = magic.filter(|m| !m.is_empty()) {
            let mask = mask.filter(|m| m.len() == magic.len());
            Match::Magic {
                // An offset that doesn't parse is beyond what the kernel reads.
                offset: match field("offset ") {
                    "" => 0,
                    digits => digits.parse().unwrap_or(HEAD_MAX).min(HEAD_MAX),
                },
                mask: mask.unwrap_or_else(|| vec![0xff; magic.len()]),
                magic,
            }
        } else {
            Match::Unknown
        };
        Self {
            name: name.to_owned(),
            enabled,
            interpreter: path.to_owned(),
            flags: field("flags: ").to_owned(),
            matches,
            has_mask,
        }
    }

    /// Does it take a file that begins with `head`?
    #[must_use]
    pub fn matches(&self, head: &[u8]) -> bool {
        match &self.matches {
            Match::Magic { offset, magic, mask } if self.enabled => magic
                .iter()
                .zip(mask)
                .enumerate()
                .all(|(i, (want, bits))| (head.get(offset + i).copied().unwrap_or(0) ^ want) & bits == 0),
            _ => false,
        }
    }

    /// Is it the entry of `rule`, signed or not?
    #[must_use]
    pub fn is(&self, rule: &Rule) -> bool {
        self.enabled
            && self.name == rule.name
            && self.interpreter == rule.interpreter
            && self.flags == rule.flags.as_reported().to_string()
            && self.matches.takes_what(&rule.matches)
    }

    /// Its signature, if qus registered it.
    #[must_use]
    pub fn signature(&self) -> Option<Signature> {
        self.matches.signature()
    }

    /// Does a `hold` remove it at its end? As long as that runs, it registers it again.
    #[must_use]
    pub fn goes_with_its_hold(&self) -> bool {
        self.signature().is_some_and(|s| s.held && s.clean)
    }

    /// Is its interpreter QEMU, by the name of its file or by Debian's directory?
    #[must_use]
    pub fn is_qemu(&self) -> bool {
        let mut parts = self.interpreter.rsplit('/');
        parts.next().is_some_and(|file| file.starts_with("qemu")) || parts.next() == Some("qemu-binfmt")
    }

    /// Does it take only probes of qus?
    #[must_use]
    pub fn is_trial(&self) -> bool {
        let is_compared =
            |mask: &Vec<u8>| mask.get(PADDING).is_some_and(|bits| bits.iter().all(|b| *b == 0xff));
        self.signature().is_some() && matches!(&self.matches, Match::Magic { mask, .. } if is_compared(mask))
    }

    /// Is it as Debian's package registers it, from Debian 13 on? No other tool sets flag `O` alone.
    fn is_debians(&self) -> bool {
        let flags = Flags::parse(&self.flags);
        self.interpreter.starts_with("/usr/bin/qemu-") && flags.open_binary && !flags.credentials
    }

    /// The likely owner.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            _ if self.signature().is_some() => Owner::Qus,
            _ if self.interpreter.contains("/qemu-binfmt/") || self.is_debians() => Owner::Distribution,
            _ if self.is_qemu() => Owner::Qemu,
            _ if self.name.starts_with("WSLInterop") => Owner::Wsl,
            _ => Owner::ThirdParty,
        }
    }

    /// The line that registers this handler again, unknown flags included. It will be enabled.
    ///
    /// # Errors
    /// As [`Rule::line`].
    pub fn line(&self) -> Result<String, RuleError> {
        // A path that isn't UTF-8 was lost in parsing.
        match self.interpreter.contains(char::REPLACEMENT_CHARACTER) {
            true => Err(RuleError::BadInterpreter),
            false => line(&self.name, &self.matches, self.has_mask, &self.interpreter, &self.flags),
        }
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    // from_str_radix would accept a sign.
    let digit = |d: u8| char::from(d).to_digit(16).map(|d| d as u8);
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ARCHES;

    fn rule(interpreter: &str) -> Rule {
        let arch = &ARCHES[0];
        Rule {
            name: arch.handler_name(),
            matches: (&arch.pattern).into(),
            interpreter: interpreter.to_owned(),
            flags: Flags { preserve_argv0: true, fix_binary: true, ..Flags::default() },
        }
    }

    #[test]
    fn a_line_has_name_magic_mask_interpreter_and_flags() {
        assert_eq!(
            rule("/qus/bin/qemu-aarch64-static").line().unwrap(),
            ":qemu-aarch64:M::\
             \\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\
             \\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\xfe\\xff\\xff\\xff:\
             /qus/bin/qemu-aarch64-static:PF"
        );
    }

    #[test]
    fn a_colon_in_the_path_takes_another_delimiter() {
        assert!(rule("/a:b/qemu").line().unwrap().starts_with("|qemu-aarch64|M||"));
        assert!(rule("/a b/qemu").line().unwrap().ends_with(":/a b/qemu:PF"));
        assert!(rule("/:|,").line().unwrap().starts_with('!'), "`;` begins a comment in binfmt.d");
        assert_eq!(rule("/:|,!%&+=@~^").line(), Err(RuleError::NoDelimiter));
    }

    #[test]
    fn a_rule_that_no_line_can_express_is_refused() {
        assert_eq!(rule("/a\nb").line(), Err(RuleError::BadInterpreter));
        assert_eq!(rule("").line(), Err(RuleError::BadInterpreter));
        for name in ["", "a/b", "status", "register", ".", "..", "a\nb"] {
            assert_eq!(
                Rule { name: name.to_owned(), ..rule("/q") }.line(),
                Err(RuleError::BadName),
                "{name:?}"
            );
        }
        let spare = LINE_MAX - rule("/").line().unwrap().len();
        assert_eq!(rule(&"/".repeat(1 + spare)).line().unwrap().len(), LINE_MAX);
        assert_eq!(rule(&"/".repeat(2 + spare)).line(), Err(RuleError::TooLong(LINE_MAX + 1)));
    }

    #[test]
    fn every_row_is_read_back_as_it_was_registered() {
        for arch in ARCHES {
            let rule =
                Rule { name: arch.handler_name(), matches: (&arch.pattern).into(), ..rule("/usr/bin/qemu") };
            let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let text = format!(
                "enabled\ninterpreter /usr/bin/qemu\nflags: PF\noffset 0\nmagic {}\nmask {}\n",
                hex(arch.pattern.magic()),
                hex(arch.pattern.mask())
            );
            let entry = Entry::parse(&rule.name, text.as_bytes());
            assert!(entry.is(&rule), "{text}");
            assert!(entry.matches(arch.pattern.magic()));
            assert!(!Entry::parse(&rule.name, text.replace("enabled", "disabled").as_bytes()).is(&rule));
            assert!(!Entry::parse(&rule.name, text.replace("PF", "F").as_bytes()).is(&rule));
        }
    }

    #[test]
    fn entries_of_other_kinds_are_read_too() {
        let jar = Entry::parse("jar", b"disabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n");
        assert_eq!((jar.enabled, &jar.matches), (false, &Match::Extension("jar".to_owned())));
        let python =
            Entry::parse("py", b"enabled\ninterpreter /usr/bin/python3\nflags: \noffset 0\nmagic cb0d0d0a\n");
        assert!(python.matches(b"\xcb\r\r\n") && !python.matches(b"\xcb\r\r"));
        assert_eq!(python.line().unwrap(), ":py:M::\\xcb\\x0d\\x0d\\x0a::/usr/bin/python3:");
        let new = Entry::parse("x", b"enabled\ninterpreter /x\nflags: PTL\nbpf 7\n");
        assert_eq!((new.matches, new.flags.as_str()), (Match::Unknown, "PTL"));
        assert_eq!(Entry::parse("odd", b"enabled\ninterpreter /x\r\n").interpreter, "/x\r");
        assert_eq!(Entry::parse("odd", b"\xff\xfe").interpreter, "");
        let broken = Entry::parse("nl", b"enabled\ninterpreter /a\nflags: F\nb\nflags: P\nextension .x\n");
        assert_eq!((&*broken.interpreter, &*broken.flags), ("/a\nflags: F\nb", "P"));
        assert_eq!(broken.line().unwrap(), "|nl|E||x||/a\nflags: F\nb|P");
        assert_eq!(Entry::parse("odd", b"enabled\nmagic 7f4\nmask zz\n").matches, Match::Unknown);
        // Adding to it must not overflow to the beginning of the file, for any size of usize.
        for offset in [u64::MAX.to_string(), u64::from(u32::MAX).to_string(), "9".repeat(30), "x".to_owned()]
        {
            let far = Entry::parse("far", format!("enabled\noffset {offset}\nmagic 7f454c46\n").as_bytes());
            assert!(!far.matches(b"\x7fELF") && far.line().is_err(), "{offset}");
        }
    }
}
