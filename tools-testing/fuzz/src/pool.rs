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
use harness::stacks::kernel_stacks;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, pipe2, ForkResult, Pid};

use crate::shared::Shared;
use crate::trace::{Item, Kind, Trace, ITEM_SIZE};

/// Time for a killed process to go away.
const TIME_TO_DIE: Duration = Duration::from_secs(5);
/// How often the watch looks.
const ROUND: u16 = 200;

/// How sequences are lost.
const HUNG: u64 = 1;
const DIED: u64 = 2;

/// What a worker does: runs the sequence of that number, and returns its trace.
pub type Work<'a> = Box<dyn FnMut(usize) -> Result<Trace> + 'a>;

/// Sequences to be run.
pub struct Batch<'a> {
    /// How many there are.
    pub number: usize,
    /// Processes at once.
    pub workers: usize,
    /// Time for a sequence.
    pub limit: Duration,
    /// Called once in each process, before its first sequence.
    pub prepare: &'a dyn Fn() -> Result<Work<'a>>,
}

/// Runs sequences. For a process that has no threads besides.
pub struct Pool {
    next: Shared<AtomicU64>,
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
    /// No process yet.
    pub fn new() -> Result<Self> {
        Ok(Self {
            next: Shared::new(AtomicU64::new(0))?,
        })
    }

    /// The traces of the sequences, in order, and what was told of those that were lost.
    pub fn run(&mut self, batch: &Batch<'_>) -> Result<(Vec<Trace>, Vec<String>)> {
        self.next.store(0, Ordering::Relaxed);
        let mut traces = HashMap::new();
        let mut told = Vec::new();
        let mut workers: Vec<Worker> = Vec::new();
        for _ in 0..batch.workers.min(batch.number) {
            workers.push(self.start(batch)?);
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
                } else if worker.current.is_some() && worker.since.elapsed() > batch.limit {
                    lost.push((at, HUNG));
                }
            }
            for (at, how) in lost.into_iter().rev() {
                let worker = workers.swap_remove(at);
                let current = worker.current;
                let text = worker.end(how)?;
                if let Some(index) = current {
                    let item = Item::new(0, Kind::Lost, 0, how);
                    traces.insert(index, vec![item]);
                    told.push(format!("sequence {index} of this batch: {text}"));
                    workers.push(self.start(batch)?);
                }
            }
        }
        let all: Option<Vec<Trace>> = (0..batch.number as u32)
            .map(|index| traces.remove(&index))
            .collect();
        Ok((all.context("a worker ended early")?, told))
    }

    fn start(&self, batch: &Batch<'_>) -> Result<Worker> {
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
                let result = self.work(batch, writer.into());
                if let Err(error) = &result {
                    println!("# a worker gives up: {error:#}");
                }
                let _ = std::io::stdout().flush();
                // SAFETY: ends the process, of which nothing is of further use.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
        }
    }

    fn work(&self, batch: &Batch<'_>, mut pipe: File) -> Result<()> {
        let mut work = (batch.prepare)()?;
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= batch.number as u64 {
                return Ok(());
            }
            let header =
                |length: u32| [(index as u32).to_le_bytes(), length.to_le_bytes()].concat();
            pipe.write_all(&header(BEGUN))?;
            let trace = work(index as usize)?;
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
