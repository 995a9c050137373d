// SPDX-License-Identifier: GPL-2.0
//! klp-link on small modules made for the purpose, seen through `object`'s reader.

mod cli;
mod ko;
mod moves;
mod preserved;
mod refusals;
mod robust;
