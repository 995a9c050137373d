// SPDX-License-Identifier: GPL-2.0

//! Guest memory, which changes under us.
//!
//! There is never a reference to it. A structure that is mapped ([`Mapping`]) is reached by the
//! places declared in `abi/`, which lie inside of it by their invariants; each access is one load,
//! store or atomic operation.

use super::bitops;
use crate::{
    abi::layout::{Bits, Field, Structure},
    sync::gpc::Mapping,
};

/// Integers, of which any bytes that the guest may write are a value.
pub(crate) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for u32 {}
impl Plain for u64 {}

impl<S: Structure> Mapping<'_, S> {
    /// Reads a field, once.
    #[inline(always)]
    pub(crate) fn load<T: Plain>(&self, field: &Field<S, T>) -> T {
        // SAFETY: By the invariants of `Mapping` and `Field` the field is mapped and aligned; `T`
        // has no invalid value.
        unsafe {
            self.base()
                .as_ptr()
                .add(field.offset())
                .cast::<T>()
                .read_volatile()
        }
    }

    /// Writes a field, once.
    #[inline(always)]
    pub(crate) fn store<T: Plain>(&self, field: &Field<S, T>, value: T) {
        // SAFETY: By the invariants of `Mapping` and `Field` the field is mapped and aligned.
        unsafe {
            self.base()
                .as_ptr()
                .add(field.offset())
                .cast::<T>()
                .write_volatile(value)
        }
    }

    /// Sets a bit, and returns what it was. Fully ordered.
    #[inline(always)]
    pub(crate) fn test_and_set(&self, bits: &Bits<S>, nr: u32) -> bool {
        let (byte, bit) = bits.locate(nr);
        // SAFETY: By the invariants of `Mapping` and `Bits` the byte is mapped. KVM changes these
        // bits by atomic operations alone.
        unsafe { bitops::test_and_set(self.base().as_ptr().add(byte), bit) }
    }

    /// Reads a bit, once.
    #[inline(always)]
    pub(crate) fn test(&self, bits: &Bits<S>, nr: u32) -> bool {
        let (byte, bit) = bits.locate(nr);
        // SAFETY: By the invariants of `Mapping` and `Bits` the byte is mapped.
        let byte = unsafe { self.base().as_ptr().add(byte).read_volatile() };
        byte & (1 << bit) != 0
    }
}
