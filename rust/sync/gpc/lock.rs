// SPDX-License-Identifier: GPL-2.0

//! `gpc->lock` and `gpc->refresh_lock`.

use super::{
    rwlock::{self, Flags, Lock},
    Gpa, Place,
};
use crate::{
    abi::layout::is_within,
    bindings,
    livepatch::symbols,
    object::{field, Object},
    sync::{current::is_in, order::Id, Held, MayRefresh},
    trace,
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    ffi::c_ulong,
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
};

/// A pfn cache, as C has it.
///
/// # Invariants
///
/// It is initialized.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(Object<'a, bindings::gfn_to_pfn_cache>);

impl<'a> Raw<'a> {
    /// Wraps a pfn cache of C's.
    ///
    /// # Safety
    ///
    /// It is initialized.
    #[inline(always)]
    pub(super) const unsafe fn new(object: Object<'a, bindings::gfn_to_pfn_cache>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(object)
    }

    /// The cache as C's functions take it.
    #[inline(always)]
    pub(super) const fn as_ptr(self) -> *mut bindings::gfn_to_pfn_cache {
        self.0.as_ptr()
    }

    /// `gpc->lock`, which is initialized.
    #[inline(always)]
    pub(super) fn rwlock(self) -> Lock<'a> {
        field!(self.0, lock)
    }

    /// The VM that it is of.
    #[inline(always)]
    fn vm(self) -> Object<'a, bindings::kvm> {
        // SAFETY: `kvm_gpc_init()` has set the field, and nobody does after that.
        let kvm = unsafe { (*self.as_ptr()).kvm };
        // SAFETY: A VM goes after its caches. KVM allocates it zeroed.
        unsafe { Object::from_raw(kvm) }
    }

    /// The VMM's address space, of which the VM has a reference to the structure.
    #[inline(always)]
    fn mm(self) -> *mut bindings::mm_struct {
        // SAFETY: `kvm_create_vm()` sets the field before the VM has caches, and nobody after that.
        unsafe { (*self.vm().as_ptr()).mm }
    }

    /// Whether KVM still invalidates the cache when its page goes: not when nobody has the VM any
    /// more.
    #[inline(always)]
    fn has_notifier(self) -> bool {
        field!(self.vm(), users_count.refs.counter).read_once() != 0
    }

    /// Whether it is active. It is written with the lock held for writing; a reader without it sees a
    /// value from before or after.
    #[inline(always)]
    pub(super) fn is_active(self) -> bool {
        field!(self.0, active).is_set()
    }

    /// The guest-physical address of what it maps, or `INVALID_GPA`. With the lock held it does not
    /// change, as nothing else that is below.
    #[inline(always)]
    pub(super) fn gpa(self) -> Gpa {
        field!(self.0, gpa).read_once()
    }

    /// The VMM's address of what it maps.
    #[inline(always)]
    pub(super) fn uhva(self) -> c_ulong {
        field!(self.0, uhva).read_once()
    }
}

/// What there is to undo when the lock is released.
#[derive(Clone, Copy)]
pub(super) struct Saved {
    flags: Flags,
    /// Whether the address space was kept from going.
    kept: bool,
}

/// The address of what a cache maps, of `len` bytes where that is not known to fit, with its lock
/// held for reading; nothing, and nothing held, if it is not valid, or is being changed.
///
/// When the VMM's address space goes, nothing invalidates the cache: KVM's notifier for that does
/// not, and is off the list when `exit_mmap()` unmaps the page. The VM may stay, as long as
/// somebody has its file, and so may its timers and irqfds. So a task of another process, or an
/// interrupt, keeps the address space for as long as it uses the page. Nor is a cache invalidated
/// once its VM is being destroyed: KVM takes its notifier off first, and vCPUs with their timers
/// later.
///
/// # Safety
///
/// The invariant of [`Ctx`](crate::sync::Ctx) holds of `H`, where the task may try locks. `len` may
/// be left out where each activation of the cache is for the same structure. Who writes to the page
/// is in a read-side critical section of the `kvm->srcu` of its VM: a change of the memslots waits
/// for that.
#[inline(always)]
pub(super) unsafe fn try_lock<H: Held>(
    gpc: Raw<'_>,
    len: Option<usize>,
) -> Option<(NonNull<u8>, Saved)> {
    let lock = gpc.rwlock();
    // SAFETY: The lock is initialized. One that is only tried has no place in the lock order to keep to.
    // Where another cache is locked, interrupts are off.
    let flags = unsafe { rwlock::try_read(lock, has::<H>(Id::GpcLock)) }?;
    // SAFETY: The lock is held, and the rest is the caller's.
    if let Some(base) = unsafe { base(gpc, len) } {
        if let Some(kept) = keep_mm::<H>(gpc) {
            return Some((base, Saved { flags, kept }));
        }
    }
    // SAFETY: It was taken above, with `flags` from before.
    unsafe { rwlock::unlock(lock, flags) };
    None
}

/// Whether the VMM's address space had to be kept from going, so that the page stays while the lock
/// is held; nothing if it may go, or has gone.
#[inline(always)]
fn keep_mm<H: Held>(gpc: Raw<'_>) -> Option<bool> {
    // Another cache of the VM that is locked was found so, and keeps the address space.
    if has::<H>(Id::GpcLock) {
        return Some(false);
    }
    if !gpc.has_notifier() {
        return None;
    }
    // A task in the VM's address space stays in it.
    if has::<H>(Id::VmMm) || is_in(gpc.mm()) {
        return Some(false);
    }
    // To let go of it may wake a worker, which must not be with the run queue locked. It is a vCPU's
    // own task that is scheduled out, which is in the VM's address space.
    if has::<H>(Id::RunQueue) {
        return None;
    }
    // SAFETY: The VM has a reference to the structure; the count in it is atomic.
    unsafe { bindings::mmget_not_zero(gpc.mm()) }.then_some(true)
}

/// Whether `H` has a level.
const fn has<H: Held>(level: Id) -> bool {
    H::LEVELS & (1 << level as u32) != 0
}

/// Takes the lock for reading. Spins.
///
/// # Safety
///
/// The context may wait for the lock.
#[inline(always)]
pub(super) unsafe fn lock(gpc: Raw<'_>) -> Saved {
    // SAFETY: The lock is initialized; the rest is the caller's.
    let flags = unsafe { rwlock::read(gpc.rwlock()) };
    Saved { flags, kept: false }
}

/// Releases what [`try_lock`] or [`lock`] has taken.
///
/// # Safety
///
/// `gpc` is locked for reading with `saved`.
#[inline(always)]
pub(super) unsafe fn unlock(gpc: Raw<'_>, saved: Saved) {
    // SAFETY: By the safety requirement.
    unsafe { rwlock::unlock(gpc.rwlock(), saved.flags) };
    if saved.kept {
        // Elsewhere, if it is the last one: this may be an interrupt.
        // SAFETY: `keep_mm` has taken a reference, and the page is not used any more.
        unsafe { bindings::mmput_async(gpc.mm()) };
    }
}

/// The address of what a cache maps, of `len` bytes where that is not known to fit; none if it is
/// not valid.
///
/// This is `kvm_gpc_check()` without what follows from the rest: a cache that is `valid` is active,
/// and its page was found at an address that is one. Both change with the lock held for writing,
/// and `valid` with them.
///
/// # Safety
///
/// As for [`try_lock`], and the lock is held.
#[inline(always)]
pub(super) unsafe fn base(gpc: Raw<'_>, len: Option<usize>) -> Option<NonNull<u8>> {
    if !field!(gpc.0, valid).is_set() {
        return None;
    }
    // A page that was found by its guest-physical address may be another since.
    let by_gpa = gpc.gpa() != Gpa::MAX;
    if by_gpa {
        let slots = field!(gpc.vm(), memslots).item(0).read_once();
        // SAFETY: The sets of memslots are parts of the VM, of which the one or the other is in use.
        let slots = unsafe { Object::from_raw(slots) };
        // An update of the memslots writes to that of the set in use, too, when it ends.
        if field!(slots, generation).read_once() != field!(gpc.0, generation).read_once() {
            return None;
        }
    }
    if let Some(len) = len {
        let at = if by_gpa { gpc.gpa() } else { gpc.uhva() as Gpa };
        if !is_within(at as usize % PAGE_SIZE, len, PAGE_SIZE) {
            return None;
        }
    }
    NonNull::new(field!(gpc.0, khva).read_once().cast())
}

/// Maps another page from now on, for `len` bytes. May sleep.
///
/// # Safety
///
/// As for [`refresh`].
#[inline(never)]
pub(super) unsafe fn activate(gpc: Raw<'_>, place: Place, len: usize) -> Result {
    let (gpc, len) = (gpc.as_ptr(), len as c_ulong);
    let result = match place {
        // SAFETY: The cache is initialized; the rest is the caller's. Against others who change it KVM
        // has a lock.
        Place::Guest(gpa) => unsafe { symbols::kvm_gpc_activate(gpc, gpa, len) },
        // SAFETY: As above; the address need not be one of the VMM's.
        Place::Vmm(hva) => unsafe { symbols::kvm_gpc_activate_hva(gpc, hva as c_ulong, len) },
    };
    // `to_result()` is out of line.
    match result {
        0 => Ok(()),
        _ => to_result(result),
    }
}

/// Maps the page of a cache again after it has moved, for `len` bytes. May sleep.
///
/// # Safety
///
/// The task is in a read-side critical section of the `kvm->srcu` of the cache's VM and in the VM's
/// address space. It may sleep and take the locks of the cache.
#[inline(never)]
pub(super) unsafe fn refresh(gpc: Raw<'_>, len: usize) -> Result {
    // KVM warns when it is asked to refresh a cache that was never active, which a host with
    // `panic_on_warn` does not survive: a VMM need only send an event before it maps a page.
    if !gpc.is_active() {
        return Err(failed(gpc, EINVAL));
    }
    // The VM is being destroyed. KVM itself may still take the cache for valid.
    if !gpc.has_notifier() {
        return Err(failed(gpc, EFAULT));
    }
    // The lock may have been held just for a moment, and the cache be valid. That is found out as a
    // reader: a writer would make the next one come here, too.
    // SAFETY: The context may take the lock.
    let saved = unsafe { lock(gpc) };
    // SAFETY: It is held, by a task in a read-side critical section; nothing is written to the
    // page.
    let is_valid = unsafe { base(gpc, Some(len)) }.is_some();
    // SAFETY: It was taken above.
    unsafe { unlock(gpc, saved) };
    if is_valid {
        return Ok(());
    }
    // SAFETY: The cache is initialized, and was active; the rest is the caller's. Against others who
    // refresh it KVM has a lock.
    let result = unsafe { symbols::kvm_gpc_refresh(gpc.as_ptr(), len as c_ulong) };
    trace::refresh(|| (gpc.0, result));
    to_result(result)
}

/// Traces that a cache can't be refreshed.
#[cold]
fn failed(gpc: Raw<'_>, error: Error) -> Error {
    trace::refresh(|| (gpc.0, error.to_errno()));
    error
}

/// As [`try_lock`], refreshing the cache until it is valid, for the `len` bytes that each activation of
/// it is for. May sleep.
///
/// # Safety
///
/// As for [`refresh`], and `len` may be left out.
#[inline(always)]
pub(super) unsafe fn lock_refreshed(gpc: Raw<'_>, len: usize) -> Result<(NonNull<u8>, Saved)> {
    loop {
        // SAFETY: By the safety requirement the task is inside of what matters in `MayRefresh`.
        if let Some(locked) = unsafe { try_lock::<MayRefresh>(gpc, None) } {
            return Ok(locked);
        }
        // Waits for whoever changes the cache, too.
        // SAFETY: By the safety requirement.
        unsafe { refresh(gpc, len) }?;
    }
}

/// Notes that the page of a cache has been written to.
///
/// # Safety
///
/// `gpc` is valid and locked, and the task in a read-side critical section of the `kvm->srcu` of
/// its VM.
#[inline(never)]
pub(super) unsafe fn mark_dirty(gpc: Raw<'_>) {
    let memslot = field!(gpc.0, memslot).read_once();
    if !memslot.is_null() {
        // SAFETY: The lock is held, so that the memslot is the one that the page was found by, and
        // is that of the read-side critical section, as the cache is valid: it stays as long.
        unsafe {
            symbols::mark_page_dirty_in_slot(gpc.vm().as_ptr(), memslot, gpc.gpa() >> PAGE_SHIFT)
        };
    }
}
