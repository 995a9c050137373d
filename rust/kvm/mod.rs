// SPDX-License-Identifier: GPL-2.0

//! KVM's objects, made safe: what the logic sees of `struct kvm` and `struct kvm_vcpu`.

pub(crate) mod bitops;
pub(crate) mod clock;
pub(crate) mod enabled;
pub(crate) mod eventfd;
pub(crate) mod exit;
pub(crate) mod gate;
pub(crate) mod guest_memory;
pub(crate) mod hypercall;
mod layout_check;
pub(crate) mod lifecycle;
pub(crate) mod mm;
mod nospec;
pub(crate) mod params;
pub(crate) mod pollers;
pub(crate) mod routing;
pub(crate) mod sender;
pub(crate) mod senders;
mod target;
pub(crate) mod task;
pub(crate) mod timers;
pub(crate) mod trace;
pub(crate) mod uapi;
pub(crate) mod vcpu;
pub(crate) mod vcpu_xen;
pub(crate) mod vm;
pub(crate) mod witness;
mod xarray;
pub(crate) mod xen_state;

pub(crate) use target::Target;
pub(crate) use vcpu::{OwnVcpu, Vcpu};
pub(crate) use vm::Vm;
