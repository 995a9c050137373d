// SPDX-License-Identifier: GPL-2.0
//! kvm-xen-top, as a process.

use harness::outcome::{fail, Outcome};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A process that counts until it is stopped.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    /// Starts it, and waits until it counts.
    pub fn new(top: &Path) -> Outcome<Self> {
        let mut child = Command::new(top)
            .args(["--plain", "--interval=3600"])
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| fail("no pipe"))?;
        let mut running = Running {
            child,
            out: BufReader::new(out),
        };
        let mut line = String::new();
        running.out.read_line(&mut line)?;
        match line.trim() {
            "# counting" => Ok(running),
            other => Err(fail(format!("kvm-xen-top began with {other:?}"))),
        }
    }

    /// Its instance of tracefs.
    pub fn instance(&self) -> PathBuf {
        let name = format!("kvm-xen-top.{}", self.child.id());
        Path::new(super::ftrace::TRACEFS)
            .join("instances")
            .join(name)
    }

    /// Ends it as Ctrl-C does; returns what it has told. It has to leave nothing.
    pub fn stop(mut self) -> Outcome<Vec<String>> {
        let instance = self.instance();
        if !instance.exists() {
            return Err(fail(format!("there is no {}", instance.display())));
        }
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        let lines: Result<Vec<String>, _> = self.out.lines().collect();
        let status = self.child.wait()?;
        if !status.success() {
            return Err(fail(format!("kvm-xen-top: {status}")));
        }
        if fs::metadata(&instance).is_ok() {
            return Err(fail(format!("kvm-xen-top has left {}", instance.display())));
        }
        Ok(lines?)
    }
}
