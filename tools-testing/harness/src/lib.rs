// SPDX-License-Identifier: GPL-2.0
//! What tests of KVM's Xen emulation stand on: the guest's ABI, VMs, vCPUs, guest memory and guest
//! code, and processes that may hang.

pub mod abi;
pub mod attr;
pub mod background;
pub mod check;
pub mod child;
pub mod detached;
pub mod dirty;
pub mod fail_nth;
pub mod guest_code;
pub mod guest_cpu;
pub mod host;
pub mod host_cpu;
pub mod hyperv;
pub mod image;
pub mod ioctl;
pub mod irqfd;
pub mod kernel;
pub mod kernel_log;
pub mod ktap;
pub mod lockdep;
pub mod machine;
pub mod memory;
pub mod memslot_thread;
pub mod orphan;
pub mod outcome;
pub mod poll;
pub mod port;
pub mod runstate;
pub mod snapshot;
pub mod stacks;
pub mod tally;
pub mod vcpu;
pub mod vm;
pub mod withheld;
