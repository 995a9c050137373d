// SPDX-License-Identifier: GPL-2.0

//! Look-ups in an xarray, of which there are two for each event: for the port and for the vCPU.
//!
//! C's functions keep what is needed to go on from an entry, and enter RCU. Here the caller mostly is
//! in RCU, as it has interrupts off, and all that is not a pointer is left to C.
//!
//! C header: `include/linux/xarray.h`.

use crate::{
    bindings,
    object::{field, Object},
    sync::gpc::Locked,
};
use core::{mem::offset_of, ptr};
use kernel::ffi::{c_ulong, c_void};

/// How many entries a node has: they end where its marks begin.
const SLOTS: usize = (offset_of!(bindings::xa_node, __bindgen_anon_2)
    - offset_of!(bindings::xa_node, slots))
    / size_of::<*mut c_void>();

/// As [`load`], with a lock held that has interrupts off, and so in RCU. `None` where the lock
/// leaves them on: C's function has to look then.
///
/// # Safety
///
/// The array is initialized, and has no entries but pointers.
#[inline(always)]
pub(super) unsafe fn load_locked<S>(
    locked: &Locked<'_, S>,
    array: Object<'_, bindings::xarray>,
    index: c_ulong,
) -> Option<*mut c_void> {
    if !locked.is_in_rcu() {
        return None;
    }
    // SAFETY: By the safety requirement, and as the lock says.
    unsafe { load(array, index) }
}

/// What is at `index`: null where nothing is; `None` where C's function has to look.
///
/// # Safety
///
/// The array is initialized, and has no entries but pointers. The caller is in RCU, or keeps the
/// array from being changed.
#[inline(always)]
pub(super) unsafe fn load(
    array: Object<'_, bindings::xarray>,
    index: c_ulong,
) -> Option<*mut c_void> {
    // SAFETY: An entry of the array that stands for a node has been read just before. Nodes are
    // allocated zeroed and freed by RCU, which the caller is in, or are not freed.
    let node = |entry| node_of(entry).map(|node| unsafe { Object::from_raw(node) });
    let shift_of = |node: Object<'_, bindings::xa_node>| field!(node, shift).read_once().into();

    // A load that depends on another one is ordered behind that.
    let head = field!(array, xa_head).read_once();
    let Some(mut node_here) = node(head) else {
        // It is the entry at 0, and there is no other.
        return if index == 0 {
            pointer(head)
        } else {
            Some(ptr::null_mut())
        };
    };
    let mut shift: u32 = shift_of(node_here);
    if index.wrapping_shr(shift) >= SLOTS {
        return Some(ptr::null_mut());
    }
    loop {
        let slot = index.wrapping_shr(shift) % SLOTS;
        let entry = field!(node_here, slots).item(slot).read_once();
        match node(entry) {
            Some(below) if shift != 0 => node_here = below,
            _ => return pointer(entry),
        }
        shift = shift_of(node_here);
    }
}

/// An entry that is a pointer or null, as one of a node that is being freed is not.
#[inline(always)]
fn pointer(entry: *mut c_void) -> Option<*mut c_void> {
    (entry.addr() & INTERNAL == 0).then_some(entry)
}

/// The bits of which an internal entry has one or both, and a pointer none.
const INTERNAL: usize = 3;

/// The node that an entry stands for.
#[inline(always)]
fn node_of(entry: *mut c_void) -> Option<*mut bindings::xa_node> {
    // Below are other internal entries.
    let is_node = entry.addr() & INTERNAL == 2 && entry.addr() > 4096;
    is_node.then(|| entry.wrapping_byte_sub(2).cast())
}
