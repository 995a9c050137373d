// SPDX-License-Identifier: GPL-2.0
//! Each case runs in a process of its own, with a time limit, so that neither a
//! hang nor a crash ends the suite, and no VM outlives its case.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, pipe2, ForkResult, Pid};

use super::outcome::{Outcome, Stop};
use super::stacks::kernel_stacks;

/// How a case ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Not run, for this reason.
    Skip(String),
    /// Otherwise.
    Fail(String),
}

impl Verdict {
    /// What a case has come to that has to fail, by what it checks: a hang or a crash
    /// proves nothing.
    pub fn turned(self) -> Self {
        match self {
            Self::Pass => Self::Fail("it should fail here, and passes".into()),
            Self::Fail(text) if !text.starts_with(OVERDUE) && !text.contains(CRASHED) => Self::Pass,
            other => other,
        }
    }
}

/// What is told of a case that hangs, and of one that crashes.
const OVERDUE: &str = "not done within";
const CRASHED: &str = "the case's process crashed";

/// Time for a killed child to go away; one that sleeps uninterruptibly won't.
const TIME_TO_DIE: Duration = Duration::from_secs(5);

// Kinds of messages from child to parent.
const STEP: u8 = b'S';
const PASS: u8 = b'P';
const SKIP: u8 = b'K';
const FAIL: u8 = b'F';

/// The child's end of the pipe to its parent.
static PARENT: OnceLock<File> = OnceLock::new();

fn tell(kind: u8, text: &str) {
    let Some(mut pipe) = PARENT.get() else {
        return; // a unit test
    };
    let mut message = vec![kind];
    message.extend_from_slice(&(text.len() as u32).to_le_bytes());
    message.extend_from_slice(text.as_bytes());
    // A parent that is gone has no use for the message.
    let _ = pipe.write_all(&message);
}

/// Notes what the case is about to wait for; told when its time runs out.
pub fn step(what: impl std::fmt::Display) {
    tell(STEP, &what.to_string());
}

/// Runs `case` in a child process, for `limit` at most.
///
/// The calling process must have no other threads.
pub fn run(case: &dyn Fn() -> Outcome, limit: Duration) -> Verdict {
    let (reader, writer) = match pipe2(OFlag::O_CLOEXEC) {
        Ok(ends) => ends,
        Err(error) => return Verdict::Fail(format!("cannot make a pipe: {error}")),
    };
    // SAFETY: this process starts no threads (main.rs runs cases one after the
    // other and threads are only made in children), so the child finds no lock
    // held by a thread that it lacks.
    match unsafe { fork() } {
        Err(error) => Verdict::Fail(format!("cannot fork: {error}")),
        Ok(ForkResult::Child) => {
            drop(reader);
            child(case, writer)
        }
        Ok(ForkResult::Parent { child }) => {
            drop(writer);
            watch(child, File::from(reader), limit)
        }
    }
}

fn child(case: &dyn Fn() -> Outcome, writer: OwnedFd) -> ! {
    // Failing to set it only leaves a process behind if the parent is killed.
    let _ = set_pdeathsig(Signal::SIGKILL);
    let _ = PARENT.set(File::from(writer));
    set_hook(Box::new(|info| tell(FAIL, &info.to_string())));
    match catch_unwind(AssertUnwindSafe(case)) {
        Ok(Ok(())) => tell(PASS, ""),
        Ok(Err(stop)) => abandon(stop),
        Err(_) => {} // the hook has told
    }
    exit_at_once()
}

/// Ends the case from wherever it is, though other threads may still run.
pub fn abandon(stop: Stop) -> ! {
    match stop {
        Stop::Skip(reason) => tell(SKIP, &reason),
        Stop::Fail(text) => tell(FAIL, &text),
    }
    exit_at_once()
}

fn exit_at_once() -> ! {
    // SAFETY: ends the process, of which nothing is of further use; a vCPU's
    // thread that still runs must not delay it.
    unsafe { libc::_exit(0) }
}

/// What the parent knows of its child.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    last_step: Option<String>,
    verdict: Option<Verdict>,
}

impl Heard {
    fn digest(&mut self) {
        while let Some(len) = self.bytes.get(1..5) {
            let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
            let Some(text) = self.bytes.get(5..5 + len) else {
                return;
            };
            let text = String::from_utf8_lossy(text).into_owned();
            match self.bytes[0] {
                STEP => self.last_step = Some(text),
                // The first verdict is the cause of any other.
                kind if self.verdict.is_none() => {
                    self.verdict = Some(match kind {
                        PASS => Verdict::Pass,
                        SKIP => Verdict::Skip(text),
                        _ => Verdict::Fail(text),
                    })
                }
                _ => {}
            }
            self.bytes.drain(..5 + len);
        }
    }
}

fn watch(child: Pid, mut pipe: File, limit: Duration) -> Verdict {
    let deadline = Instant::now() + limit;
    let mut heard = Heard::default();
    if !listen(&mut pipe, &mut heard, deadline) {
        return overdue(child, limit, &heard);
    }
    match reap(child, deadline) {
        None => overdue(child, limit, &heard),
        Some(WaitStatus::Exited(_, 0)) => heard
            .verdict
            .unwrap_or_else(|| Verdict::Fail("the case ended without a verdict".into())),
        Some(status) => {
            let known = match heard.verdict {
                Some(Verdict::Fail(text)) => text + "\n",
                _ => String::new(),
            };
            Verdict::Fail(format!("{known}{CRASHED}: {status:?}"))
        }
    }
}

/// Reads until the child closes its end; false if it does not in time.
fn listen(pipe: &mut File, heard: &mut Heard, deadline: Instant) -> bool {
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => continue, // interrupted
        }
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => return true,
            Ok(n) => heard.bytes.extend_from_slice(&buffer[..n]),
        }
        heard.digest();
    }
}

fn reap(child: Pid, deadline: Instant) -> Option<WaitStatus> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() >= deadline => return None,
            Ok(WaitStatus::StillAlive) => sleep(Duration::from_micros(200)),
            Ok(status) => return Some(status),
            Err(_) => return None,
        }
    }
}

fn overdue(child: Pid, limit: Duration, heard: &Heard) -> Verdict {
    let mut text = format!("{OVERDUE} {} s", limit.as_secs_f32());
    if let Some(step) = &heard.last_step {
        text += &format!(", last {step}");
    }
    if let Some(Verdict::Fail(failure)) = &heard.verdict {
        text += &format!("\nafter failing: {failure}");
    }
    text += &format!("\n{}", kernel_stacks(child));
    // It may have ended by itself just now.
    let _ = kill(child, Signal::SIGKILL);
    if reap(child, Instant::now() + TIME_TO_DIE).is_none() {
        text += "it can't be killed: a thread of it sleeps uninterruptibly in the kernel\n";
        text += &kernel_stacks(child);
    }
    Verdict::Fail(text)
}
