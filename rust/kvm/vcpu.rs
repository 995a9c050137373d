// SPDX-License-Identifier: GPL-2.0

//! `struct kvm_vcpu`.

use super::{bitops, Vm};
use crate::{
    abi::vcpu_info::VcpuInfo,
    bindings,
    livepatch::symbols,
    sync::{gpc::Gpc, Ctx, MayWake},
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::{self, NonNull},
};
use kernel::{ffi::c_int, types::NotThreadSafe};

/// A vCPU that stays for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Vcpu<'a> {
    raw: NonNull<bindings::kvm_vcpu>,
    _lifetime: PhantomData<&'a ()>,
}

/// A vCPU that is the current task's own: nobody else runs it, and nobody else changes what belongs
/// to it.
///
/// # Invariants
///
/// The task holds `vcpu->mutex`; or it does so in what the scheduler has interrupted, and has called
/// this from; or nobody else has the vCPU any more.
#[derive(Clone, Copy)]
pub(crate) struct OwnVcpu<'a> {
    vcpu: Vcpu<'a>,
    _task: NotThreadSafe,
}

impl<'a> OwnVcpu<'a> {
    /// Takes the caller's word that the vCPU is the current task's own.
    ///
    /// # Safety
    ///
    /// The invariants hold until `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn assert(vcpu: Vcpu<'a>) -> Self {
        // INVARIANT: By the safety requirement.
        Self {
            vcpu,
            _task: NotThreadSafe,
        }
    }
}

impl<'a> Deref for OwnVcpu<'a> {
    type Target = Vcpu<'a>;

    #[inline(always)]
    fn deref(&self) -> &Vcpu<'a> {
        &self.vcpu
    }
}

/// What a vCPU that polls waits for (`poll_evtchn`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// One port.
    Port(u32),
    /// One of several ports.
    Several,
}

impl<'a> Vcpu<'a> {
    /// Wraps a vCPU of KVM's.
    ///
    /// # Safety
    ///
    /// `raw` is a vCPU, fully created, that is not destroyed before `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn from_raw(raw: NonNull<bindings::kvm_vcpu>) -> Self {
        Self {
            raw,
            _lifetime: PhantomData,
        }
    }

    /// The vCPU as C has it.
    #[inline(always)]
    pub(crate) const fn as_raw(self) -> *mut bindings::kvm_vcpu {
        self.raw.as_ptr()
    }

    /// The number that the VMM gave it, its APIC ID at reset.
    #[inline]
    pub(crate) fn id(self) -> u32 {
        // SAFETY: The vCPU is there; the field never changes. It is not negative.
        unsafe { (*self.raw.as_ptr()).vcpu_id as u32 }
    }

    /// The number that KVM gave it, from 0 in the order of creation.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        // SAFETY: As in `id`.
        unsafe { (*self.raw.as_ptr()).vcpu_idx as u32 }
    }

    /// The VM that it is of.
    #[inline]
    pub(crate) fn vm(self) -> Vm<'a> {
        // SAFETY: A vCPU's VM never changes, is there before it, and is destroyed after it.
        unsafe { Vm::from_raw(NonNull::new_unchecked((*self.raw.as_ptr()).kvm)) }
    }

    /// The cache of its `vcpu_info`.
    #[inline]
    pub(crate) fn vcpu_info(self) -> Gpc<'a, VcpuInfo> {
        // SAFETY: The cache is initialized with the vCPU, and is only used for this structure.
        unsafe {
            Gpc::from_raw(NonNull::new_unchecked(
                &raw mut (*self.xen()).vcpu_info_cache,
            ))
        }
    }

    /// Notes in the kernel that there are events in word `word` (below 64) of the pending bitmap,
    /// for the vCPU to write to its `vcpu_info` when that is mapped again. Returns whether that
    /// was noted already.
    #[inline]
    pub(crate) fn test_and_set_pending_sel(self, word: u32) -> bool {
        // SAFETY: The field has 64 bits, and is changed by atomic operations alone.
        unsafe {
            let sel = &raw mut (*self.xen()).evtchn_pending_sel;
            bitops::test_and_set_in(sel.cast(), word % 64)
        }
    }

    /// What it polls for, where it is on the list of pollers.
    #[inline]
    pub(crate) fn polled(self) -> Polled {
        // SAFETY: The field is an int, written in one piece by the vCPU's own thread.
        match unsafe { (&raw const (*self.xen()).poll_evtchn).read_volatile() } {
            -1 => Polled::Several,
            port => Polled::Port(port as u32),
        }
    }

    /// Has the vCPU write its clocks to the guest again.
    pub(crate) fn request_clock_update(self) {
        // SAFETY: The vCPU is there.
        unsafe { bindings::kvm_xen_rs_request_clock_update(self.as_raw()) }
    }

    /// Wakes the vCPU, or has it leave the guest, to look for events.
    #[inline]
    pub(crate) fn unblock<H: MayWake>(self, _cx: &mut Ctx<'_, H>) {
        self.request(bindings::KVM_REQ_UNBLOCK);
        // SAFETY: The vCPU is there; a kick that does not wait may come from anywhere.
        unsafe { symbols::__kvm_vcpu_kick(self.raw.as_ptr(), false) }
    }

    /// Leaves a request for the vCPU, ordered after what the caller has written before.
    #[inline]
    pub(super) fn request(self, request: u32) {
        let nr = request & 0x3f;
        // SAFETY: The field has 64 bits, and is changed by atomic operations alone.
        unsafe {
            let requests = &raw mut (*self.raw.as_ptr()).requests;
            bitops::test_and_set_in(requests.cast(), nr);
        }
    }

    /// Raises the vCPU's own upcall vector in its local APIC, as an MSI would.
    #[inline(always)]
    pub(crate) fn inject_upcall_vector<H: MayWake>(self, _cx: &mut Ctx<'_, H>) {
        self.inject();
    }

    /// As [`inject_upcall_vector`](Self::inject_upcall_vector), once for all contexts.
    #[inline(never)]
    fn inject(self) {
        let mut irq = bindings::kvm_lapic_irq {
            dest_id: self.id(),
            vector: self.upcall_vector().into(),
            dest_mode: bindings::APIC_DEST_PHYSICAL as u16,
            shorthand: bindings::APIC_DEST_NOSHORT,
            delivery_mode: bindings::APIC_DM_FIXED as u16,
            level: true,
            trig_mode: 0,
            msi_redir_hint: false,
        };
        // SAFETY: The VM is there, and `irq` is complete. With neither a source nor an RTC status
        // KVM looks at nothing else.
        unsafe {
            symbols::__kvm_irq_delivery_to_apic(
                self.vm().as_raw(),
                ptr::null_mut(),
                &mut irq,
                ptr::null_mut(),
            )
        };
    }
}

impl OwnVcpu<'_> {
    /// Polls for `polled` from now on, or for nothing.
    #[inline]
    pub(crate) fn set_polled(self, polled: Option<Polled>) {
        let value = match polled {
            None => 0,
            Some(Polled::Several) => -1,
            Some(Polled::Port(port)) => port as c_int,
        };
        // SAFETY: The field is an int, written in one piece by the vCPU's own thread.
        unsafe { (&raw mut (*self.xen()).poll_evtchn).write_volatile(value) }
    }

    /// The words of events that are noted in the kernel until `vcpu_info` is mapped, a bit each.
    #[inline]
    pub(crate) fn pending_sel(self) -> u64 {
        // SAFETY: The field is a word, in a vCPU that is there, and read in one piece.
        unsafe { (&raw const (*self.xen()).evtchn_pending_sel).read_volatile() as u64 }
    }

    /// Takes the events in `words` out of what is noted in the kernel.
    #[inline]
    pub(crate) fn clear_pending_sel(self, words: u64) {
        // SAFETY: The field has 64 bits, and is changed by atomic operations alone.
        unsafe {
            let sel = &raw mut (*self.xen()).evtchn_pending_sel;
            bitops::clear_mask(sel.cast(), words);
        }
    }
}
