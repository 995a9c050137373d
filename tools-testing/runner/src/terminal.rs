// SPDX-License-Identifier: GPL-2.0
//! A person's terminal, joined to one in the machine.

use anyhow::{bail, Context, Result};
use nix::sys::termios::{self, SetArg, Termios};
use std::io::{self, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How the terminal was, where it has been changed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Rows and columns of the terminal that we are at.
pub fn size() -> Option<(u16, u16)> {
    let (rows, columns) = console::Term::stdout().size_checked()?;
    (rows > 0 && columns > 0).then_some((rows, columns))
}

/// Fails where nobody could type.
pub fn check() -> Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!("a prompt wants a terminal on standard input and output");
    }
    Ok(())
}

/// Passes every key on, Ctrl-C too, until this is dropped.
pub struct Raw;

impl Raw {
    /// Begins.
    pub fn new() -> Result<Self> {
        let before = termios::tcgetattr(io::stdin()).context("the terminal's settings")?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)
            .context("the terminal's settings")?;
        Ok(Raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal what it was, for a run that ends by a signal, too.
pub fn restore() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = before.take() {
        // Where the terminal is gone, there is nobody to mind.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &before);
    }
}

/// Joins the terminal to the machine's, in threads that end with it.
pub fn join(machine: UnixStream) -> Result<()> {
    let mut from = machine.try_clone().context("the machine's terminal")?;
    thread::spawn(move || {
        let mut stdout = io::stdout();
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if stdout
                .write_all(&bytes[..n])
                .and_then(|()| stdout.flush())
                .is_err()
            {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
    });
    let mut to = machine;
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = io::stdin().read(&mut bytes) {
            if to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
    });
    Ok(())
}
