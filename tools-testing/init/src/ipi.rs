// SPDX-License-Identifier: GPL-2.0
//! Work that makes two processors interrupt each other.

use anyhow::{bail, Context, Result};
use nix::sched::{sched_setaffinity, CpuSet};
use nix::unistd::{pipe, Pid};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Commands of membarrier(2), which libc has no names for.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

/// A number goes to the other processor and comes back increased, `times` times: each way wakes a
/// task that sleeps on an idle processor, by an interrupt.
pub fn wake(times: u32) -> Result<()> {
    let (mut there_in, mut there_out) = wire()?;
    let (mut back_in, mut back_out) = wire()?;
    on_both(
        move || {
            for n in 0..times {
                send(&mut there_out, n)?;
                let answer = receive(&mut back_in)?;
                if answer != n + 1 {
                    bail!("wake-up {n} was answered by {answer}");
                }
            }
            Ok(())
        },
        move || {
            for _ in 0..times {
                let n = receive(&mut there_in)?;
                send(&mut back_out, n + 1)?;
            }
            Ok(())
        },
    )
}

/// Has the kernel interrupt the other processor, which runs a thread of ours, `times` times, and
/// wait for its answer.
pub fn barrier(times: u32) -> Result<()> {
    membarrier(REGISTER_PRIVATE_EXPEDITED)?;
    let runs = AtomicBool::new(false);
    let end = AtomicBool::new(false);
    on_both(
        || {
            while !runs.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let result = (0..times).try_for_each(|_| membarrier(PRIVATE_EXPEDITED));
            end.store(true, Ordering::Relaxed);
            result
        },
        || {
            runs.store(true, Ordering::Release);
            while !end.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            Ok(())
        },
    )
}

/// Runs one on processor 0 and the other on processor 1. Neither may wait for the other for ever
/// when that fails.
fn on_both(
    first: impl FnOnce() -> Result<()> + Send,
    second: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    // Not this thread: it goes on to be moved about by the scheduler.
    thread::scope(|scope| {
        let first = scope.spawn(|| pin(0).and_then(|()| first()));
        let second = scope.spawn(|| pin(1).and_then(|()| second()));
        let first = first.join().expect("a panic ends init");
        first.and(second.join().expect("a panic ends init"))
    })
}

fn membarrier(command: libc::c_int) -> Result<()> {
    // SAFETY: membarrier(2) takes two integers and touches no memory of ours.
    let ret = unsafe { libc::syscall(libc::SYS_membarrier, command, 0) };
    if ret != 0 {
        return Err(std::io::Error::last_os_error()).context("membarrier");
    }
    Ok(())
}

/// Puts this thread on that processor.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("moving to processor {cpu}"))
}

fn wire() -> Result<(File, File)> {
    let (end, start) = pipe()?;
    Ok((end.into(), start.into()))
}

fn send(to: &mut impl Write, n: u32) -> Result<()> {
    Ok(to.write_all(&n.to_le_bytes())?)
}

fn receive(from: &mut impl Read) -> Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_pass() {
        let mut wire = Vec::new();
        send(&mut wire, 0x0102_0304).unwrap();
        assert_eq!(receive(&mut wire.as_slice()).unwrap(), 0x0102_0304);
        assert!(receive(&mut [1u8, 2].as_slice()).is_err());
    }
}
