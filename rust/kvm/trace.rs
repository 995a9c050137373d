// SPDX-License-Identifier: GPL-2.0

//! KVM's tracepoint `kvm_xen_hypercall`, with the fields that C gives it.
//!
//! The kernel crate's `declare_trace!` tests a jump label, and that can't be patched for a
//! tracepoint of another module's that is not exported. So its key is read as data.

use super::hypercall::Call;
use crate::{bindings, livepatch::symbols};
use core::ptr;
use kernel::ffi::c_ulong;

/// Traces a hypercall, if somebody looks.
#[inline]
pub(crate) fn hypercall(call: &Call) {
    // SAFETY: The tracepoint is KVM's, there as long as this can be called; the counter is a word.
    let enabled = unsafe {
        let tracepoint = &raw const symbols::__tracepoint_kvm_xen_hypercall;
        (&raw const (*tracepoint).key.key.enabled.counter).read_volatile() > 0
    };
    if enabled {
        emit(call);
    }
}

#[cold]
fn emit(call: &Call) {
    let [a0, a1, a2, a3, a4, a5] = call.params.map(|param| param as c_ulong);
    // SAFETY: The probes are called as the tracepoint itself does it, inside a read section for
    // them. The first argument of the iterator is not used.
    unsafe {
        let section = bindings::kvm_xen_rs_trace_enter();
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
        );
        bindings::kvm_xen_rs_trace_exit(section);
    }
}
