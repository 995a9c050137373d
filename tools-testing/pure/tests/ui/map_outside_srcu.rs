// SPDX-License-Identifier: GPL-2.0

//! So does a check of the mapping.

#[path = "support/mod.rs"]
mod support;
use support::*;

fn main() {
    let mut cx = assert::<Anywhere>();
    try_read(&mut cx);
}
