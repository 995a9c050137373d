// SPDX-License-Identifier: GPL-2.0
//! Programs that we start, none of which outlives us.

use anyhow::{Context, Result};
use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

/// Process groups that are alive.
static GROUPS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// A program in a process group of its own, which is killed when this is dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts `command`, which dies with us however we die.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::start_with(command, Vec::new())
    }

    /// As above; of our files the child keeps those that `inherit` names. No child that another
    /// thread starts meanwhile gets them.
    pub fn start_with(command: &mut Command, inherit: Vec<RawFd>) -> Result<Self> {
        command.process_group(0);
        // SAFETY: prctl(2) and fcntl(2) are async-signal-safe, and with these arguments touch no
        // memory.
        unsafe {
            command.pre_exec(move || {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                let mut inherit = inherit.iter();
                inherit.try_for_each(|fd| check(libc::fcntl(*fd, libc::F_SETFD, 0)))
            });
        }
        let program = command.get_program().to_string_lossy().into_owned();
        // Held over the start, so that a signal in between finds the child in the list.
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        groups.push(child.id() as i32);
        Ok(Running { child })
    }

    /// The process, for its pipes and its end.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = self.child.id() as i32;
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|g| *g != group);
        kill(group);
        let _ = self.child.wait();
    }
}

/// Kills every program that is alive, for a run that ends by a signal.
pub fn kill_all() {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    groups.iter().copied().for_each(kill);
}

fn check(ret: libc::c_int) -> io::Result<()> {
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn kill(group: i32) {
    // A group whose members have all ended is no error.
    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
}
