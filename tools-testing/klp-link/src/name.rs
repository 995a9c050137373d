// SPDX-License-Identifier: GPL-2.0
//! Names of livepatch symbols: `.klp.sym.OBJECT.NAME,POSITION`.

use std::fmt;

/// What every livepatch symbol's name starts with.
pub const PREFIX: &str = ".klp.sym.";

/// The object name that stands for the kernel itself.
pub const VMLINUX: &str = "vmlinux";

/// The kernel reads the object with `%55[^.]` and the name with `%511[^,]`: a longer one would be
/// cut, and the rest of the pattern would then not match.
const OBJECT_MAX: usize = 55;
const NAME_MAX: usize = 511;

/// A livepatch symbol: whose it is, what it is called, and which of that name it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KlpSymbol {
    /// `vmlinux`, or a module's name as `/proc/modules` has it.
    pub object: String,
    /// The name in kallsyms.
    pub name: String,
    /// 0 for a name that is unique in the object, else 1 for the first one, and so on.
    pub position: u64,
}

/// Why a name that starts with `.klp.sym.` isn't one that the kernel can resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Not `OBJECT.NAME,POSITION`, or one of them is empty.
    Shape,
    /// A character that no module name has.
    Object,
    /// Longer than the kernel reads.
    ObjectTooLong,
    /// A character that no symbol name has.
    Name,
    /// Longer than the kernel reads.
    NameTooLong,
    /// Not a decimal number, or one that overflows an `unsigned long`.
    Position,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape => f.write_str("it must be .klp.sym.OBJECT.NAME,POSITION"),
            Self::Object => f.write_str(
                "OBJECT may have letters, digits and '_' only (a '-' of the file name is '_' here)",
            ),
            Self::ObjectTooLong => write!(f, "OBJECT may have {OBJECT_MAX} characters at most"),
            Self::Name => f.write_str("NAME may have printable ASCII characters only"),
            Self::NameTooLong => write!(f, "NAME may have {NAME_MAX} characters at most"),
            Self::Position => f.write_str(
                "POSITION must be a decimal number, 0 for a name that is unique in OBJECT",
            ),
        }
    }
}

/// Whether a symbol of this name asks to be a livepatch symbol.
pub fn is_livepatch(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

impl KlpSymbol {
    /// Parses a whole symbol name, `.klp.sym.` included.
    ///
    /// This takes only what the kernel's `sscanf()` reads to the same three parts. It is stricter
    /// where `sscanf()` would ignore a rest (`,1x`) or where no symbol can ever be found.
    pub fn parse(name: &[u8]) -> Result<Self, NameError> {
        let rest = name
            .strip_prefix(PREFIX.as_bytes())
            .ok_or(NameError::Shape)?;
        let (object, rest) = split_at_byte(rest, b'.').ok_or(NameError::Shape)?;
        let (name, position) = split_at_byte(rest, b',').ok_or(NameError::Shape)?;
        if object.is_empty() || name.is_empty() || position.is_empty() {
            return Err(NameError::Shape);
        }
        if object.len() > OBJECT_MAX {
            return Err(NameError::ObjectTooLong);
        }
        if name.len() > NAME_MAX {
            return Err(NameError::NameTooLong);
        }
        let object = ascii(object, |c| c.is_ascii_alphanumeric() || c == b'_');
        let name = ascii(name, |c| c.is_ascii_graphic());
        let position = ascii(position, |c| c.is_ascii_digit());
        Ok(Self {
            object: object.ok_or(NameError::Object)?,
            name: name.ok_or(NameError::Name)?,
            position: position
                .and_then(|digits| digits.parse().ok())
                .ok_or(NameError::Position)?,
        })
    }

    /// Whether the symbol is the kernel's own, and not a module's.
    pub fn is_vmlinux(&self) -> bool {
        self.object == VMLINUX
    }
}

impl fmt::Display for KlpSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            name,
            position,
        } = self;
        write!(f, "{PREFIX}{object}.{name},{position}")
    }
}

fn split_at_byte(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn ascii(bytes: &[u8], allowed: impl Fn(u8) -> bool) -> Option<String> {
    let all = bytes.iter().all(|&byte| byte.is_ascii() && allowed(byte));
    all.then(|| bytes.iter().map(|&byte| char::from(byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn symbol(object: &str, name: &str, position: u64) -> KlpSymbol {
        KlpSymbol {
            object: object.into(),
            name: name.into(),
            position,
        }
    }

    #[test]
    fn well_formed() {
        let long_object = "o".repeat(55);
        let long_name = "n".repeat(511);
        for (text, expected) in [
            (".klp.sym.kvm.vm_list,0", symbol("kvm", "vm_list", 0)),
            (
                ".klp.sym.vmlinux.printk,12",
                symbol("vmlinux", "printk", 12),
            ),
            // A dot ends the object, but is part of a name.
            (".klp.sym.kvm.f.isra.0,1", symbol("kvm", "f.isra.0", 1)),
            (".klp.sym.kvm_amd._RNv$x,0", symbol("kvm_amd", "_RNv$x", 0)),
            (
                ".klp.sym.9p.f,18446744073709551615",
                symbol("9p", "f", u64::MAX),
            ),
            (
                &format!(".klp.sym.{long_object}.{long_name},0"),
                symbol(&long_object, &long_name, 0),
            ),
        ] {
            assert_eq!(KlpSymbol::parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn malformed() {
        let long_object = format!(".klp.sym.{}.f,0", "o".repeat(56));
        let long_name = format!(".klp.sym.kvm.{},0", "n".repeat(512));
        for (text, expected) in [
            ("vm_list", NameError::Shape),
            (".klp.sym", NameError::Shape),
            (".klp.sym.", NameError::Shape),
            (".klp.sym.kvm", NameError::Shape),
            (".klp.sym.kvm.f", NameError::Shape),
            (".klp.sym.kvm.f,", NameError::Shape),
            (".klp.sym.kvm.,0", NameError::Shape),
            (".klp.sym.kvm,0", NameError::Shape),
            (".klp.sym..f,0", NameError::Shape),
            (".klp.sym.kvm-amd.f,0", NameError::Object),
            (".klp.sym.kvm .f,0", NameError::Object),
            (".klp.sym.k\u{e4}m.f,0", NameError::Object),
            (".klp.sym.kvm.f g,0", NameError::Name),
            (".klp.sym.kvm.f\u{e4},0", NameError::Name),
            (".klp.sym.kvm.f,x", NameError::Position),
            (".klp.sym.kvm.f,0x1", NameError::Position),
            (".klp.sym.kvm.f,1 ", NameError::Position),
            (".klp.sym.kvm.f,+1", NameError::Position),
            (".klp.sym.kvm.f,-1", NameError::Position),
            (".klp.sym.kvm.f,0,0", NameError::Position),
            (".klp.sym.kvm.f,18446744073709551616", NameError::Position),
            (&long_object, NameError::ObjectTooLong),
            (&long_name, NameError::NameTooLong),
        ] {
            assert_eq!(KlpSymbol::parse(text.as_bytes()), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(object in "[A-Za-z0-9_]{1,55}", name in "[!-+\\--~]{1,511}", position: u64) {
            let expected = symbol(&object, &name, position);
            let text = expected.to_string();
            prop_assert!(is_livepatch(text.as_bytes()));
            prop_assert_eq!(KlpSymbol::parse(text.as_bytes()), Ok(expected));
        }

        #[test]
        fn what_is_taken_prints_as_it_was(rest in "[kv.,0-9\\-\u{e4}]{0,12}") {
            let text = format!("{PREFIX}{rest}");
            if let Ok(symbol) = KlpSymbol::parse(text.as_bytes()) {
                // But for leading zeros, which the kernel skips as well.
                let (head, position) = text.rsplit_once(',').unwrap();
                let position = position.trim_start_matches('0');
                let position = if position.is_empty() { "0" } else { position };
                prop_assert_eq!(symbol.to_string(), format!("{head},{position}"));
            }
        }
    }
}
