// SPDX-License-Identifier: GPL-2.0
//! What the cases stand on: running and reporting them, VMs, guest memory and
//! guest code.

pub mod attr;
pub mod background;
pub mod case;
pub mod check;
pub mod child;
pub mod detached;
pub mod guest_code;
pub mod guest_cpu;
pub mod host_cpu;
pub mod image;
pub mod ioctl;
pub mod irqfd;
pub mod ktap;
pub mod machine;
pub mod memory;
pub mod outcome;
pub mod poll;
pub mod port;
pub mod side;
pub mod snapshot;
pub mod stacks;
pub mod vcpu;
pub mod vm;
