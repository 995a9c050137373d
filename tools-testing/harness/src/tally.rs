// SPDX-License-Identifier: GPL-2.0
//! How much a case has tried, for who sums it up over many.

use protocol::Tried;

/// Prints that `count` of something were tried, of which `failed` failed. `what` is their plural.
pub fn tried(count: u64, what: &str, failed: u64) {
    let what = what.to_owned();
    println!(
        "{}",
        Tried {
            count,
            what,
            failed
        }
    );
}
