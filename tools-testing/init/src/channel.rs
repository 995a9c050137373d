// SPDX-License-Identifier: GPL-2.0
//! The second serial port: messages out, one per line, and words in.

use anyhow::{Context, Result};
use nix::sys::termios::{self, SetArg};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

const PORT: &str = "/dev/ttyS1";

static CHANNEL: OnceLock<Mutex<File>> = OnceLock::new();

/// Opens the port, without echo and the like.
pub fn open() -> Result<()> {
    let port = open_raw(PORT)?;
    CHANNEL.get_or_init(|| Mutex::new(port));
    Ok(())
}

/// Sends one message. Nobody is left to tell where that fails; the runner notices the silence.
pub fn send(message: &impl Serialize) {
    let line = protocol::to_line(message);
    if let Some(channel) = CHANNEL.get() {
        let mut port = channel.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = port.write_all(line.as_bytes());
    }
}

/// Waits until all is out: powering off does not.
pub fn drain() {
    if let Some(channel) = CHANNEL.get() {
        let port = channel.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = termios::tcdrain(&*port);
    }
}

/// The lines that come in. Never more than one reader.
pub fn incoming() -> Result<impl Iterator<Item = String>> {
    let port = File::open(PORT).context(PORT)?;
    Ok(BufReader::new(port).lines().map_while(Result::ok))
}

fn open_raw(path: &str) -> Result<File> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .context(path.to_owned())?;
    let mut settings = termios::tcgetattr(&port).context(path.to_owned())?;
    termios::cfmakeraw(&mut settings);
    termios::tcsetattr(&port, SetArg::TCSANOW, &settings).context(path.to_owned())?;
    Ok(port)
}
