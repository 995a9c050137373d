// SPDX-License-Identifier: GPL-2.0

//! Pfn caches: mappings of guest pages that KVM takes away again when the page moves.
//!
//! A mapping may be used while `gpc->lock` is held for reading and the cache is valid, which
//! [`Mapping`] is the evidence of. What is in it belongs to the guest: `kvm/guest_memory.rs` has
//! the only ways to it.
//!
//! C source: `virt/kvm/pfncache.c`.

use super::{order::GpcRefreshLock, Ctx, InKvmSrcu, InVmMm, MayEnter, MaySleep};
use crate::{abi::layout::Structure, bindings, livepatch::symbols};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{error::to_result, ffi::c_ulong, page::PAGE_SHIFT, prelude::*, types::NotThreadSafe};

/// A guest-physical address, in bytes.
pub(crate) type Gpa = u64;

/// An address in the VMM's process, in bytes.
pub(crate) type Hva = u64;

/// An initialized pfn cache, for a structure `S`, that outlives `'a`.
pub(crate) struct Gpc<'a, S> {
    raw: NonNull<bindings::gfn_to_pfn_cache>,
    _lifetime: PhantomData<&'a ()>,
    _of: PhantomData<fn() -> S>,
}

impl<S> Clone for Gpc<'_, S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Gpc<'_, S> {}

/// In the place of a structure: a cache of bytes, as many as each use says.
pub(crate) struct Bytes;

/// What a cache is told to map.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The page that the memslots have there.
    Guest(Gpa),
    /// The page that the VMM has there, in a memslot or not.
    Vmm(Hva),
}

/// A structure of the guest's, mapped.
///
/// # Invariants
///
/// `gpc->lock` of `gpc` is held for reading, with the interrupt state from before in `flags`, and
/// `base` is the address of mapped bytes within one page: `S::SIZE`, or as many as were asked for.
pub(crate) struct Mapping<'g, S> {
    gpc: Gpc<'g, S>,
    base: NonNull<u8>,
    flags: c_ulong,
    _task: NotThreadSafe,
}

/// The address of `len` bytes that a cache maps, with its lock held for reading and the interrupt
/// state from before in `flags`; null, and nothing held, if it is not valid for them, or is being
/// changed just now.
///
/// One function for all structures: it is most of what a delivery does.
///
/// # Safety
///
/// `gpc` is initialized, and the task in a read section of the `kvm->srcu` of its VM.
#[inline(never)]
unsafe fn try_lock(
    gpc: NonNull<bindings::gfn_to_pfn_cache>,
    len: usize,
    flags: &mut c_ulong,
) -> *mut u8 {
    let gpc = gpc.as_ptr();
    // SAFETY: The lock is initialized with the cache. One that is only tried has no place in the
    // lock order to keep to.
    unsafe {
        if !bindings::kvm_xen_rs_read_trylock_irqsave(&raw mut (*gpc).lock, flags) {
            return core::ptr::null_mut();
        }
    }
    // SAFETY: The lock is held, so that the fields do not change; the read section keeps the
    // memslots that the check looks at.
    unsafe {
        if symbols::kvm_gpc_check(gpc, len as c_ulong) {
            return (*gpc).khva.cast();
        }
        bindings::kvm_xen_rs_read_unlock_irqrestore(&raw mut (*gpc).lock, *flags);
    }
    core::ptr::null_mut()
}

/// Maps the page of a cache again after it has moved, for `len` bytes. May sleep.
///
/// # Safety
///
/// `gpc` is initialized, and the task in a read section of the `kvm->srcu` of its VM and in the
/// VM's address space. It may sleep and take the locks of the cache.
#[inline(never)]
unsafe fn refresh(gpc: NonNull<bindings::gfn_to_pfn_cache>, len: usize) -> Result {
    // SAFETY: The field is a byte, read in one piece; the rest is the caller's.
    unsafe {
        // KVM warns, and a host that panics on warnings is lost, when asked to refresh a cache
        // that has never been active: a VMM need only send an event before it maps a page.
        if !(&raw const (*gpc.as_ptr()).active).read_volatile() {
            return Err(EINVAL);
        }
        to_result(symbols::kvm_gpc_refresh(gpc.as_ptr(), len as c_ulong))
    }
}

/// As [`try_lock`], refreshing the cache until it is valid. May sleep.
///
/// # Safety
///
/// As for [`refresh`].
#[inline(never)]
unsafe fn lock_refreshed(
    gpc: NonNull<bindings::gfn_to_pfn_cache>,
    len: usize,
    flags: &mut c_ulong,
) -> Result<NonNull<u8>> {
    // SAFETY: By the safety requirement.
    unsafe {
        loop {
            if let Some(base) = NonNull::new(try_lock(gpc, len, flags)) {
                return Ok(base);
            }
            // Waits for whoever changes the cache, too.
            refresh(gpc, len)?;
        }
    }
}

impl<'a, S> Gpc<'a, S> {
    /// Wraps a pfn cache of KVM's.
    ///
    /// # Safety
    ///
    /// `raw` is initialized, is used for a structure `S`, and stays until `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn from_raw(raw: NonNull<bindings::gfn_to_pfn_cache>) -> Self {
        Self {
            raw,
            _lifetime: PhantomData,
            _of: PhantomData,
        }
    }

    /// The mapping of `len` bytes, if the cache is valid for them and nobody changes it now.
    ///
    /// # Safety
    ///
    /// The task is in a read section of `kvm->srcu`, and stays in its context during `'g`.
    #[inline(always)]
    unsafe fn try_map<'g>(self, len: usize) -> Option<Mapping<'g, S>>
    where
        'a: 'g,
    {
        let mut flags = 0;
        // SAFETY: The cache is initialized; the rest is the caller's.
        let base = NonNull::new(unsafe { try_lock(self.raw, len, &mut flags) })?;
        // INVARIANT: `try_lock` returns an address with the lock held.
        Some(Mapping {
            gpc: self,
            base,
            flags,
            _task: NotThreadSafe,
        })
    }

    /// Maps the page again after it has moved, for `len` bytes.
    #[inline]
    fn refresh_len<H>(self, _cx: &mut Ctx<'_, H>, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        // SAFETY: The cache is initialized; the context may sleep, take its locks, read memslots,
        // and fault in pages.
        unsafe { refresh(self.raw, len) }
    }

    /// Maps another page from now on, for `len` bytes.
    fn activate_len<H>(self, _cx: &mut Ctx<'_, H>, place: Place, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        let (raw, len) = (self.raw.as_ptr(), len as c_ulong);
        // SAFETY: As in `refresh_len`.
        to_result(unsafe {
            match place {
                Place::Guest(gpa) => symbols::kvm_gpc_activate(raw, gpa, len),
                Place::Vmm(hva) => symbols::kvm_gpc_activate_hva(raw, hva as c_ulong, len),
            }
        })
    }

    /// Maps nothing from now on. May sleep.
    pub(crate) fn deactivate<H: MaySleep + MayEnter<GpcRefreshLock>>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: The cache is initialized; the context may sleep and take its locks.
        unsafe { symbols::kvm_gpc_deactivate(self.raw.as_ptr()) }
    }

    /// Whether the cache has been told to map something, valid or not.
    #[inline]
    pub(crate) fn is_active(self) -> bool {
        // SAFETY: The field is there as long as the cache. It is written under the lock; a reader
        // without it sees a value from before or after, and the callers allow for both.
        unsafe { (&raw const (*self.raw.as_ptr()).active).read_volatile() }
    }

    /// What an active cache maps. Exact while no other task can change it.
    pub(crate) fn place(self) -> Option<Place> {
        if !self.is_active() {
            return None;
        }
        // SAFETY: As in `is_active`.
        let (gpa, uhva) = unsafe {
            (
                (&raw const (*self.raw.as_ptr()).gpa).read_volatile(),
                (&raw const (*self.raw.as_ptr()).uhva).read_volatile(),
            )
        };
        // A cache by the VMM's address has no guest-physical one: INVALID_GPA.
        if gpa == Gpa::MAX {
            Some(Place::Vmm(uhva as Hva))
        } else {
            Some(Place::Guest(gpa))
        }
    }
}

impl<'a, S: Structure> Gpc<'a, S> {
    /// The mapping, if the cache is valid and nobody changes it now. Never waits; any context, a
    /// hard interrupt too.
    #[inline]
    pub(crate) fn try_read<'g, H: InKvmSrcu>(
        self,
        _cx: &'g mut Ctx<'_, H>,
    ) -> Option<Mapping<'g, S>>
    where
        'a: 'g,
    {
        // SAFETY: The context is inside a read section, and borrowed as long as the mapping.
        unsafe { self.try_map(S::SIZE) }
    }

    /// The mapping, made valid if need be. May sleep, as long as the page takes to come.
    ///
    /// # Errors
    ///
    /// Those of [`Gpc::refresh`].
    pub(crate) fn read<'g, H>(self, cx: &'g mut Ctx<'_, H>) -> Result<Mapping<'g, S>>
    where
        'a: 'g,
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        let _ = cx;
        let mut flags = 0;
        // SAFETY: The cache is initialized; the context is inside a read section, may sleep, take
        // the cache's locks and fault in pages, and is borrowed as long as the mapping.
        let base = unsafe { lock_refreshed(self.raw, S::SIZE, &mut flags) }?;
        // INVARIANT: `lock_refreshed` returns an address with the lock held.
        Ok(Mapping {
            gpc: self,
            base,
            flags,
            _task: NotThreadSafe,
        })
    }

    /// Maps the page again after it has moved. May sleep, as long as the page takes to come.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the cache is not active, `EFAULT` when there is no page.
    pub(crate) fn refresh<H>(self, cx: &mut Ctx<'_, H>) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        self.refresh_len(cx, S::SIZE)
    }

    /// Maps another page from now on. May sleep, as long as the page takes to come.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the structure would cross the page or the address is no user's, `EFAULT` when
    /// there is no page; the cache then is active all the same, as in C.
    pub(crate) fn activate<H>(self, cx: &mut Ctx<'_, H>, place: Place) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        self.activate_len(cx, place, S::SIZE)
    }
}

/// A cache and how many bytes of it are wanted.
pub(crate) type Part<'a> = (Gpc<'a, Bytes>, usize);

/// Which of two parts could not be mapped.
pub(crate) enum Unmapped {
    /// The first.
    First,
    /// The second.
    Second,
}

impl<'a> Gpc<'a, Bytes> {
    /// The mappings of a structure of which a part may be in another page. Never waits; any
    /// context.
    ///
    /// # Errors
    ///
    /// The part that is not valid, or being changed just now.
    pub(crate) fn try_read_parts<'g, H: InKvmSrcu>(
        _cx: &'g mut Ctx<'_, H>,
        first: Part<'a>,
        second: Option<Part<'a>>,
    ) -> Result<(Mapping<'g, Bytes>, Option<Mapping<'g, Bytes>>), Unmapped>
    where
        'a: 'g,
    {
        // SAFETY: The context is inside a read section, and borrowed as long as the mappings.
        let map = |(gpc, len): Part<'a>| unsafe { gpc.try_map(len) };
        let first = map(first).ok_or(Unmapped::First)?;
        let second = match second {
            Some(part) => Some(map(part).ok_or(Unmapped::Second)?),
            None => None,
        };
        Ok((first, second))
    }

    /// As [`Gpc::refresh`], for `len` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Gpc::refresh`].
    pub(crate) fn refresh_bytes<H>(self, cx: &mut Ctx<'_, H>, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        self.refresh_len(cx, len)
    }

    /// As [`Gpc::activate`], for `len` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Gpc::activate`].
    pub(crate) fn activate_bytes<H>(self, cx: &mut Ctx<'_, H>, gpa: Gpa, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        self.activate_len(cx, Place::Guest(gpa), len)
    }
}

impl<S> Mapping<'_, S> {
    /// The start of the bytes mapped.
    #[inline(always)]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Notes that the page has been written to, for a VMM that copies what changes.
    pub(crate) fn mark_dirty(&self) {
        let raw = self.gpc.raw.as_ptr();
        // SAFETY: The lock is held, so that the fields do not change; by the invariant the cache
        // is valid, so that the memslot, if there is one, is that of the read section we are in.
        unsafe {
            if !(*raw).memslot.is_null() {
                symbols::mark_page_dirty_in_slot(
                    (*raw).kvm,
                    (*raw).memslot,
                    (*raw).gpa >> PAGE_SHIFT,
                );
            }
        }
    }
}

impl<S> Drop for Mapping<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the invariant the lock is held, and `flags` are its own.
        unsafe {
            bindings::kvm_xen_rs_read_unlock_irqrestore(
                &raw mut (*self.gpc.raw.as_ptr()).lock,
                self.flags,
            )
        }
    }
}
