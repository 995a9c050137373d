// SPDX-License-Identifier: GPL-2.0

//! Look-ups in an xarray, of which there are two for each event: for the port and for the vCPU.
//!
//! C's functions keep what is needed to go on from an entry, and enter RCU. Here the caller mostly is
//! in RCU, as it has interrupts off, and all that is not a pointer is left to C.
//!
//! C header: `include/linux/xarray.h`.

use crate::{bindings, sync::gpc::Locked};
use core::{mem::offset_of, ptr};
use kernel::ffi::{c_ulong, c_void};

/// How many entries a node has: they end where its marks begin.
const SLOTS: usize = (offset_of!(bindings::xa_node, __bindgen_anon_2)
    - offset_of!(bindings::xa_node, slots))
    / size_of::<*mut c_void>();

/// As [`load`], with a lock held that has interrupts off, and so is in RCU; where it has not, C
/// has to tell.
///
/// # Safety
///
/// The array is initialized, and has no entries but pointers.
#[inline(always)]
pub(super) unsafe fn load_locked<S>(
    locked: &Locked<'_, S>,
    array: *const bindings::xarray,
    index: c_ulong,
) -> Option<*mut c_void> {
    // SAFETY: By the safety requirement, and as the lock says.
    unsafe { locked.is_in_rcu().then(|| load(array, index)).flatten() }
}

/// What is at `index`: null where nothing is; `None` where C has to tell.
///
/// # Safety
///
/// The array is initialized, and has no entries but pointers. The caller is in RCU, or keeps the
/// array from being changed.
#[inline(always)]
pub(super) unsafe fn load(array: *const bindings::xarray, index: c_ulong) -> Option<*mut c_void> {
    // SAFETY: The array is there, and its nodes are freed by RCU. A load that depends on another
    // one is ordered behind that.
    unsafe {
        let mut entry = (&raw const (*array).xa_head).read_volatile();
        let covered = match node(entry) {
            Some(node) => index.wrapping_shr((*node).shift.into()) < SLOTS,
            None => index == 0,
        };
        if !covered {
            return Some(ptr::null_mut());
        }
        while let Some(node) = node(entry) {
            let shift = (*node).shift;
            let slots = (&raw const (*node).slots).cast::<*mut c_void>();
            let slot = index.wrapping_shr(shift.into()) % SLOTS;
            entry = slots.add(slot).read_volatile();
            if shift == 0 {
                break;
            }
        }
        // What is internal tells it by these bits: a node that is being freed has such entries.
        (entry.addr() & INTERNAL == 0).then_some(entry)
    }
}

/// The bits by which an entry tells what it is; a pointer has none.
const INTERNAL: usize = 3;

/// The node that an entry stands for.
#[inline(always)]
fn node(entry: *mut c_void) -> Option<*const bindings::xa_node> {
    // Below are other internal entries.
    let is_node = entry.addr() & INTERNAL == 2 && entry.addr() > 4096;
    is_node.then(|| entry.wrapping_byte_sub(2).cast_const().cast())
}
