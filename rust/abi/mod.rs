// SPDX-License-Identifier: GPL-2.0

//! The guest's view: where Xen's structures keep what, for guests of both word sizes.
//!
//! Nothing here touches memory or the kernel, so that it also builds and is tested on the host.

#![forbid(unsafe_code)]

pub(crate) mod hypercall;
pub(crate) mod layout;
pub(crate) mod pvclock;
pub(crate) mod runstate;
pub(crate) mod shared_info;
pub(crate) mod vcpu_info;
pub(crate) mod word_size;

pub(crate) use word_size::WordSize;
