// SPDX-License-Identifier: GPL-2.0
//! What a sequence showed, in a form that can be compared and sent through a
//! pipe.

use std::fmt;

/// The number of the operation in items that were seen after the last one.
pub const AFTER: u16 = u16::MAX;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),+ $(,)?) => {
        /// What was seen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $kind),+
        }

        impl Kind {
            const ALL: &'static [Kind] = &[$(Kind::$kind),+];

            fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name),+
                }
            }
        }
    };
}

kinds! {
    /// What a system call returned: 0 or more, or minus the errno.
    Result = "result",
    /// A word of an attribute that was read.
    Attr = "attribute word",
    /// A runstate that was read: see `observe`.
    Runstate = "runstate",
    /// When a timer expires: 0, as it was set, or 1 for another moment.
    Expires = "timer expiry",
    /// Why KVM_RUN returned.
    Exit = "exit reason",
    /// A word that goes with that.
    ExitWord = "exit word",
    /// The guest's result register.
    Rax = "rax",
    /// The guest's instruction pointer.
    Rip = "rip",
    /// A word of the area that is not 0, at this offset.
    Memory = "guest memory",
    /// The wall clock at this offset: see `observe`.
    WallClock = "wall clock",
    /// A pvclock at this offset: see `observe`.
    Pvclock = "pvclock",
    /// A runstate in guest memory at this offset: see `observe`.
    GuestRunstate = "runstate in guest memory",
    /// Dirty pages.
    Dirty = "dirty log",
    /// A word of the local APIC's IRR.
    Irr = "IRR word",
    /// KVM_GET_MP_STATE.
    MpState = "mp_state",
    /// How often the eventfd was signalled.
    Eventfd = "eventfd count",
    /// A word of the hypercall page.
    HypercallPage = "hypercall page",
    /// The sequence did not end: 1 if it hung, 2 if its process died.
    Lost = "sequence lost",
}

/// One thing seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The operation after which it was seen.
    pub op: u16,
    /// What it is.
    pub kind: Kind,
    /// Where, or which one.
    pub at: u32,
    /// Its value.
    pub value: u64,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            AFTER => write!(f, "at the end: ")?,
            op => write!(f, "op {op}: ")?,
        }
        write!(f, "{}", self.kind.name())?;
        match self.kind {
            Kind::Result | Kind::Exit | Kind::Rax | Kind::Rip | Kind::Lost => {}
            _ => write!(f, " {:#x}", self.at)?,
        }
        match self.kind {
            Kind::Result if (self.value as i64) < 0 => {
                let errno = nix::errno::Errno::from_raw(-(self.value as i64) as i32);
                write!(f, ": {errno:?}")
            }
            _ => write!(f, ": {:#x}", self.value),
        }
    }
}

/// All that was seen, in order.
pub type Trace = Vec<Item>;

/// Bytes of an item in a pipe.
pub const ITEM_SIZE: usize = 16;

impl Item {
    /// That.
    pub fn new(op: u16, kind: Kind, at: u32, value: u64) -> Self {
        Self {
            op,
            kind,
            at,
            value,
        }
    }

    /// For a pipe.
    pub fn encode(&self) -> [u8; ITEM_SIZE] {
        let mut bytes = [0; ITEM_SIZE];
        bytes[..2].copy_from_slice(&self.op.to_le_bytes());
        bytes[2] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..].copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    /// From a pipe. `None` for what is no item.
    pub fn decode(bytes: &[u8; ITEM_SIZE]) -> Option<Self> {
        let (op, rest) = bytes.split_first_chunk()?;
        let (&[kind, _], rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        Some(Self {
            op: u16::from_le_bytes(*op),
            kind: *Kind::ALL.get(usize::from(kind))?,
            at: u32::from_le_bytes(*at),
            value: u64::from_le_bytes(*rest.first_chunk()?),
        })
    }
}

/// Where two traces part: the items there, of which one may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What C showed.
    pub c: Option<Item>,
    /// What Rust showed.
    pub rust: Option<Item>,
}

impl Difference {
    /// The number of the operation.
    pub fn op(&self) -> u16 {
        let op = |item: Option<Item>| item.map_or(AFTER, |item| item.op);
        op(self.c).min(op(self.rust))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |item: Option<Item>| item.map_or("nothing".into(), |item| item.to_string());
        write!(f, "C: {}; Rust: {}", side(self.c), side(self.rust))
    }
}

/// The first difference.
pub fn first_difference(c: &[Item], rust: &[Item]) -> Option<Difference> {
    let longer = c.len().max(rust.len());
    (0..longer)
        .map(|at| Difference {
            c: c.get(at).copied(),
            rust: rust.get(at).copied(),
        })
        .find(|pair| pair.c != pair.rust)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(op: u16, value: u64) -> Item {
        Item::new(op, Kind::Rax, 7, value)
    }

    #[test]
    fn items_survive_a_pipe() {
        for &kind in Kind::ALL {
            let item = Item::new(0x1234, kind, 0x89ab_cdef, 0x0123_4567_89ab_cdef);
            assert_eq!(Item::decode(&item.encode()), Some(item));
        }
        assert_eq!(Item::decode(&[0xff; ITEM_SIZE]), None);
    }

    #[test]
    fn equal_traces_do_not_differ() {
        let trace = [item(0, 1), item(1, 2)];
        assert_eq!(first_difference(&trace, &trace), None);
        assert_eq!(first_difference(&[], &[]), None);
    }

    #[test]
    fn the_first_of_several_differences_is_told() {
        let c = [item(0, 1), item(1, 2), item(2, 3)];
        let rust = [item(0, 1), item(1, 9), item(2, 9)];
        let difference = first_difference(&c, &rust).unwrap();
        assert_eq!(difference.c, Some(c[1]));
        assert_eq!(difference.rust, Some(rust[1]));
        assert_eq!(difference.op(), 1);
    }

    #[test]
    fn a_longer_trace_differs() {
        let c = [item(0, 1), item(5, 2)];
        let difference = first_difference(&c, &c[..1]).unwrap();
        assert_eq!(difference.rust, None);
        assert_eq!(difference.op(), 5);
    }
}
