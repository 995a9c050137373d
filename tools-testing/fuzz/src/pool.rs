// SPDX-License-Identifier: GPL-2.0
//! Processes that run sequences, and the watch over them: one that hangs or dies
//! takes nothing with it but what it ran, which is told.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, pipe2, ForkResult, Pid};
use selftests::harness::stacks::kernel_stacks;

use crate::exec::Executor;
use crate::memory::Memory;
use crate::op::Program;
use crate::shared::Shared;
use crate::trace::{Item, Kind, Trace, ITEM_SIZE};

/// Time for a sequence, which has a few alarms of its own.
const LIMIT: Duration = Duration::from_secs(20);
/// Time for a killed process to go away.
const TIME_TO_DIE: Duration = Duration::from_secs(5);
/// How often the watch looks.
const ROUND: u16 = 200;

/// How sequences are lost.
const HUNG: u64 = 1;
const DIED: u64 = 2;

/// Who runs sequences, and how.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Processes at once.
    pub workers: usize,
    /// How much longer than necessary to wait for what ends by itself.
    pub patience: u32,
}

/// Runs sequences.
pub struct Pool {
    memory: Memory,
    next: Shared<AtomicU64>,
}

/// Real-time priorities. A worker is not preempted: the guest is told of that, and it
/// happens by chance. The watch comes before them.
const WORKER: i32 = 1;
const WATCH: i32 = 2;

fn priority(value: i32) -> Result<()> {
    let parameter = libc::sched_param {
        sched_priority: value,
    };
    // SAFETY: the parameter outlives the call, which affects nothing but when we run.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) };
    Errno::result(result).context("taking a real-time priority")?;
    Ok(())
}

struct Worker {
    pid: Pid,
    pipe: File,
    bytes: Vec<u8>,
    /// What it runs now: set before, read when it hangs.
    current: Option<u32>,
    since: Instant,
}

// Messages of a worker: a number, and the number of items that follow, or BEGUN.
const BEGUN: u32 = u32::MAX;
const HEADER: usize = 8;

impl Pool {
    /// Maps guest memory.
    pub fn new() -> Result<Self> {
        // Of these, and nothing but them, there are enough to keep the machine busy.
        let unlimited = std::fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1");
        unlimited.context("lifting the limit on real-time tasks")?;
        priority(WATCH)?;
        Ok(Self {
            memory: Memory::new()?,
            next: Shared::new(AtomicU64::new(0))?,
        })
    }

    /// The traces of so many sequences, in order, and what was told of those that were lost.
    pub fn run(
        &mut self,
        number: usize,
        program: &dyn Fn(usize) -> Program,
        manner: Manner,
    ) -> Result<(Vec<Trace>, Vec<String>)> {
        self.next.store(0, Ordering::Relaxed);
        let mut traces = HashMap::new();
        let mut told = Vec::new();
        let mut workers: Vec<Worker> = Vec::new();
        for _ in 0..manner.workers.min(number) {
            workers.push(self.start(number, program, manner)?);
        }
        while !workers.is_empty() {
            let mut fds: Vec<_> = workers
                .iter()
                .map(|worker| PollFd::new(worker.pipe.as_fd(), PollFlags::POLLIN))
                .collect();
            match poll(&mut fds, PollTimeout::from(ROUND)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("poll"),
            }
            let ready: Vec<bool> = fds
                .iter()
                .map(|fd| fd.revents().is_some_and(|events| !events.is_empty()))
                .collect();
            let mut lost = Vec::new();
            for (at, worker) in workers.iter_mut().enumerate() {
                if ready[at] && !worker.listen(&mut traces)? {
                    lost.push((at, DIED));
                } else if worker.current.is_some()
                    && worker.since.elapsed() > LIMIT * manner.patience
                {
                    lost.push((at, HUNG));
                }
            }
            for (at, how) in lost.into_iter().rev() {
                let worker = workers.swap_remove(at);
                let current = worker.current;
                let text = worker.end(how)?;
                if let Some(index) = current {
                    let item = Item {
                        op: 0,
                        kind: Kind::Lost,
                        at: 0,
                        value: how,
                    };
                    traces.insert(index, vec![item]);
                    told.push(format!("sequence {index} of this batch: {text}"));
                    workers.push(self.start(number, program, manner)?);
                }
            }
        }
        let all: Option<Vec<Trace>> = (0..number as u32)
            .map(|index| traces.remove(&index))
            .collect();
        Ok((all.context("a worker ended early")?, told))
    }

    fn start(
        &self,
        number: usize,
        program: &dyn Fn(usize) -> Program,
        manner: Manner,
    ) -> Result<Worker> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: this process has no other threads, so the child finds no lock held by one
        // that it lacks.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Parent { child } => Ok(Worker {
                pid: child,
                pipe: reader.into(),
                bytes: Vec::new(),
                current: None,
                since: Instant::now(),
            }),
            ForkResult::Child => {
                drop(reader);
                // Failing to set it only leaves a process behind if the parent is killed.
                let _ = set_pdeathsig(Signal::SIGKILL);
                let result = self.work(number, program, manner, writer.into());
                if let Err(error) = &result {
                    println!("# a worker gives up: {error:#}");
                }
                let _ = std::io::stdout().flush();
                // SAFETY: ends the process, of which nothing is of further use.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
        }
    }

    fn work(
        &self,
        number: usize,
        program: &dyn Fn(usize) -> Program,
        manner: Manner,
        mut pipe: File,
    ) -> Result<()> {
        priority(WORKER)?;
        let mut executor = Executor::new(self.memory.inherited()?, manner.patience)?;
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= number as u64 {
                return Ok(());
            }
            let header =
                |length: u32| [(index as u32).to_le_bytes(), length.to_le_bytes()].concat();
            pipe.write_all(&header(BEGUN))?;
            let program = program(index as usize);
            let trace = executor
                .run(&program)
                .with_context(|| format!("sequence {index}: {program:?}"))?;
            let mut message = header(trace.len() as u32);
            message.extend(trace.iter().flat_map(Item::encode));
            pipe.write_all(&message)?;
        }
    }
}

impl Worker {
    /// Takes in what it has written. False at the end.
    fn listen(&mut self, traces: &mut HashMap<u32, Trace>) -> Result<bool> {
        let mut buffer = [0; 1 << 16];
        let length = match self.pipe.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error).context("a worker's pipe"),
        };
        self.bytes.extend_from_slice(&buffer[..length]);
        let mut done = 0;
        while let Some(header) = self.bytes.get(done..done + HEADER) {
            let word = |at: usize| {
                u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
            };
            let (index, items) = (word(0), word(4));
            let body = done + HEADER;
            if items == BEGUN {
                (self.current, self.since) = (Some(index), Instant::now());
                done = body;
                continue;
            }
            let Some(bytes) = self.bytes.get(body..body + items as usize * ITEM_SIZE) else {
                break;
            };
            let trace: Option<Trace> = bytes
                .chunks_exact(ITEM_SIZE)
                .map(|chunk| Item::decode(chunk.try_into().ok()?))
                .collect();
            traces.insert(index, trace.context("a worker wrote what is no trace")?);
            self.current = None;
            done = body + bytes.len();
        }
        self.bytes.drain(..done);
        Ok(true)
    }

    /// Ends it if it hasn't ended, and tells how it is.
    fn end(self, how: u64) -> Result<String> {
        let mut text = String::new();
        if how == HUNG {
            text = format!("hangs\n{}", kernel_stacks(self.pid));
            // It may have ended by itself just now.
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        let begun = Instant::now();
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)).context("waitpid")? {
                WaitStatus::StillAlive if begun.elapsed() > TIME_TO_DIE => bail!(
                    "a sequence's process can't be killed: it sleeps uninterruptibly\n{}",
                    kernel_stacks(self.pid)
                ),
                WaitStatus::StillAlive => sleep(Duration::from_millis(1)),
                status => {
                    if how == DIED {
                        text = format!("its process died: {status:?}");
                    }
                    return Ok(text);
                }
            }
        }
    }
}
