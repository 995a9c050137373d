// SPDX-License-Identifier: GPL-2.0

//! Neither a context nor what a guard keeps of it is there at run time.

#[path = "../support/mod.rs"]
mod support;
use support::*;

fn main() {
    assert_eq!(size_of::<Ctx<'_, InKvmRun>>(), 0);
    assert_eq!(size_of::<Guard<'_, XenLock, InKvmRun>>(), 0);
    const { assert!(size_of::<Ctx<'_, Anywhere>>() == 0) };
}
