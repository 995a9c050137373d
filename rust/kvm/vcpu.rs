// SPDX-License-Identifier: GPL-2.0

//! `struct kvm_vcpu`.

use super::{bitops, pollers::Polled, Vm};
use crate::{
    abi::vcpu_info::VcpuInfo,
    bindings,
    livepatch::symbols,
    object::{field, Object},
    sync::{gpc::Gpc, Ctx, MayWake},
};
use core::{ops::Deref, ptr};
use kernel::{ffi::c_int, types::NotThreadSafe};

/// A vCPU that stays for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Vcpu<'a> {
    raw: Object<'a, bindings::kvm_vcpu>,
}

/// A vCPU that is the current task's own: nobody else runs it, and nobody else changes what belongs
/// to it.
///
/// # Invariants
///
/// The task holds `vcpu->mutex`, also where it is the scheduler that has called this, in a task
/// that it switches from; or nobody else has the vCPU any more.
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

impl<'a> Vcpu<'a> {
    /// Wraps a vCPU of KVM's.
    ///
    /// # Safety
    ///
    /// `raw` is a vCPU, fully created, that is not destroyed before `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn from_raw(raw: *mut bindings::kvm_vcpu) -> Self {
        Self {
            // SAFETY: By the safety requirement. KVM allocates it zeroed.
            raw: unsafe { Object::from_raw(raw) },
        }
    }

    /// The vCPU as C has it.
    #[inline(always)]
    pub(crate) const fn as_raw(self) -> *mut bindings::kvm_vcpu {
        self.raw.as_ptr()
    }

    /// As [`as_raw`](Self::as_raw), with what is known of it.
    #[inline(always)]
    pub(super) const fn object(self) -> Object<'a, bindings::kvm_vcpu> {
        self.raw
    }

    /// The number that the VMM gave it, its APIC ID at reset.
    pub(crate) fn id(self) -> u32 {
        // SAFETY: `kvm_vm_ioctl_create_vcpu()` sets the field before anybody has the vCPU, and nobody
        // after that. It is not negative.
        unsafe { (*self.as_raw()).vcpu_id as u32 }
    }

    /// The number that KVM gave it, from 0 in the order of creation.
    pub(crate) fn index(self) -> u32 {
        // SAFETY: As in `id`.
        unsafe { (*self.as_raw()).vcpu_idx as u32 }
    }

    /// The VM that it is of.
    pub(crate) fn vm(self) -> Vm<'a> {
        // SAFETY: As in `id`.
        let kvm = unsafe { (*self.as_raw()).kvm };
        // SAFETY: The VM is there before the vCPU, and is destroyed after it.
        unsafe { Vm::from_raw(kvm) }
    }

    /// The cache of its `vcpu_info`.
    pub(crate) fn vcpu_info(self) -> Gpc<'a, VcpuInfo> {
        let cache = field!(self.xen(), vcpu_info_cache);
        // SAFETY: The cache is initialized with the vCPU, and is only used for this structure.
        unsafe { Gpc::from_raw(cache) }
    }

    /// Notes in the kernel that there are events in word `word` (below 64) of the pending bitmap,
    /// for the vCPU to write to its `vcpu_info` when that is mapped again. Returns whether that
    /// was noted already.
    pub(crate) fn test_and_set_pending_sel(self, word: u32) -> bool {
        let sel = field!(self.xen(), evtchn_pending_sel).as_ptr();
        // SAFETY: The field has 64 bits. All others change it by atomic operations too: C by
        // `test_and_set_bit()` and `lock and`, Rust by this and `clear_pending_sel`.
        unsafe { bitops::test_and_set_in(sel.cast(), word % 64) }
    }

    /// What it polls for, where it is on the list of pollers. The vCPU's task writes it before it gets
    /// on that list.
    pub(crate) fn polled(self) -> Polled {
        match field!(self.xen(), poll_evtchn).read_once() {
            -1 => Polled::Several,
            port => Polled::Port(port as u32),
        }
    }

    /// Has the vCPU write its clocks to the guest again.
    pub(crate) fn request_clock_update(self) {
        self.request(clock_update());
    }

    /// Wakes the vCPU, or has it leave the guest, to look for events.
    pub(crate) fn unblock<H: MayWake>(self, _cx: &mut Ctx<'_, H>) {
        self.request(bindings::KVM_REQ_UNBLOCK);
        // SAFETY: The vCPU is there; a kick that does not wait may come from anywhere where a task may
        // be woken, as it may here.
        unsafe { symbols::__kvm_vcpu_kick(self.as_raw(), false) }
    }

    /// Leaves a request for the vCPU, ordered after what the caller has written before.
    pub(super) fn request(self, request: u32) {
        let nr = request & 0x3f;
        let requests = field!(self.raw, requests).as_ptr();
        // SAFETY: The field has 64 bits. C changes it by `set_bit()` and `clear_bit()` alone.
        unsafe { bitops::test_and_set_in(requests.cast(), nr) };
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
        // KVM looks at nothing else but its map of local APICs, inside of RCU.
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

/// The number of the request to write clocks again.
pub(super) fn clock_update() -> u32 {
    // SAFETY: The helper returns a constant.
    unsafe { bindings::kvm_xen_rs_req_clock_update() }
}

impl OwnVcpu<'_> {
    /// Polls for `polled` from now on, or for nothing.
    pub(crate) fn set_polled(self, polled: Option<Polled>) {
        let value = match polled {
            None => 0,
            Some(Polled::Several) => -1,
            Some(Polled::Port(port)) => port as c_int,
        };
        let field = field!(self.xen(), poll_evtchn);
        // SAFETY: This is the vCPU's own task, and no other writes it. Who reads it takes any number
        // for a port, and -1 for several.
        unsafe { field.write_once(value) }
    }

    /// The words of events that are noted in the kernel until `vcpu_info` is mapped, a bit each.
    pub(crate) fn pending_sel(self) -> u64 {
        field!(self.xen(), evtchn_pending_sel).read_once() as u64
    }

    /// Takes the events in `words` out of what is noted in the kernel.
    pub(crate) fn clear_pending_sel(self, words: u64) {
        let sel = field!(self.xen(), evtchn_pending_sel).as_ptr();
        // SAFETY: As in `test_and_set_pending_sel`.
        unsafe { bitops::clear_mask(sel.cast(), words) };
    }
}
