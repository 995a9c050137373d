// SPDX-License-Identifier: GPL-2.0
//! The Xen guest, seen from the machine that it runs in.

use crate::{channel, diagnose, exec};
use anyhow::{bail, Context, Result};
use protocol::{Event, GuestAction, GuestEvent, Round, GUEST_DISK, GUEST_FINISH, GUEST_LOG};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// A guest that works says something at least this often.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// How long the guest may take to power off.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Where QEMU's own messages go.
const QEMU_LOG: &str = "/run/xen-guest.qemu";

/// Where a person at a prompt finds what the guest says.
const EVENTS: &str = "/run/xen-guest.events";

/// A Xen guest that runs.
pub struct Guest {
    qemu: Child,
    words: ChildStdin,
    said: Receiver<GuestEvent>,
    deadline: Instant,
}

impl Guest {
    /// Makes the disk and starts QEMU. The guest has to be done within `limit`.
    pub fn start(action: &GuestAction, limit: Duration) -> Result<Self> {
        // A new file, so that nothing of an earlier guest's contents is taken for this one's.
        let _ = fs::remove_file(GUEST_DISK);
        File::create(GUEST_DISK)
            .and_then(|disk| disk.set_len(action.disk_mib << 20))
            .context(GUEST_DISK)?;
        let (program, arguments) = action.qemu.split_first().context("an empty command")?;
        let mut qemu = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(QEMU_LOG).context(QEMU_LOG)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let words = qemu.stdin.take().context("stdin is piped")?;
        let events = File::create(EVENTS).context(EVENTS)?;
        let said = listen(qemu.stdout.take().context("stdout is piped")?, events);
        Ok(Guest {
            qemu,
            words,
            said,
            deadline: Instant::now() + limit,
        })
    }

    /// Waits until init runs in the guest.
    pub fn boot(&mut self) -> Result<()> {
        match self.next(self.deadline)? {
            GuestEvent::Up { .. } => Ok(()),
            other => bail!("the guest's first word was {other:?}"),
        }
    }

    /// The next round, which the guest has to end before long.
    pub fn round(&mut self) -> Result<Round> {
        match self.next(self.deadline.min(Instant::now() + SILENCE_LIMIT))? {
            GuestEvent::Round(round) => Ok(round),
            other => bail!("instead of a round the guest told {other:?}"),
        }
    }

    /// The last of the rounds that have been told already, if any; they are done with.
    pub fn told(&mut self) -> Result<Option<Round>> {
        let mut last = None;
        while let Ok(event) = self.said.try_recv() {
            match event {
                GuestEvent::Round(round) => last = Some(round),
                GuestEvent::Failed { reason } => bail!("in the guest: {reason}"),
                other => bail!("instead of a round the guest told {other:?}"),
            }
        }
        Ok(last)
    }

    /// Has the guest report and power off; returns the number of its last round, which `last` was
    /// the last one known of.
    pub fn finish(&mut self, mut last: u32) -> Result<u32> {
        writeln!(self.words, "{GUEST_FINISH}").context("speaking to the guest")?;
        loop {
            match self.next(self.deadline.min(Instant::now() + SILENCE_LIMIT))? {
                GuestEvent::Round(round) => last = round.number,
                GuestEvent::Report(_) => break,
                other => bail!("instead of a report the guest told {other:?}"),
            }
        }
        match exec::wait(&mut self.qemu, Instant::now() + END_LIMIT)? {
            Some(status) if status.success() => Ok(last),
            Some(status) => bail!("the guest's QEMU ended with {status}: {}", qemu_log()),
            None => bail!(
                "the guest has not powered off within {} s",
                END_LIMIT.as_secs()
            ),
        }
    }

    /// Tells all that may say where the guest is stuck, and ends it.
    pub fn abort(&mut self) {
        if matches!(self.qemu.try_wait(), Ok(None)) {
            diagnose::qemu();
            diagnose::tasks_of(self.qemu.id());
            exec::kill(&mut self.qemu);
        }
    }

    fn next(&mut self, deadline: Instant) -> Result<GuestEvent> {
        let begun = Instant::now();
        match self
            .said
            .recv_timeout(deadline.saturating_duration_since(begun))
        {
            Ok(GuestEvent::Failed { reason }) => bail!("in the guest: {reason}"),
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => bail!(
                "the guest has said nothing for {} s",
                begun.elapsed().as_secs()
            ),
            Err(RecvTimeoutError::Disconnected) => {
                let status = exec::wait(&mut self.qemu, Instant::now() + END_LIMIT)?;
                let status = status.map_or("lives on".into(), |status| status.to_string());
                bail!("the guest is gone (QEMU: {status}): {}", qemu_log())
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        exec::kill(&mut self.qemu);
        // Whatever its kernel had to say, the runner looks through it.
        for line in fs::read_to_string(GUEST_LOG).unwrap_or_default().lines() {
            channel::send(&Event::GuestKernel { line: line.into() });
        }
    }
}

/// Passes what the guest says on to the runner, and to us.
fn listen(output: ChildStdout, mut events: File) -> Receiver<GuestEvent> {
    let (sender, receiver) = mpsc::channel();
    let begun = Instant::now();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Some(said) = protocol::from_line::<GuestEvent>(&line) else {
                channel::send(&Event::Output { line });
                continue;
            };
            let _ = writeln!(events, "{line}");
            channel::send(&Event::Guest {
                at_ms: begun.elapsed().as_millis() as u64,
                said: said.clone(),
            });
            // Nobody may listen any more; the runner still wants it.
            let _ = sender.send(said);
        }
    });
    receiver
}

fn qemu_log() -> String {
    let text = fs::read_to_string(QEMU_LOG).unwrap_or_default();
    match text.trim() {
        "" => "it gave no reason".into(),
        text => text.into(),
    }
}
