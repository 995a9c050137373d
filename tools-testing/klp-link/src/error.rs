// SPDX-License-Identifier: GPL-2.0
//! What can be wrong with a module, each in one line: what, where, and what to do.

use std::fmt;

use crate::name::NameError;

/// One reason why a module can't be linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No ELF magic.
    NotElf,
    /// ELF, but of another machine, class or byte order.
    NotX86_64,
    /// Linked too far: an executable, a shared object.
    NotRelocatable,
    /// Something lies outside of the file or contradicts itself.
    Damaged(String),
    /// The kernel wants exactly one `SHT_SYMTAB`.
    SymbolTables(usize),
    /// The new sections would need extended numbering, which the module loader lacks.
    TooManySections,
    /// A signature follows the ELF file, and the change would break it.
    Signed,
    /// `.modinfo` has no `livepatch=`.
    NotLivepatch,
    /// Livepatch relocations are there, and symbols of which they know nothing.
    LinkedBefore {
        /// One of them.
        symbol: String,
    },
    /// A name with the prefix, but malformed.
    Name {
        /// The name.
        symbol: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// A livepatch symbol that the module itself defines.
    Defined {
        /// Its name.
        symbol: String,
    },
    /// `SHT_REL` relocations, which have no addend.
    NoAddend {
        /// The section that is relocated.
        section: String,
        /// The livepatch symbol.
        symbol: String,
    },
    /// A section that can't be relocated after the module has been loaded.
    Section {
        /// The section.
        section: String,
        /// The livepatch symbol.
        symbol: String,
        /// What the kernel does with the section.
        reason: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A relocation that the kernel can't apply.
    Type {
        /// Where it is.
        place: Place,
        /// Its type.
        r_type: u32,
    },
    /// The relocated bytes aren't zero, as the kernel demands of them.
    NotZero {
        /// Where they are.
        place: Place,
    },
    /// Inside of instructions that the kernel replaces while it loads the module.
    Alternative {
        /// Where it is.
        place: Place,
    },
}

/// Where a relocation is, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The section that is relocated.
    pub section: String,
    /// Where in it.
    pub offset: u64,
    /// The livepatch symbol.
    pub symbol: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}: {}", self.section, self.offset, self.symbol)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str(
                "not an ELF file; give the module as the linker made it, not a compressed one",
            ),
            Self::NotX86_64 => {
                f.write_str("not an x86-64 ELF file; no other modules can be linked")
            }
            Self::NotRelocatable => {
                f.write_str("not relocatable (ET_REL); give a .ko, not a program or a library")
            }
            Self::Damaged(what) => {
                write!(f, "damaged or truncated: {what}; build the module again")
            }
            Self::SymbolTables(count) => write!(
                f,
                "{count} symbol tables where a module has 1; don't strip it before this step"
            ),
            Self::TooManySections => {
                f.write_str("too many sections; merge .text.* and .data.* in the linker script")
            }
            Self::Signed => {
                f.write_str("signed, which any change makes invalid; sign after this step")
            }
            Self::NotLivepatch => f.write_str(
                "no livepatch= in .modinfo, so the kernel would not apply the relocations; \
                 add livepatch=Y",
            ),
            Self::LinkedBefore { symbol } => write!(
                f,
                "{symbol}: not linked, though livepatch relocations are there; \
                 build the module again"
            ),
            Self::Name { symbol, reason } => write!(f, "{symbol}: malformed name: {reason}"),
            Self::Defined { symbol } => {
                write!(f, "{symbol}: defined in this module; only declare it")
            }
            Self::NoAddend { section, symbol } => write!(
                f,
                "{section}: {symbol}: a relocation without addend (SHT_REL), which x86-64 lacks; \
                 build the module again"
            ),
            Self::Section {
                section,
                symbol,
                reason,
                advice,
            } => write!(f, "{section}: {symbol}: {reason}; {advice}"),
            Self::Type { place, r_type } => write!(
                f,
                "{place}: the kernel can't apply relocations of type {r_type}; \
                 build with -Crelocation-model=static (C: -fno-pic)"
            ),
            Self::NotZero { place } => write!(
                f,
                "{place}: the bytes to relocate aren't zero, as the kernel wants them; \
                 build the module again"
            ),
            Self::Alternative { place } => write!(
                f,
                "{place}: inside an ALTERNATIVE, which is patched before the symbol is known; \
                 move the reference out of it"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Everything that is wrong with a module: at least one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(pub Vec<Error>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}
