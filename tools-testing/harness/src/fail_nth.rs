// SPDX-License-Identifier: GPL-2.0
//! Has the kernel fail one allocation after the other: Documentation/fault-injection, "fail-nth".

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;

use super::outcome::{fail, Outcome, Stop};
use super::tally::tried;

/// No call of the cases has so many allocations.
const LIMIT: u32 = 10_000;

/// Allocations of the calling thread can be failed.
pub struct FailNth {
    file: File,
    stride: usize,
}

impl FailNth {
    /// Has the kernel fail allocations that may wait for memory, too.
    pub fn new() -> Outcome<Self> {
        const OURS: &str = "/proc/thread-self/fail-nth";
        if !Path::new(OURS).exists() {
            let why = "the kernel fails no allocations (CONFIG_FAULT_INJECTION)";
            return Err(Stop::Skip(why.into()));
        }
        for (file, value) in [
            ("failslab/ignore-gfp-wait", "N"),
            ("fail_page_alloc/ignore-gfp-wait", "N"),
            ("fail_page_alloc/ignore-gfp-highmem", "N"),
            ("fail_page_alloc/min-order", "0"),
        ] {
            let path = Path::new("/sys/kernel/debug").join(file);
            fs::write(&path, value)
                .map_err(|error| fail(format!("{}: {error}", path.display())))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(OURS)?;
        Ok(Self { file, stride: 1 })
    }

    /// Fails one in `stride` of the allocations, for calls that have many.
    pub fn one_in(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Runs `call` with its `nth` allocation failed; the result, and whether it had so many.
    fn run<T>(&self, nth: u32, call: impl FnOnce() -> T) -> Outcome<(T, bool)> {
        self.file.write_all_at(nth.to_string().as_bytes(), 0)?;
        let result = call();
        let mut text = [0; 16];
        let length = self.file.read_at(&mut text, 0)?;
        self.file.write_all_at(b"0", 0)?;
        let left = std::str::from_utf8(&text[..length])?.trim();
        Ok((result, left == "0"))
    }

    /// Runs `call` on a `state` that `prepare` has made anew, again and again, with another of its
    /// allocations failed each time; `check` sees the state, and the error if there was one.
    /// Returns how many allocations were failed.
    pub fn each<S>(
        &self,
        state: &mut S,
        mut prepare: impl FnMut(&mut S) -> Outcome,
        mut call: impl FnMut(&mut S) -> Result<(), Errno>,
        mut check: impl FnMut(&mut S, Option<Errno>) -> Outcome,
    ) -> Outcome<u32> {
        for (failed_before, nth) in (1..LIMIT).step_by(self.stride).enumerate() {
            prepare(state)?;
            let (result, failed) = self.run(nth, || call(state))?;
            if !failed {
                result.map_err(|error| fail(format!("{error} though no allocation failed")))?;
                tried(failed_before as u64, "allocations", 0);
                return Ok(failed_before as u32);
            }
            let checked = check(state, result.err());
            if checked.is_err() {
                tried(failed_before as u64 + 1, "allocations", 1);
            }
            checked.map_err(|stop| match stop {
                Stop::Fail(text) => Stop::Fail(format!("with allocation {nth} failed: {text}")),
                skip => skip,
            })?;
        }
        Err(fail(format!("more than {LIMIT} allocations")))
    }
}
