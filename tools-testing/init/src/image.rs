// SPDX-License-Identifier: GPL-2.0
//! The Xen guest's disk, seen from outside: made before its start, looked at after its end.

use anyhow::{bail, Context, Result};
use protocol::{first_difference, DiskPlan, GUEST_DISK};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Makes an empty one.
pub fn create(mib: u64) -> Result<()> {
    // A new file, so that nothing of an earlier guest's contents is taken for this one's.
    let _ = fs::remove_file(GUEST_DISK);
    File::create(GUEST_DISK)
        .and_then(|disk| disk.set_len(mib << 20))
        .context(GUEST_DISK)
}

/// Checks that each block holds what was written to it last, by one of `rounds` rounds.
pub fn check(plan: &DiskPlan, rounds: u32) -> Result<()> {
    let disk = File::open(GUEST_DISK).context(GUEST_DISK)?;
    let mut block = vec![0; plan.block as usize];
    for (place, round, index) in last_writes(plan, rounds) {
        disk.read_exact_at(&mut block, place * u64::from(plan.block))
            .context(GUEST_DISK)?;
        if let Some(offset) = first_difference(round, index, &block) {
            bail!(
                "the image of the guest's disk is wrong: block {place} (round {round}, request \
                 {index}) differs from byte {offset} on"
            );
        }
    }
    Ok(())
}

/// Place, round and index of the last write to each block that was written at all.
fn last_writes(plan: &DiskPlan, rounds: u32) -> Vec<(u64, u32, u32)> {
    let mut writes = Vec::new();
    'all: for round in (1..=rounds).rev() {
        for index in (0..plan.blocks).rev() {
            if writes.len() == plan.span as usize {
                break 'all;
            }
            writes.push((plan.place(round, index), round, index));
        }
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_to_each_block() {
        let plan = DiskPlan {
            device: String::new(),
            block: 512,
            blocks: 3,
            span: 4,
        };
        // Round 1 goes to 0, 1, 2, round 2 to 3, 0, 1.
        let mut writes = last_writes(&plan, 2);
        writes.sort();
        assert_eq!(writes, [(0, 2, 1), (1, 2, 2), (2, 1, 2), (3, 2, 0)]);
        assert_eq!(last_writes(&plan, 1).len(), 3);
    }
}
