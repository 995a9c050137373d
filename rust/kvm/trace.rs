// SPDX-License-Identifier: GPL-2.0

//! KVM's tracepoint `kvm_xen_hypercall`, with the fields that C gives it.
//!
//! The kernel crate's `declare_trace!` tests a jump label, and that can't be patched for a
//! tracepoint of another module's that is not exported. So its key is read as data.

use super::hypercall::Call;
use crate::{
    bindings,
    livepatch::symbols,
    object::{field, Object},
};
use core::ptr;
use kernel::ffi::c_ulong;

/// Traces a hypercall, if somebody looks.
#[inline]
pub(crate) fn hypercall(call: &Call) {
    let tracepoint = (&raw const symbols::__tracepoint_kvm_xen_hypercall).cast_mut();
    // SAFETY: It is KVM's, there as long as this can be called.
    let tracepoint = unsafe { Object::from_raw(tracepoint) };
    if field!(tracepoint, key.key.enabled.counter).read_once() > 0 {
        emit(*call);
    }
}

/// By value: what is borrowed has to be in memory, where nobody looks, too.
#[cold]
fn emit(call: Call) {
    let [a0, a1, a2, a3, a4, a5] = call.params.map(|param| param as c_ulong);
    // SAFETY: A read section for the probes can be entered anywhere.
    let section = unsafe { bindings::kvm_xen_rs_trace_enter() };
    // SAFETY: The probes are called as the tracepoint itself does it, inside that section. The first
    // argument of the iterator is not used.
    unsafe {
        symbols::__traceiter_kvm_xen_hypercall(
            ptr::null_mut(),
            call.cpl,
            call.nr as c_ulong,
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
        )
    };
    // SAFETY: It was entered above, by this task.
    unsafe { bindings::kvm_xen_rs_trace_exit(section) };
}
