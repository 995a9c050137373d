// SPDX-License-Identifier: GPL-2.0
//! The Xen guest, seen from the machine that it runs in.

use crate::{channel, diagnose, exec, image};
use anyhow::{bail, Context, Result};
use protocol::{
    Event, GuestAction, GuestEvent, IrqLine, Round, Seen, GUEST_FINISH, GUEST_LOG, KLOG_TAG,
};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A guest that works says something at least this often, also on a debug kernel and a slow host.
const SILENCE_LIMIT: Duration = Duration::from_secs(90);

/// How long the guest may take to power off.
const END_LIMIT: Duration = Duration::from_secs(60);

/// How long QEMU may take to be gone after its sockets are.
const GONE_LIMIT: Duration = Duration::from_millis(500);

/// Where QEMU's own messages go.
const QEMU_LOG: &str = "/run/xen-guest.qemu";

/// Where a person at a prompt finds what the guest says.
const EVENTS: &str = "/run/xen-guest.events";

/// What the guest says, and what ends with the part of its last line that it left unfinished.
type Said = (Receiver<GuestEvent>, JoinHandle<Vec<u8>>);

/// A Xen guest that runs.
pub struct Guest {
    qemu: Child,
    words: ChildStdin,
    said: Receiver<GuestEvent>,
    listener: Option<JoinHandle<Vec<u8>>>,
    deadline: Instant,
}

impl Guest {
    /// Makes the disk and starts QEMU. The guest has to be done within `limit`.
    pub fn start(action: &GuestAction, limit: Duration) -> Result<Self> {
        image::create(action.disk_mib)?;
        Self::launch(&action.qemu, Vec::new(), limit)
    }

    /// Starts QEMU, whose guest goes on with a line of which `unfinished` is the beginning.
    pub fn launch(qemu: &[String], unfinished: Vec<u8>, limit: Duration) -> Result<Self> {
        let (program, arguments) = qemu.split_first().context("an empty command")?;
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
        let output = qemu.stdout.take().context("stdout is piped")?;
        let (said, listener) = listen(output, unfinished, events);
        Ok(Guest {
            qemu,
            words,
            said,
            listener: Some(listener),
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
        match self.hear()? {
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

    /// Has the guest hear a word.
    pub fn tell(&mut self, word: &str) -> Result<()> {
        writeln!(self.words, "{word}").context("speaking to the guest")
    }

    /// What the guest says next, which it has to before long.
    pub fn hear(&mut self) -> Result<GuestEvent> {
        self.next(self.deadline.min(Instant::now() + SILENCE_LIMIT))
    }

    /// Fails, with QEMU's reason, where QEMU has ended.
    pub fn check_there(&mut self) -> Result<()> {
        match exec::wait(&mut self.qemu, Instant::now() + GONE_LIMIT)? {
            None => Ok(()),
            Some(status) => bail!("the guest is gone (QEMU: {status}): {}", qemu_log()),
        }
    }

    /// QEMU has been told to end, and does. Returns what the guest said before that and nobody has
    /// heard, and what it left unfinished of its last line.
    pub fn left(mut self) -> Result<(Vec<GuestEvent>, Vec<u8>)> {
        self.qemu_ends()?;
        let said = self.said.iter().collect();
        let unfinished = self.listener.take().map(JoinHandle::join);
        let unfinished = unfinished.map(|line| line.expect("a panic ends init"));
        Ok((said, unfinished.unwrap_or_default()))
    }

    /// Has the guest report and power off; returns the number of its last round, which `last` was
    /// the last one known of. Fails where its interrupts are not what is `expected`.
    pub fn finish(&mut self, mut last: u32, expected: &[Seen]) -> Result<u32> {
        self.tell(GUEST_FINISH)?;
        loop {
            match self.hear()? {
                GuestEvent::Round(round) => last = round.number,
                GuestEvent::Timer(_) => {}
                GuestEvent::Report(report) => {
                    check_interrupts(&report.interrupts, expected)?;
                    break;
                }
                other => bail!("instead of a report the guest told {other:?}"),
            }
        }
        self.qemu_ends().map(|()| last)
    }

    fn qemu_ends(&mut self) -> Result<()> {
        match exec::wait(&mut self.qemu, Instant::now() + END_LIMIT)? {
            Some(status) if status.success() => check_log(),
            Some(status) => bail!("the guest's QEMU ended with {status}: {}", qemu_log()),
            None => bail!(
                "the guest's QEMU has not ended within {} s",
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
        let log = fs::read(GUEST_LOG).unwrap_or_default();
        for line in String::from_utf8_lossy(&log).lines() {
            channel::send(&Event::GuestKernel { line: line.into() });
        }
    }
}

/// Passes what the guest says on to the runner, and to us.
fn listen(
    output: impl Read + Send + 'static,
    unfinished: Vec<u8>,
    mut events: impl Write + Send + 'static,
) -> Said {
    let (sender, receiver) = mpsc::channel();
    let begun = Instant::now();
    let listener = thread::spawn(move || {
        let mut reader = BufReader::new(Cursor::new(unfinished).chain(output));
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            if line.last() != Some(&b'\n') {
                break;
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let Some(said) = protocol::from_line::<GuestEvent>(&text) else {
                channel::send(&Event::Output { line: text });
                continue;
            };
            let _ = writeln!(events, "{text}");
            channel::send(&Event::Guest {
                at_ms: begun.elapsed().as_millis() as u64,
                said: said.clone(),
            });
            // Nobody may listen any more; the runner still wants it.
            let _ = sender.send(said);
        }
        line
    });
    (receiver, listener)
}

/// Fails where the guest's interrupts are not what is expected of how it was set up.
fn check_interrupts(lines: &[IrqLine], expected: &[Seen]) -> Result<()> {
    for Seen { line, counted } in expected {
        let is_meant = |irq: &&IrqLine| irq.irq == *line || irq.what.contains(line.as_str());
        let count: u64 = lines
            .iter()
            .filter(is_meant)
            .flat_map(|irq| &irq.counts)
            .sum();
        if (count > 0) != *counted {
            bail!("the guest had {count} interrupts of {line}: it is not set up as it was to be");
        }
    }
    Ok(())
}

/// Fails unless the log has a line that the guest has written to it itself, with the level of a
/// warning: or no warning would be there either.
fn check_log() -> Result<()> {
    let log = fs::read(GUEST_LOG).context(GUEST_LOG)?;
    match String::from_utf8_lossy(&log).contains(KLOG_TAG) {
        true => Ok(()),
        false => bail!("the guest's kernel log lacks what the guest has written to it"),
    }
}

fn qemu_log() -> String {
    let text = fs::read_to_string(QEMU_LOG).unwrap_or_default();
    match text.trim() {
        "" => "it gave no reason".into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn interrupts_tell_how_a_guest_is_set_up() {
        let lines = [
            " HYP: 7 0 Hypervisor callback",
            " 24: 0 0 xen-percpu -virq timer0",
        ];
        let lines = lines.map(|line| IrqLine::parse(line, 2).unwrap());
        let check = |line: &str, counted| {
            let line = line.to_owned();
            check_interrupts(&lines, &[Seen { line, counted }]).is_ok()
        };
        assert!(check("HYP", true) && !check("HYP", false));
        assert!(check("virq timer", false) && !check("virq timer", true));
        assert!(check("gone", false) && !check("gone", true));
    }

    #[test]
    fn another_qemu_ends_a_line() {
        let event = GuestEvent::Failed {
            reason: "tried".into(),
        };
        let line = protocol::to_line(&event).into_bytes();
        let (begun, rest) = line.split_at(line.len() / 2);
        let (said, listener) = listen(Cursor::new(begun.to_vec()), Vec::new(), io::sink());
        let unfinished = listener.join().unwrap();
        assert_eq!(unfinished, begun);
        assert!(said.recv().is_err());
        let (said, listener) = listen(Cursor::new(rest.to_vec()), unfinished, io::sink());
        assert!(listener.join().unwrap().is_empty());
        assert_eq!(said.recv().unwrap(), event);
    }
}
