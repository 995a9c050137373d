// SPDX-License-Identifier: GPL-2.0

//! Senders that are taken out of the table: one of them, or all.

use super::sender::{Owned, Sender};
use crate::{bindings, sync::srcu::DropAnywhere};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, NonNull},
};
use kernel::ffi::{c_int, c_void};

/// Where senders lead to.
pub(crate) trait Destinations {
    /// How many senders it is, at most 4095, if all of them lead to ports of the guest.
    fn ports(&self) -> Option<u16>;
}

impl Destinations for Owned {
    fn ports(&self) -> Option<u16> {
        (self.port() != 0).then_some(1)
    }
}

/// All senders of a table.
///
/// # Invariants
///
/// The table is initialized and not locked, and what is in it are senders that it owns.
pub(crate) struct Senders(UnsafeCell<bindings::idr>);

// SAFETY: As for a single one.
unsafe impl Send for Senders {}

// SAFETY: As for a single one; the nodes are freed by RCU.
unsafe impl DropAnywhere for Senders {}

impl Senders {
    /// Takes them out of a table.
    ///
    /// # Safety
    ///
    /// The table is initialized, has senders alone, and nobody else changes it meanwhile.
    pub(super) unsafe fn take(table: *mut bindings::idr) -> Self {
        let mut taken = MaybeUninit::uninit();
        // SAFETY: By the safety requirement: readers, who may be there, are left the nodes.
        unsafe { bindings::kvm_xen_rs_idr_take(table, taken.as_mut_ptr()) };
        // INVARIANT: They were the table's own.
        // SAFETY: The call has initialized it. It may be moved: what is in it does not point to it.
        Self(UnsafeCell::new(unsafe { taken.assume_init() }))
    }
}

impl Destinations for Senders {
    fn ports(&self) -> Option<u16> {
        /// Counts one that leads to a port; not 0 for another.
        ///
        /// # Safety
        ///
        /// `sender` is one that stays meanwhile, and `count` a number of the caller's.
        unsafe extern "C" fn count(_port: c_int, sender: *mut c_void, count: *mut c_void) -> c_int {
            // SAFETY: By the safety requirement. What others write to meanwhile is in a cell.
            let sender = unsafe { &*sender.cast::<Sender>() };
            // SAFETY: By the safety requirement.
            let count = unsafe { &mut *count.cast::<u16>() };
            // There are no more than 4095 ports.
            *count = count.wrapping_add(1);
            (sender.port() == 0).into()
        }
        let mut ports = 0_u16;
        let argument = (&raw mut ports).cast();
        // SAFETY: By the invariant the table has senders alone; nobody changes it.
        let leads_out = unsafe { bindings::idr_for_each(self.0.get(), Some(count), argument) != 0 };
        (!leads_out).then_some(ports)
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        /// 0, to go on.
        ///
        /// # Safety
        ///
        /// `sender` is one that the caller owns, and looks at no more.
        unsafe extern "C" fn free(_port: c_int, sender: *mut c_void, _: *mut c_void) -> c_int {
            if let Some(sender) = NonNull::new(sender.cast::<Sender>()) {
                // SAFETY: By the safety requirement.
                drop(unsafe { Owned::from_raw(sender) });
            }
            0
        }
        // SAFETY: By the invariant the table owns what is in it, and has senders alone.
        unsafe { bindings::idr_for_each(self.0.get(), Some(free), ptr::null_mut()) };
        // SAFETY: Nobody uses the table any more; its nodes are freed by RCU, for whoever looked a port
        // up.
        unsafe { bindings::idr_destroy(self.0.get()) };
    }
}
