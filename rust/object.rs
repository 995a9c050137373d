// SPDX-License-Identifier: GPL-2.0

//! C's objects, and how their fields are reached.
//!
//! An object of KVM's is C's as much as ours: other tasks, in C and in Rust, change it while we look.
//! So there are no references to one. [`field!`](crate::object::field) gives the address of a field;
//! what is a word at most is read and written there in one piece, as by `READ_ONCE()` and
//! `WRITE_ONCE()`.

use core::{marker::PhantomData, ptr::NonNull};

/// An object of C's, or a field of one, that stays for `'a`.
///
/// # Invariants
///
/// Until `'a` ends the object is at the address, and its fields are initialized. Where others may
/// write to it at the same time, Rust code reads and writes it in one piece, by this or by an atomic
/// operation, and so does C with what is a word.
pub(crate) struct Object<'a, C> {
    raw: NonNull<C>,
    _lifetime: PhantomData<&'a ()>,
}

impl<C> Clone for Object<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Object<'_, C> {}

/// What is a word at most, and of which any bytes are a value.
///
/// # Safety
///
/// That is so.
pub(crate) unsafe trait Word: Copy {}

macro_rules! words {
    ($($type:ty)*) => {$(
        // SAFETY: It is an integer.
        unsafe impl Word for $type {}
    )*};
}

words!(u8 i8 u32 i32 u64 usize);

// SAFETY: Any address may be that of a raw pointer.
unsafe impl<T> Word for *mut T {}

impl<'a, C> Object<'a, C> {
    /// Wraps an object of C's.
    ///
    /// # Safety
    ///
    /// The invariants hold of `raw`.
    pub(crate) const unsafe fn from_raw(raw: *mut C) -> Self {
        Self {
            // SAFETY: There is no object at address 0.
            raw: unsafe { NonNull::new_unchecked(raw) },
            _lifetime: PhantomData,
        }
    }

    /// Its address.
    pub(crate) const fn as_ptr(self) -> *mut C {
        self.raw.as_ptr()
    }

    /// Writes it, in one piece.
    ///
    /// # Safety
    ///
    /// C, and who relies on the field in Rust, allows for the value, and for a change at this time.
    pub(crate) unsafe fn write_once(self, value: C)
    where
        C: Copy,
    {
        const { assert!(size_of::<C>() <= size_of::<usize>()) };
        // SAFETY: By the invariant the object is there, and aligned as C has it. Who reads it at the
        // same time does so in one piece.
        unsafe { self.as_ptr().write_volatile(value) }
    }
}

impl<C: Word> Object<'_, C> {
    /// Reads it, in one piece. Who may write to it at the same time does so in one piece, too: this
    /// is what was there at some moment.
    pub(crate) fn read_once(self) -> C {
        // SAFETY: By the invariant the object is there, aligned as C has it, and initialized. Any
        // bytes are a value.
        unsafe { self.as_ptr().read_volatile() }
    }
}

impl<'a, T, const N: usize> Object<'a, [T; N]> {
    /// One of an array. There have to be so many.
    pub(crate) fn item(self, index: usize) -> Object<'a, T> {
        // SAFETY: By the invariant the array is there. Only an address is taken, once the index is
        // checked.
        let item = unsafe { &raw mut (*self.as_ptr())[index] };
        // SAFETY: It is in the array.
        unsafe { part_of(self, item) }
    }
}

impl Object<'_, bool> {
    /// Reads it, in one piece, as [`read_once`](Self::read_once) an integer.
    #[inline(always)]
    pub(crate) fn is_set(self) -> bool {
        // SAFETY: By the invariant the object is there, and initialized: C's compilers write no other
        // bytes to a `bool` than Rust's do.
        unsafe { self.as_ptr().read_volatile() }
    }
}

/// A field of an [`Object`], as one that stays as long: `field!(object, path.to.field)`.
macro_rules! field {
    ($object:expr, $($field:ident).+) => {{
        let object = $object;
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "nothing is read of a union whose field this is"
        )]
        // SAFETY: By the invariant of `Object` it is there, and so is the field. Only its address is
        // taken.
        let field = unsafe { &raw mut (*$crate::object::Object::as_ptr(object)).$($field).+ };
        // SAFETY: A field is there as long as the whole, for which the rest of the invariant holds.
        unsafe { $crate::object::part_of(object, field) }
    }};
}
pub(crate) use field;

/// The object of which a field is at an address: `container_of!(address, type, path.to.field)`. There
/// need not be one.
macro_rules! container_of {
    ($part:expr, $container:ty, $($field:ident).+) => {{
        let part: *mut _ = $part;
        let _same_type = |whole: $crate::object::Object<'_, $container>| {
            [part, $crate::object::field!(whole, $($field).+).as_ptr()]
        };
        let offset = core::mem::offset_of!($container, $($field).+);
        part.wrapping_byte_sub(offset).cast::<$container>()
    }};
}
pub(crate) use container_of;

/// The part of `whole` at the address `part`.
///
/// # Safety
///
/// There is one.
pub(crate) const unsafe fn part_of<'a, C, F>(_whole: Object<'a, C>, part: *mut F) -> Object<'a, F> {
    // SAFETY: By the safety requirement; the invariants of `whole` are those of its parts.
    unsafe { Object::from_raw(part) }
}
