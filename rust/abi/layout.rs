// SPDX-License-Identifier: GPL-2.0

//! Places in structures that the guest shares, checked when they are declared.

use core::marker::PhantomData;

/// Whether the `size` bytes at `at` are among the first `len`, whatever the numbers.
pub(crate) const fn is_within(at: usize, size: usize, len: usize) -> bool {
    size <= len && at <= len - size
}

/// What only the structures declared in `abi/` are: unsafe code relies on their sizes.
pub(super) trait Declared {}

/// A structure in guest memory.
#[allow(private_bounds, reason = "that is how it is sealed")]
pub(crate) trait Structure: Declared {
    /// Its size in bytes. It never crosses a page.
    const SIZE: usize;
    /// What its address is a multiple of, whatever a VMM asks for.
    const ALIGN: usize;
}

/// A field of type `T` in the structure `S`.
///
/// # Invariants
///
/// The field lies within the structure, and is aligned in memory.
pub(crate) struct Field<S, T> {
    offset: usize,
    _of: PhantomData<fn() -> (S, T)>,
}

impl<S: Structure, T> Field<S, T> {
    /// The field at `offset` bytes. Only for constants, where a wrong one does not compile.
    pub(crate) const fn at(offset: usize) -> Self {
        assert!(offset + size_of::<T>() <= S::SIZE);
        assert!(offset % align_of::<T>() == 0 && S::ALIGN % align_of::<T>() == 0);
        // INVARIANT: Checked just above.
        Self {
            offset,
            _of: PhantomData,
        }
    }

    /// Bytes from the start of the structure.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }
}

/// `N` double words in the structure `S`, which need not be aligned.
///
/// # Invariants
///
/// They lie within the structure.
pub(crate) struct Words<S, const N: usize> {
    offset: usize,
    _of: PhantomData<fn() -> S>,
}

impl<S: Structure, const N: usize> Words<S, N> {
    /// Those at `offset` bytes. Only for constants, where a wrong one does not compile.
    pub(crate) const fn at(offset: usize) -> Self {
        assert!(offset + 8 * N <= S::SIZE);
        // INVARIANT: Checked just above.
        Self {
            offset,
            _of: PhantomData,
        }
    }

    /// Bytes from the start of the structure.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }
}

/// An array of bits in the structure `S`, numbered as the x86 bit instructions do.
///
/// # Invariants
///
/// The array lies within the structure; it has a power of two of bits, at least 32, and in an
/// aligned structure begins at a word.
pub(crate) struct Bits<S> {
    offset: usize,
    count: u32,
    _of: PhantomData<fn() -> S>,
}

impl<S: Structure> Bits<S> {
    /// The `count` bits at `offset` bytes. Only for constants, where a wrong one does not compile.
    pub(crate) const fn at(offset: usize, count: u32) -> Self {
        assert!(count.is_power_of_two() && count >= 32);
        assert!(offset + count as usize / 8 <= S::SIZE);
        assert!(S::ALIGN % 4 != 0 || offset % 4 == 0);
        // INVARIANT: Checked just above.
        Self {
            offset,
            count,
            _of: PhantomData,
        }
    }

    /// Where bit `nr` is: the offset of the array, and the bit's number in it.
    ///
    /// A number past the end wraps around, also when speculated: it stays within the array.
    pub(crate) const fn locate(&self, nr: u32) -> (usize, u32) {
        (self.offset, nr & (self.count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample;
    impl Declared for Sample {}
    impl Structure for Sample {
        const SIZE: usize = 64;
        const ALIGN: usize = 8;
    }

    #[test]
    fn bits_are_numbered_from_the_lowest_of_the_first_word() {
        const BITS: Bits<Sample> = Bits::at(16, 64);
        assert_eq!(BITS.locate(0), (16, 0));
        assert_eq!(BITS.locate(63), (16, 63));
        assert_eq!(BITS.locate(64), (16, 0));
    }

    #[test]
    fn no_number_leaves_the_array() {
        const BITS: Bits<Sample> = Bits::at(32, 256);
        for nr in (0..100_000).chain([u32::MAX, u32::MAX - 1]) {
            let (array, bit) = BITS.locate(nr);
            assert!(array == 32 && bit < 256, "{nr}");
        }
    }

    #[test]
    fn what_is_within_ends_there_without_overflow() {
        assert!(is_within(0, 48, 48) && is_within(40, 8, 48) && is_within(48, 0, 48));
        assert!(!is_within(41, 8, 48) && !is_within(0, 49, 48));
        for far in [usize::MAX, usize::MAX - 1, usize::MAX - 7] {
            assert!(!is_within(far, 8, 48) && !is_within(8, far, 48) && !is_within(far, far, 48));
        }
    }

    #[test]
    #[should_panic]
    fn an_array_past_the_end_is_refused() {
        Bits::<Sample>::at(32, 512);
    }

    #[test]
    #[should_panic]
    fn a_field_past_the_end_is_refused() {
        Field::<Sample, u32>::at(64);
    }

    #[test]
    #[should_panic]
    fn a_field_out_of_line_is_refused() {
        Field::<Sample, u64>::at(4);
    }
}
