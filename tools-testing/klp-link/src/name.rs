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

// Why a name that starts with `.klp.sym.` isn't one that the kernel can resolve.
const SHAPE: &str = "it must be .klp.sym.OBJECT.NAME,POSITION";
const OBJECT: &str =
    "OBJECT may have letters, digits and '_' only (a '-' of the file name is '_' here)";
const OBJECT_TOO_LONG: &str = "OBJECT may have 55 characters at most";
const NAME: &str = "NAME may have printable ASCII characters only";
const NAME_TOO_LONG: &str = "NAME may have 511 characters at most";
const POSITION: &str = "POSITION must be a decimal number, 0 for a name that is unique in OBJECT";

/// Whether a symbol of this name asks to be a livepatch symbol.
pub fn is_livepatch(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

impl KlpSymbol {
    /// Parses a whole symbol name, `.klp.sym.` included; or what is wrong with it.
    ///
    /// This takes only what the kernel's `sscanf()` reads to the same three parts. It is stricter
    /// where `sscanf()` would ignore a rest (`,1x`) or where no symbol can ever be found.
    pub fn parse(name: &[u8]) -> Result<Self, &'static str> {
        let rest = name.strip_prefix(PREFIX.as_bytes()).ok_or(SHAPE)?;
        let (object, rest) = split_at_byte(rest, b'.').ok_or(SHAPE)?;
        let (name, position) = split_at_byte(rest, b',').ok_or(SHAPE)?;
        if object.is_empty() || name.is_empty() || position.is_empty() {
            return Err(SHAPE);
        }
        if object.len() > OBJECT_MAX {
            return Err(OBJECT_TOO_LONG);
        }
        if name.len() > NAME_MAX {
            return Err(NAME_TOO_LONG);
        }
        let object = ascii(object, |c| c.is_ascii_alphanumeric() || c == b'_');
        let name = ascii(name, |c| c.is_ascii_graphic());
        let position = ascii(position, |c| c.is_ascii_digit());
        Ok(Self {
            object: object.ok_or(OBJECT)?,
            name: name.ok_or(NAME)?,
            position: position
                .and_then(|digits| digits.parse().ok())
                .ok_or(POSITION)?,
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
            assert_eq!(expected.to_string(), text);
            assert_eq!(KlpSymbol::parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn malformed() {
        let long_object = format!(".klp.sym.{}.f,0", "o".repeat(56));
        let long_name = format!(".klp.sym.kvm.{},0", "n".repeat(512));
        for (text, expected) in [
            ("vm_list", SHAPE),
            (".klp.sym", SHAPE),
            (".klp.sym.", SHAPE),
            (".klp.sym.kvm", SHAPE),
            (".klp.sym.kvm.f", SHAPE),
            (".klp.sym.kvm.f,", SHAPE),
            (".klp.sym.kvm.,0", SHAPE),
            (".klp.sym.kvm,0", SHAPE),
            (".klp.sym..f,0", SHAPE),
            (".klp.sym.kvm-amd.f,0", OBJECT),
            (".klp.sym.kvm .f,0", OBJECT),
            (".klp.sym.k\u{e4}m.f,0", OBJECT),
            (".klp.sym.kvm.f g,0", NAME),
            (".klp.sym.kvm.f\u{e4},0", NAME),
            (".klp.sym.kvm.f,x", POSITION),
            (".klp.sym.kvm.f,0x1", POSITION),
            (".klp.sym.kvm.f,1 ", POSITION),
            (".klp.sym.kvm.f,+1", POSITION),
            (".klp.sym.kvm.f,-1", POSITION),
            (".klp.sym.kvm.f,0,0", POSITION),
            (".klp.sym.kvm.f,18446744073709551616", POSITION),
            (&long_object, OBJECT_TOO_LONG),
            (&long_name, NAME_TOO_LONG),
        ] {
            assert_eq!(KlpSymbol::parse(text.as_bytes()), Err(expected), "{text}");
        }
    }
}
