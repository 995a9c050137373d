// SPDX-License-Identifier: GPL-2.0
//! Selftests of KVM's Xen ioctls, event channels and hypercalls: the cases, for the programs that
//! run them.

pub mod case;
pub mod cases;
pub mod obstacle;
pub mod side;
