// SPDX-License-Identifier: GPL-2.0
//! A vCPU in a thread that the case does not wait for: it may sleep for ever, and
//! then ends with the case's process.

use std::mem::MaybeUninit;
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::child::step;
use super::machine::Machine;
use super::outcome::{fail, Outcome};
use super::vcpu::{Exit, Vcpu};

/// A vCPU that is away from its [`Machine`] while it runs.
pub struct Detached {
    index: usize,
    result: Receiver<(Vcpu, Result<Exit, Errno>, Instant)>,
    start: Instant,
    cpu_clock: libc::clockid_t,
}

/// The CPU clock of the calling thread, which other threads may read.
fn own_cpu_clock() -> libc::clockid_t {
    let mut clock = 0;
    // SAFETY: the thread exists, and the clock's number is written to `clock`.
    // It can't fail for a thread that exists.
    unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
    clock
}

impl Machine {
    /// Takes vCPU `index` out and has it do `act` in a thread of its own. Indexes
    /// of the other vCPUs change until it is back.
    pub fn detach(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Vcpu) -> Result<Exit, Errno> + Send + 'static,
    ) -> Outcome<Detached> {
        let mut vcpu = self.vcpus.remove(index);
        let (sender, result) = channel();
        let (tell_clock, clock) = channel();
        let start = Instant::now();
        thread::spawn(move || {
            // Nobody listens when the case has failed.
            let _ = tell_clock.send(own_cpu_clock());
            let exit = act(&mut vcpu);
            let _ = sender.send((vcpu, exit, Instant::now()));
        });
        Ok(Detached {
            index,
            result,
            start,
            cpu_clock: clock.recv()?,
        })
    }

    /// Has vCPU 0 make a hypercall in a thread of its own.
    pub fn begin_call(&mut self, number: u64, params: &[u64]) -> Outcome<Detached> {
        let params = params.to_vec();
        self.detach(0, move |vcpu| vcpu.hypercall(number, &params))
    }
}

impl Detached {
    /// Its index among the vCPUs, when it is back.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Fails if it comes back within `time`.
    #[track_caller]
    pub fn stays(&self, time: Duration) -> Outcome {
        match self.result.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok((_, exit, _)) => Err(fail(format!(
                "the vCPU came back too early: {exit:?} after {} ms",
                self.start.elapsed().as_millis()
            ))),
            Err(error) => Err(fail(error)),
        }
    }

    /// Waits until it comes back, and gives it back to `machine`; returns how it
    /// came back and how long it was away.
    #[track_caller]
    pub fn back(self, machine: &mut Machine, within: Duration) -> Outcome<(Exit, Duration)> {
        step("a vCPU in its thread to come back");
        match self.result.recv_timeout(within) {
            Ok((vcpu, exit, end)) => {
                machine.vcpus.insert(self.index, vcpu);
                Ok((exit?, end.duration_since(self.start)))
            }
            Err(_) => Err(fail(format!(
                "the vCPU sleeps on; not back within {} ms",
                within.as_millis()
            ))),
        }
    }

    /// CPU time that its thread has used, in the kernel and in the guest.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        let mut time = MaybeUninit::uninit();
        // SAFETY: the call writes a timespec if it succeeds, and nothing else.
        let result = unsafe { libc::clock_gettime(self.cpu_clock, time.as_mut_ptr()) };
        Errno::result(result)?;
        // SAFETY: it has succeeded.
        let time: libc::timespec = unsafe { time.assume_init() };
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}
