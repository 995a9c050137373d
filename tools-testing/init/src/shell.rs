// SPDX-License-Identifier: GPL-2.0
//! A prompt for a person, on a serial port of its own.

use crate::xen_guest::Guest;
use crate::{channel, kmod};
use anyhow::{Context, Result};
use nix::unistd::setsid;
use protocol::{Event, MachinePlan, ShellAction};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

const BUSYBOX: &str = "/bin/busybox";

/// A shell has no time limit, so neither has the guest beside it.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs a shell until the person leaves it.
pub fn run(_plan: &MachinePlan, action: &ShellAction) -> Result<()> {
    for module in &action.modules {
        kmod::load(module)?;
    }
    let installed = Command::new(BUSYBOX)
        .args(["--install", "-s", "/bin"])
        .status();
    installed.context(BUSYBOX)?;
    fs::write("/etc/profile", profile(action)).context("/etc/profile")?;
    let mut guest = match &action.guest {
        Some(guest) => {
            channel::send(&Event::Note {
                text: "waiting for the Xen guest to boot".into(),
            });
            let mut guest = Guest::start(guest, NO_LIMIT)?;
            guest.boot().inspect_err(|_| guest.abort())?;
            Some(guest)
        }
        None => None,
    };
    channel::send(&Event::Prompt);
    let status = shell(action)?;
    channel::send(&Event::Output {
        line: format!("the shell ended with {status}"),
    });
    if let Some(guest) = &mut guest {
        let last = guest.told()?.map_or(0, |round| round.number);
        guest.finish(last, &[]).inspect_err(|_| guest.abort())?;
    }
    Ok(())
}

fn profile(action: &ShellAction) -> String {
    let size = match action.size {
        Some((rows, columns)) => format!("stty rows {rows} cols {columns}\n"),
        None => String::new(),
    };
    format!(
        "{size}export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TERM={} PS1='kvm-xen# '\n{}",
        action.term,
        action.greeting.lines().fold(String::new(), |text, line| {
            text + "echo '" + &line.replace('\'', "'\\''") + "'\n"
        })
    )
}

fn shell(action: &ShellAction) -> Result<std::process::ExitStatus> {
    let tty: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&action.tty)
        .with_context(|| action.tty.clone())?;
    let mut command = Command::new("/bin/sh");
    command
        .arg("-l")
        .current_dir("/")
        .stdin(Stdio::from(tty.try_clone()?))
        .stdout(Stdio::from(tty.try_clone()?))
        .stderr(Stdio::from(tty.try_clone()?));
    let fd = tty.as_raw_fd();
    // SAFETY: between fork and exec, only the system calls setsid and ioctl are made; `tty` is
    // open until the child has been spawned.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            // The shell's own terminal, for Ctrl-C and job control.
            if libc::ioctl(fd, libc::TIOCSCTTY, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.status().context("/bin/sh")
}
