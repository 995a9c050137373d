// SPDX-License-Identifier: GPL-2.0
//! What tests of KVM's Xen emulation stand on: the guest's ABI, and VMs, guest
//! memory and guest code.

pub mod abi;
pub mod harness;
