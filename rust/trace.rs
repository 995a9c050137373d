// SPDX-License-Identifier: GPL-2.0

//! The module's own tracepoints.
//!
//! While one is off it costs an instruction that does nothing, a nop that the kernel replaces when
//! it is turned on: its arguments are asked for only then. They may be anywhere, in a hard
//! interrupt too, with any lock held.
//!
//! The kernel crate's `declare_trace!` looks for a tracepoint in its own bindings, where a module's
//! is not; this takes the static branch that it is made of.
//!
//! C header: `include/kvm_xen_rs_trace.h`. Documentation/tracing.rst has what they are for.

mod kinds;

pub(crate) use kinds::{Delivered, Poll, Timer, SEVERAL};

use crate::{bindings, kvm::Vm, object::Object};
use kernel::{jump_label::static_branch_unlikely, macros::paste};

/// An argument of a tracepoint.
///
/// # Safety
///
/// What [`into_raw`](Argument::into_raw) returns is no pointer, or one to an object of C's of that type
/// that stays as long as the caller's value may be used.
pub(crate) unsafe trait Argument {
    /// As C has it.
    type Raw;

    /// As C's function takes it.
    fn into_raw(self) -> Self::Raw;
}

macro_rules! arguments {
    ($($type:ty)*) => {$(
        // SAFETY: It is no pointer.
        unsafe impl Argument for $type {
            type Raw = $type;

            #[inline(always)]
            fn into_raw(self) -> $type {
                self
            }
        }
    )*};
}

arguments!(u32 i32 u64 bool);

// SAFETY: By the invariant of `Object` it is there until its lifetime ends.
unsafe impl<C> Argument for Object<'_, C> {
    type Raw = *mut C;

    #[inline(always)]
    fn into_raw(self) -> *mut C {
        self.as_ptr()
    }
}

/// Declares tracepoints, each as its prototype in C without the prefix `kvm_xen_`.
macro_rules! tracepoints {
    ($($(#[$attr:meta])* fn $name:ident($($arg:ident: $type:ty),*);)*) => {paste! {$(
        $(#[$attr])*
        #[inline(always)]
        pub(crate) fn $name<'a>(arguments: impl FnOnce() -> ($($type,)*)) {
            #[cold]
            #[inline(never)]
            fn emit<'a>($($arg: <$type as Argument>::Raw),*) {
                // SAFETY: It enters what its probes need, in any context. By the safety requirement
                // of `Argument` the objects that they look at are there: the caller has them.
                unsafe { bindings::[<rust_do_trace_kvm_xen_ $name>]($($arg),*) }
            }

            #[allow(
                clippy::multiple_unsafe_ops_per_block,
                reason = "they are the macro's: only addresses are taken"
            )]
            // SAFETY: The key is that of a tracepoint, which C has defined.
            let is_on = unsafe {
                static_branch_unlikely!(
                    bindings::[<__tracepoint_kvm_xen_ $name>],
                    bindings::tracepoint,
                    key
                )
            };
            if is_on {
                let ($($arg,)*) = arguments();
                emit($(Argument::into_raw($arg)),*);
            }
        }
    )*}};
}

tracepoints! {
    /// What became of an event, at this attempt.
    fn deliver(vm: Vm<'a>, vcpu_id: u32, port: u32, outcome: Delivered, waited: bool);
    /// A poll, by the port that is polled for, and the nanoseconds that it has lasted.
    fn poll(vm: Vm<'a>, vcpu_id: u32, port: u32, what: Poll, ns: u64);
    /// A singleshot timer that has fired, its port, and by how many nanoseconds it is late.
    fn timer(vm: Vm<'a>, vcpu_id: u32, port: u32, what: Timer, ns: u64);
    /// A pfn cache was to be mapped again; `error` is 0 or below.
    fn refresh(gpc: Object<'a, bindings::gfn_to_pfn_cache>, error: i32);
}
