// SPDX-License-Identifier: GPL-2.0

//! Xen's state of a VM, with the leaf mutex held: the only place where it can be changed.

use super::{
    sender::{Retired, Sender},
    Vm,
};
use crate::{
    abi::WordSize,
    bindings,
    sync::{
        order::XenLock,
        xen_lock::{Guard, Mutex},
        Ctx, Held, MayEnter, Within,
    },
};
use core::ptr::NonNull;
use kernel::{
    error::{code::*, Error},
    ffi::{c_int, c_ulong},
    prelude::*,
};

/// Xen's state of a VM, held by the leaf mutex until this is dropped.
pub(crate) struct XenState<'g, H> {
    vm: Vm<'g>,
    guard: Guard<'g, H>,
}

/// Accessors of a field that is a word at most.
macro_rules! accessors {
    ($($(#[$doc:meta])* $get:ident, $set:ident, $field:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $get(&self) -> $type {
            // SAFETY: The field is there, and nobody writes to it as the mutex is held.
            unsafe { (&raw const (*self.vm.xen()).$field).read() }
        }

        /// Changes what the getter of the same name says.
        #[inline]
        pub(crate) fn $set(&mut self, value: $type) {
            // SAFETY: The field is there, and nobody else writes to it as the mutex is held.
            unsafe { (&raw mut (*self.vm.xen()).$field).write_volatile(value) }
        }
    )*};
}

impl<'a> Vm<'a> {
    /// Takes the leaf mutex. May sleep.
    #[inline]
    pub(crate) fn lock_xen<'g, H>(self, cx: &'g mut Ctx<'_, H>) -> XenState<'g, H>
    where
        'a: 'g,
        H: MayEnter<XenLock>,
    {
        // SAFETY: The mutex is initialized with the VM, and stays as long.
        let mutex =
            unsafe { Mutex::from_raw(NonNull::new_unchecked(&raw mut (*self.xen()).xen_lock)) };
        XenState {
            vm: self,
            guard: mutex.lock(cx),
        }
    }
}

impl<H> XenState<'_, H> {
    /// The context inside the mutex.
    #[inline]
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<XenLock, H>>
    where
        H: Held,
    {
        self.guard.cx()
    }

    accessors! {
        /// The vector of the upcall for vCPUs that have none of their own, or 0.
        upcall_vector, set_upcall_vector, upcall_vector: u8;
        /// The version of Xen that the kernel tells the guest, or 0 to leave that to the VMM.
        xen_version, set_xen_version, xen_version: u32;
        /// Whether the guest is told, by a bit in it, when its runstate is being written.
        runstate_update_flag, set_runstate_update_flag, runstate_update_flag: bool;
        /// What `KVM_XEN_HVM_CONFIG` has set.
        hvm_config, set_hvm_config, hvm_config: bindings::kvm_xen_hvm_config;
    }

    /// Changes the word size of the guest.
    #[inline]
    pub(crate) fn set_word_size(&mut self, size: WordSize) {
        // SAFETY: The field is there, and nobody else writes to it as the mutex is held.
        unsafe { (&raw mut (*self.vm.xen()).long_mode).write_volatile(size == WordSize::Bits64) }
    }

    /// The table of senders, as C has it.
    fn senders(&self) -> *mut bindings::idr {
        // SAFETY: Only the address of the field is taken, in a VM that is there.
        unsafe { &raw mut (*self.vm.xen()).evtchn_ports }
    }

    /// The sender that is assigned to `port`.
    pub(crate) fn sender(&self, port: u32) -> Option<&Sender> {
        // SAFETY: The table is initialized with the VM; nobody changes it as the mutex is held.
        let sender = unsafe { bindings::idr_find(self.senders(), port as c_ulong) };
        // SAFETY: The table has senders alone. They are removed, and those of C changed, under
        // the mutex.
        unsafe { sender.cast::<Sender>().as_ref() }
    }

    /// Assigns a sender to `port`, for hypercalls to find from now on. Allocates.
    ///
    /// # Errors
    ///
    /// `EEXIST` when the port has one, `ENOMEM`.
    pub(crate) fn add_sender(&mut self, port: u32, sender: KBox<Sender>) -> Result {
        let end = port
            .checked_add(1)
            .and_then(|end| c_int::try_from(end).ok());
        let end = end.ok_or(EINVAL)?;
        let raw = KBox::into_raw(sender);
        // SAFETY: The table is initialized with the VM; nobody else changes it as the mutex is
        // held. It may sleep in an allocation.
        let id = unsafe {
            bindings::idr_alloc(
                self.senders(),
                raw.cast(),
                end - 1,
                end,
                bindings::GFP_KERNEL,
            )
        };
        if id >= 0 {
            return Ok(());
        }
        // SAFETY: The table did not take it, so it is ours again.
        drop(unsafe { KBox::from_raw(raw) });
        // The only number allowed is taken.
        Err(match Error::from_errno(id) {
            ENOSPC => EEXIST,
            error => error,
        })
    }

    /// Takes the sender of `port` out of the table.
    pub(crate) fn remove_sender(&mut self, port: u32) -> Option<Retired<KBox<Sender>>> {
        // SAFETY: The table is initialized with the VM; nobody else changes it as the mutex is
        // held.
        let sender = unsafe { bindings::idr_remove(self.senders(), port as c_ulong) };
        if sender.is_null() {
            return None;
        }
        // SAFETY: It was allocated by `add_sender`, or in the same way by C, and the table, which
        // owned it, has it no more.
        Some(Retired::new(unsafe { KBox::from_raw(sender.cast()) }))
    }

    /// Puts another sender in the place of that of `port`, if it has one.
    pub(crate) fn replace_sender(
        &mut self,
        port: u32,
        sender: KBox<Sender>,
    ) -> Result<Retired<KBox<Sender>>> {
        let raw = KBox::into_raw(sender);
        // SAFETY: The table is initialized with the VM; nobody else changes it as the mutex is
        // held.
        let old = unsafe { bindings::idr_replace(self.senders(), raw.cast(), port as c_ulong) };
        match kernel::error::from_err_ptr(old) {
            // SAFETY: As in `remove_sender`.
            Ok(old) => Ok(Retired::new(unsafe { KBox::from_raw(old.cast()) })),
            Err(error) => {
                // SAFETY: The table did not take it, so it is ours again.
                drop(unsafe { KBox::from_raw(raw) });
                Err(error)
            }
        }
    }

    /// Takes all senders out of the table. Allocates.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and then the table is as it was.
    pub(crate) fn remove_all_senders(&mut self) -> Result<Retired<KVec<KBox<Sender>>>> {
        let mut count = 0usize;
        self.for_each_port(|_, _| count = count.wrapping_add(1));
        let mut senders = KVec::with_capacity(count, GFP_KERNEL)?;
        self.for_each_port(|state, port| {
            if let Some(sender) = state.remove_sender(port) {
                // There is room for each that was counted, as the mutex is held.
                let _ = senders.push_within_capacity(sender.into_inner());
            }
        });
        Ok(Retired::new(senders))
    }

    /// Calls `f` for each port that has a sender; it may remove that.
    fn for_each_port(&mut self, mut f: impl FnMut(&mut Self, u32)) {
        let mut next: c_int = 0;
        loop {
            // SAFETY: The table is initialized with the VM; nobody changes it as the mutex is held.
            let sender = unsafe { bindings::idr_get_next(self.senders(), &mut next) };
            if sender.is_null() {
                return;
            }
            // Ports are not negative.
            f(self, next as u32);
            next = next.wrapping_add(1);
        }
    }
}
