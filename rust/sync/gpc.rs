// SPDX-License-Identifier: GPL-2.0

//! Pfn caches: mappings of guest pages that KVM takes away again when the page moves.
//!
//! A mapping may be used while `gpc->lock` is held for reading and the cache is valid, which
//! [`Mapping`] is the evidence of. What is in it belongs to the guest: `kvm/guest_memory.rs` has
//! the only ways to it.
//!
//! C source: `virt/kvm/pfncache.c`.

mod alone;
mod lock;
mod parts;
mod rwlock;

pub(crate) use parts::{Part, Parts, Unmapped};

use lock::{Raw, Saved};

use super::{
    order::{GpcLock, GpcRefreshLock},
    Ctx, Held, InKvmSrcu, InSection, InVmMm, MayEnter, MaySleep, MayTryLock, Within,
};
use crate::{abi::layout::Structure, bindings, livepatch::symbols, object::Object};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{prelude::*, types::NotThreadSafe};

/// A guest-physical address, in bytes.
pub(crate) type Gpa = u64;

/// An address in the VMM's process, in bytes.
pub(crate) type Hva = u64;

/// An initialized pfn cache, for a structure `S`, that outlives `'a`.
///
/// # Examples
///
/// ```
/// use crate::{kvm::Vm, prelude::*, sync::{gpc::{Gpa, Place}, Ctx, MayRefresh}};
///
/// /// Puts `shared_info` somewhere. May sleep.
/// fn place(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>, at: Gpa) -> Result {
///     vm.shared_info().activate(cx, Place::Guest(at))
/// }
/// ```
pub(crate) struct Gpc<'a, S> {
    raw: Raw<'a>,
    _of: PhantomData<fn() -> S>,
}

impl<S> Clone for Gpc<'_, S> {
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

/// A cache with its lock held for reading, valid or not.
///
/// # Examples
///
/// ```
/// use crate::{kvm::Vm, sync::{Ctx, InKvmRun}};
///
/// fn is_mapped(cx: &mut Ctx<'_, InKvmRun>, vm: Vm<'_>) -> bool {
///     vm.shared_info().lock(cx).map().is_some()
/// }
/// ```
///
/// # Invariants
///
/// `gpc->lock` of `gpc` is held for reading, with `saved` from before. During `'g` the task is in a
/// read-side critical section of `kvm->srcu` and may try other locks.
pub(crate) struct Locked<'g, S> {
    gpc: Gpc<'g, S>,
    saved: Saved,
    _task: NotThreadSafe,
}

/// A structure of the guest's, mapped.
///
/// # Examples
///
/// ```
/// use crate::{abi::shared_info::evtchn_mask, kvm::Vm, sync::{Ctx, MayDeliver}};
///
/// /// Whether a port is masked, if that can be seen now.
/// fn is_masked(cx: &mut Ctx<'_, MayDeliver>, vm: Vm<'_>, port: u32) -> Option<bool> {
///     let page = vm.shared_info().try_read(cx)?;
///     Some(page.test(&evtchn_mask(vm.word_size()), port))
/// }
/// ```
///
/// # Invariants
///
/// The cache is valid, and `base` is the address of mapped bytes within one page: `S::SIZE`, or as
/// many as were asked for.
pub(crate) struct Mapping<'g, S> {
    lock: Locked<'g, S>,
    base: NonNull<u8>,
}

impl<'a, S> Gpc<'a, S> {
    /// Wraps a pfn cache of KVM's.
    ///
    /// # Safety
    ///
    /// `raw` is initialized, is used for a structure `S`, and stays until `'a` ends.
    pub(crate) const unsafe fn from_raw(raw: Object<'a, bindings::gfn_to_pfn_cache>) -> Self {
        Self {
            // SAFETY: By the safety requirement.
            raw: unsafe { Raw::new(raw) },
            _of: PhantomData,
        }
    }

    /// The mapping, if the cache is valid and nobody changes it now; of `len` bytes, where it is
    /// not for a structure of one size.
    ///
    /// # Safety
    ///
    /// The task is in a read-side critical section of `kvm->srcu`, may try locks, and stays in its
    /// context during `'g`, of which the invariant of [`Ctx`] holds with `H`. Without `len`, the
    /// cache is for one structure.
    unsafe fn try_map<'g, H: Held>(self, len: Option<usize>) -> Option<Mapping<'g, S>>
    where
        'a: 'g,
    {
        // SAFETY: The cache is initialized; the rest is the caller's.
        let (base, saved) = unsafe { lock::try_lock::<H>(self.raw, len) }?;
        // INVARIANT: `try_lock` returns an address with the lock held.
        Some(Mapping {
            lock: self.locked(saved),
            base,
        })
    }

    /// What stands for the lock that was just taken.
    fn locked<'g>(self, saved: Saved) -> Locked<'g, S>
    where
        'a: 'g,
    {
        Locked {
            gpc: self,
            saved,
            _task: NotThreadSafe,
        }
    }

    /// Takes the lock for reading, for what [`lock_alone`](Gpc::lock_alone) keeps others from.
    /// Spins.
    pub(crate) fn lock<'g, H>(self, _cx: &'g mut Ctx<'_, H>) -> Locked<'g, S>
    where
        'a: 'g,
        // What is mapped stays as long as the VM's address space.
        H: InKvmSrcu + InVmMm + MayEnter<GpcLock>,
    {
        // SAFETY: The lock is initialized with the cache; the lock order allows to wait for it.
        let saved = unsafe { lock::lock(self.raw) };
        // INVARIANT: Just taken; the context is inside a read-side critical section, and borrowed
        // for as long.
        self.locked(saved)
    }

    /// Maps the page again after it has moved, for `len` bytes.
    fn refresh_len<H>(self, _cx: &mut Ctx<'_, H>, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        // SAFETY: The cache is initialized; the context may sleep, take its locks, read memslots,
        // and fault in pages.
        unsafe { lock::refresh(self.raw, len) }
    }

    /// Maps another page from now on, for `len` bytes.
    fn activate_len<H>(self, _cx: &mut Ctx<'_, H>, place: Place, len: usize) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        // SAFETY: As in `refresh_len`.
        unsafe { lock::activate(self.raw, place, len) }
    }

    /// Maps nothing from now on. May sleep.
    pub(crate) fn deactivate<H: MaySleep + MayEnter<GpcRefreshLock>>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: The cache is initialized; the context may sleep and take its locks.
        unsafe { symbols::kvm_gpc_deactivate(self.raw.as_ptr()) }
    }

    /// Whether the cache has been told to map something, valid or not: now, or a moment ago.
    pub(crate) fn is_active(self) -> bool {
        self.raw.is_active()
    }

    /// What an active cache maps. Exact while no other task can change it.
    pub(crate) fn place(self) -> Option<Place> {
        if !self.is_active() {
            return None;
        }
        let gpa = self.raw.gpa();
        // A cache by the VMM's address has no guest-physical one: INVALID_GPA.
        if gpa == Gpa::MAX {
            Some(Place::Vmm(self.raw.uhva() as Hva))
        } else {
            Some(Place::Guest(gpa))
        }
    }
}

impl<'a, S: Structure> Gpc<'a, S> {
    /// The mapping, if the cache is valid and nobody changes it now. Never waits; any context, a
    /// hard interrupt too, but under `PREEMPT_RT`.
    pub(crate) fn try_read<'g, H: InKvmSrcu + MayTryLock>(
        self,
        _cx: &'g mut Ctx<'_, H>,
    ) -> Option<Mapping<'g, S>>
    where
        'a: 'g,
    {
        // SAFETY: The context is inside a read-side critical section, may try locks, and is
        // borrowed as long as the mapping. C and Rust activate the cache for the structure as a
        // whole.
        unsafe { self.try_map::<H>(None) }
    }

    /// What `look` finds in the structure, from its address, if the cache is valid and nobody
    /// changes it now. Never waits; any context.
    pub(crate) fn try_peek<R, H: InKvmSrcu + MayTryLock>(
        self,
        _cx: &mut Ctx<'_, H>,
        look: impl FnOnce(NonNull<u8>) -> R,
    ) -> Option<R> {
        // SAFETY: The cache is initialized, and is activated for the structure as a whole.
        // Nothing is written, nor noted as written.
        let (base, saved) = unsafe { lock::try_lock::<H>(self.raw, None) }?;
        let found = look(base);
        // SAFETY: Just locked.
        unsafe { lock::unlock(self.raw, saved) };
        Some(found)
    }

    /// The mapping, made valid if need be. May sleep, as long as the page takes to come.
    ///
    /// # Errors
    ///
    /// Those of [`Gpc::refresh`].
    pub(crate) fn read<'g, H>(self, _cx: &'g mut Ctx<'_, H>) -> Result<Mapping<'g, S>>
    where
        'a: 'g,
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        // SAFETY: The cache is initialized; the context is inside a read-side critical section, may
        // sleep, take the cache's locks and fault in pages, and is borrowed as long as the mapping.
        let (base, saved) = unsafe { lock::lock_refreshed(self.raw, S::SIZE) }?;
        // INVARIANT: `lock_refreshed` returns an address with the lock held.
        Ok(Mapping {
            lock: self.locked(saved),
            base,
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

impl<S> Locked<'_, S> {
    /// Whether what RCU protects stays: no grace period ends while interrupts are off.
    pub(crate) const fn is_in_rcu(&self) -> bool {
        rwlock::INTERRUPTS_OFF
    }
}

impl<'g, S: Structure> Locked<'g, S> {
    /// The mapping, if the cache is valid; else the lock is released.
    pub(crate) fn map(self) -> Option<Mapping<'g, S>> {
        // SAFETY: By the invariant the lock is held, in a read-side critical section. C and Rust
        // activate the cache for the structure as a whole.
        let base = unsafe { lock::base(self.gpc.raw, None) }?;
        // INVARIANT: `base` returns an address where the cache is valid.
        Some(Mapping { lock: self, base })
    }
}

impl<'g, S> Mapping<'g, S> {
    /// The context inside the lock, where another cache can be tried.
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<GpcLock, InSection>> {
        // SAFETY: By the invariant of `Locked`, the lock is held and the task in a read-side
        // critical section, where it may try others; all else that follows from `InSection`
        // only forbids.
        unsafe { Ctx::assert() }
    }

    /// The lock that is held.
    pub(crate) fn locked(&self) -> &Locked<'g, S> {
        &self.lock
    }

    /// The start of the bytes mapped.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Notes that the page has been written to, for a VMM that copies what changes.
    pub(crate) fn mark_dirty(&self) {
        // SAFETY: By the invariants the lock is held, and the cache valid, in a read-side critical
        // section.
        unsafe { lock::mark_dirty(self.lock.gpc.raw) }
    }
}

impl<S> Drop for Locked<'_, S> {
    fn drop(&mut self) {
        // SAFETY: By the invariant the lock is held, and `saved` is its own.
        unsafe { lock::unlock(self.gpc.raw, self.saved) }
    }
}
