// SPDX-License-Identifier: GPL-2.0

//! Xen's state of a VM, with the leaf mutex held: the only place where it can be changed.

use super::{
    sender::{Owned, Sender},
    senders::Senders,
    xarray, Vm,
};
use crate::{
    abi::WordSize,
    bindings,
    object::{field, Object},
    sync::{
        order::XenLock,
        retired::Retired,
        xen_lock::{Guard, Mutex},
        Ctx, Held, MayEnter, MaySleep, Within,
    },
};
use core::ptr::NonNull;
use kernel::{
    error::{code::*, Error},
    ffi::{c_int, c_ulong},
    prelude::*,
};

/// Xen's state of a VM, held by the leaf mutex until this is dropped.
pub(crate) struct XenState<'a, 'g, H> {
    vm: Vm<'a>,
    guard: Guard<'g, H>,
}

/// Setters of a field that is a word at most.
macro_rules! setters {
    ($($(#[$doc:meta])* $set:ident, $field:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $set(&mut self, value: $type) {
            let field = field!(self.vm.xen(), $field);
            // SAFETY: Nobody else writes to it, as the mutex is held. Those who read it without the
            // mutex, in C and in Rust, allow for a change at any time.
            unsafe { field.write_once(value) }
        }
    )*};
}

impl<'a> Vm<'a> {
    /// Takes the leaf mutex. May sleep.
    #[inline]
    pub(crate) fn lock_xen<'g, H>(self, cx: &'g mut Ctx<'_, H>) -> XenState<'a, 'g, H>
    where
        'a: 'g,
        H: MayEnter<XenLock>,
    {
        let mutex = field!(self.xen(), xen_lock);
        // SAFETY: The mutex is initialized with the VM.
        let mutex = unsafe { Mutex::from_raw(mutex) };
        XenState {
            vm: self,
            guard: mutex.lock(cx),
        }
    }
}

impl<'a, H> XenState<'a, '_, H> {
    /// The context inside the mutex.
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<XenLock, H>>
    where
        H: Held,
    {
        self.guard.cx()
    }

    setters! {
        /// Changes the vector of the upcall for vCPUs that have none of their own; 0 for none.
        set_upcall_vector, upcall_vector: u8;
        /// Changes the version of Xen that the kernel tells the guest; 0 leaves that to the VMM.
        set_xen_version, xen_version: u32;
        /// Changes whether the guest is told, by a bit in it, when its runstate is being written.
        set_runstate_update_flag, runstate_update_flag: bool;
    }

    /// What `KVM_XEN_HVM_CONFIG` has set.
    pub(crate) fn hvm_config(&self) -> bindings::kvm_xen_hvm_config {
        let config = field!(self.vm.xen(), hvm_config).as_ptr();
        // SAFETY: Nobody writes to it, as the mutex is held.
        unsafe { config.read() }
    }

    /// Changes what `KVM_XEN_HVM_CONFIG` has set, field by field: some are read without the mutex.
    pub(crate) fn set_hvm_config(&mut self, to: &bindings::kvm_xen_hvm_config) {
        let config = field!(self.vm.xen(), hvm_config);
        macro_rules! write {
            ($($field:ident)*) => {$(
                let field = field!(config, $field);
                // SAFETY: As for the setters above: who reads some of it without the mutex takes a
                // mixture of two configurations for one.
                unsafe { field.write_once(to.$field) };
            )*};
        }
        write!(flags msr blob_addr_32 blob_addr_64 blob_size_32 blob_size_64);
        let pad2 = field!(config, pad2).as_ptr();
        // SAFETY: Nobody else reads or writes it, as the mutex is held.
        unsafe { pad2.write(to.pad2) };
    }

    /// Changes the word size of the guest.
    pub(crate) fn set_word_size(&mut self, size: WordSize) {
        let field = field!(self.vm.xen(), long_mode);
        // SAFETY: As for the setters above.
        unsafe { field.write_once(size == WordSize::Bits64) }
    }

    /// The table of senders, as C has it.
    fn senders(&self) -> *mut bindings::idr {
        field!(self.vm.xen(), evtchn_ports).as_ptr()
    }

    /// Assigns a sender to `port`, for hypercalls to find from now on. Allocates.
    ///
    /// # Errors
    ///
    /// `EEXIST` when the port has one, `ENOMEM`.
    pub(crate) fn add_sender(&mut self, port: u32, sender: Owned) -> Result
    where
        H: MaySleep,
    {
        let end = port
            .checked_add(1)
            .and_then(|end| c_int::try_from(end).ok());
        let end = end.ok_or(EINVAL)?;
        let raw = sender.into_raw();
        // SAFETY: The table is initialized with the VM; nobody else changes it as the mutex is
        // held. The context may sleep, so allocate with `GFP_KERNEL`.
        let id = unsafe {
            bindings::idr_alloc(
                self.senders(),
                raw.as_ptr().cast(),
                end - 1,
                end,
                bindings::GFP_KERNEL,
            )
        };
        if id >= 0 {
            return Ok(());
        }
        // SAFETY: The table did not take it, so it is ours again.
        drop(unsafe { Owned::from_raw(raw) });
        // The only number allowed is taken.
        Err(match Error::from_errno(id) {
            ENOSPC => EEXIST,
            error => error,
        })
    }

    /// Takes the sender of `port` out of the table.
    pub(crate) fn remove_sender(&mut self, port: u32) -> Option<Retired<'a, Owned>> {
        // SAFETY: The table is initialized with the VM; nobody else changes it as the mutex is
        // held.
        let sender = unsafe { bindings::idr_remove(self.senders(), port as c_ulong) };
        let sender = NonNull::new(sender.cast())?;
        // SAFETY: It was given to the table by `add_sender`, or by C, and the table has it no more.
        let sender = unsafe { Owned::from_raw(sender) };
        Some(Retired::new(sender, self.vm.srcu()))
    }

    /// Binds the sender of `port` to another vCPU, if `target` accepts it, which returns the VMM's
    /// number of the vCPU, and has to refuse what leads to an eventfd.
    ///
    /// Senders are looked up and used with `shared_info` locked for reading, so that none goes to
    /// the old vCPU after this.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a port without a sender, and those of `target`.
    pub(crate) fn bind_sender(
        &mut self,
        port: u32,
        target: impl FnOnce(&Sender) -> Result<u32>,
    ) -> Result
    where
        H: MaySleep,
    {
        let array = field!(self.vm.xen(), evtchn_ports.idr_rt);
        // SAFETY: The table is initialized with the VM, and has senders alone; nobody changes it as the
        // mutex is held.
        let found = unsafe { xarray::load(array, port as c_ulong) };
        let sender = found.and_then(|found| NonNull::new(found.cast::<Sender>()));
        let sender = sender.ok_or(ENOENT)?;
        // SAFETY: The table has senders alone, which are removed under the mutex. What others write to
        // meanwhile is in a cell.
        let id = target(unsafe { sender.as_ref() })?;
        // SAFETY: As above.
        let sender = unsafe { Object::from_raw(sender.as_ptr()) };
        // SAFETY: `target` is for one that leads to a port, and nobody else binds it, as the mutex is
        // held.
        unsafe { Sender::bind(sender, id) };
        self.vm.shared_info().wait_for_readers(&mut self.guard.cx());
        // Some of them may have noted the index of the old vCPU meanwhile. C may do so later:
        // whoever uses it checks it.
        // SAFETY: As above.
        unsafe { Sender::bind(sender, id) };
        Ok(())
    }

    /// Takes all senders out of the table.
    pub(crate) fn remove_all_senders(&mut self) -> Retired<'a, Senders> {
        // SAFETY: The table is initialized with the VM; nobody else changes it as the mutex is held.
        let senders = unsafe { Senders::take(self.senders()) };
        Retired::new(senders, self.vm.srcu())
    }
}
