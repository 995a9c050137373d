// SPDX-License-Identifier: GPL-2.0
//! The disk's part of a round: write, read back past every cache, compare.

use anyhow::{bail, Context, Result};
use protocol::{fill_block, first_difference, DiskPlan};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `O_DIRECT` wants buffers so aligned.
const ALIGN: usize = 4096;

/// How long the device may take to appear.
const APPEAR_LIMIT: Duration = Duration::from_secs(20);

/// The guest's disk.
pub struct Disk {
    plan: DiskPlan,
    file: File,
    memory: Vec<u8>,
}

impl Disk {
    /// Opens the disk once it is there, past the page cache.
    pub fn open(plan: &DiskPlan) -> Result<Self> {
        let begun = Instant::now();
        while !Path::new(&plan.device).exists() {
            if begun.elapsed() > APPEAR_LIMIT {
                bail!("{} has not appeared", plan.device);
            }
            sleep(Duration::from_millis(5));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(&plan.device)
            .with_context(|| plan.device.clone())?;
        Ok(Disk {
            plan: plan.clone(),
            file,
            memory: vec![0; plan.block as usize + ALIGN],
        })
    }

    /// Writes this round's blocks, then reads and compares them; returns how many bytes that was.
    pub fn round(&mut self, round: u32) -> Result<u64> {
        let size = self.plan.block as usize;
        let start = self.memory.as_ptr().align_offset(ALIGN);
        let block = &mut self.memory[start..start + size];
        for index in 0..self.plan.blocks {
            let offset = self.plan.place(round, index) * size as u64;
            fill_block(round, index, block);
            self.file
                .write_all_at(block, offset)
                .with_context(|| format!("writing at {offset}"))?;
        }
        self.file.sync_data().context("flushing the disk")?;
        for index in 0..self.plan.blocks {
            let offset = self.plan.place(round, index) * size as u64;
            // What a read that does nothing would leave is not what is expected.
            block.fill(0);
            self.file
                .read_exact_at(block, offset)
                .with_context(|| format!("reading at {offset}"))?;
            if let Some(at) = first_difference(round, index, block) {
                bail!(
                    "the disk returned other bytes than were written, from {} on",
                    offset + at as u64
                );
            }
        }
        Ok(u64::from(self.plan.blocks) * size as u64)
    }
}
