// SPDX-License-Identifier: GPL-2.0
//! Running a program under a time limit, its output told line by line.

use crate::{channel, diagnose};
use anyhow::{Context, Result};
use nix::sys::signal::{killpg, Signal};
use nix::unistd::{pipe, Pid};
use protocol::{Event, ExecAction, Flaw, Outcome, Output, RUN_AGAIN};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Exit status by which kselftests say that they can't run here.
const KSFT_SKIP: i32 = 4;

/// How long a killed program may take to die: it may be inside an ioctl.
const DYING_LIMIT: Duration = Duration::from_secs(5);

/// How often a program may fail by a flaw of its own before that is believed to be something else. A
/// fault that looks like one, and shows in 60 % of runs, would pass five times in 92 % of them.
const ATTEMPTS: usize = 2;

/// Runs the program and judges its end; again, if it has failed by a flaw of its own.
pub fn run(action: &ExecAction, limit: Duration) -> Result<Outcome> {
    let deadline = Instant::now() + limit;
    for _ in 1..ATTEMPTS {
        match run_once(action, limit, deadline)? {
            (Outcome::Failed { .. }, Some(flaw)) => {
                let line = format!("{RUN_AGAIN}{}", flaw.reason);
                channel::send(&Event::Output { line });
            }
            (outcome, _) => return Ok(outcome),
        }
    }
    Ok(run_once(action, limit, deadline)?.0)
}

/// How the program ended, and which of its flaws it has shown.
fn run_once(
    action: &ExecAction,
    limit: Duration,
    deadline: Instant,
) -> Result<(Outcome, Option<&Flaw>)> {
    let (mut child, lines) = spawn(&action.argv)?;
    let mut last = String::new();
    let mut flaw = None;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if !line.trim().is_empty() {
                    last.clone_from(&line);
                }
                flaw = flaw.or_else(|| action.flaws.iter().find(|flaw| flaw.shows_in(&line)));
                channel::send(&Event::Output { line });
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => return Ok((stop(&mut child, limit), None)),
        }
    }
    // The output is closed, so the program has ended or is about to.
    match wait(&mut child, deadline.max(Instant::now() + DYING_LIMIT))? {
        Some(status) => Ok((judge(status, action.output, &last), flaw)),
        None => Ok((stop(&mut child, limit), None)),
    }
}

fn spawn(argv: &[String]) -> Result<(Child, Receiver<String>)> {
    let (program, arguments) = argv.split_first().context("an empty command")?;
    // One pipe for both, so that their lines stay in order.
    let (reader, writer) = pipe()?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    Ok((child, read_lines(File::from(reader))))
}

fn read_lines(reader: File) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        // A test may print bytes that are not UTF-8.
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line);
            if sender
                .send(text.trim_end_matches(['\n', '\r']).to_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// Waits for the end until `deadline`; `None` where it did not come.
pub fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn stop(child: &mut Child, limit: Duration) -> Outcome {
    diagnose::tasks_of(child.id());
    let mut reason = format!("has not ended within its {} s", limit.as_secs());
    if !kill(child) {
        diagnose::blocked_tasks();
        reason.push_str(", and can't be killed");
    }
    Outcome::Failed { reason }
}

/// Kills the program with its children; false where it would not die.
pub fn kill(child: &mut Child) -> bool {
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    matches!(wait(child, Instant::now() + DYING_LIMIT), Ok(Some(_)))
}

fn judge(status: ExitStatus, output: Output, last: &str) -> Outcome {
    match (status.code(), output) {
        (Some(0), _) => Outcome::Ok,
        (Some(KSFT_SKIP), _) => Outcome::Skip {
            reason: last.trim_start_matches("1..0 # SKIP").trim().to_owned(),
        },
        // The cases that failed speak for themselves; this is for the step as a whole.
        (Some(code), _) => Outcome::Failed {
            reason: format!("ended with status {code}"),
        },
        (None, _) => Outcome::Failed {
            reason: match status.signal() {
                Some(signal) => match Signal::try_from(signal) {
                    Ok(signal) => format!("was killed by {signal}"),
                    Err(_) => format!("was killed by signal {signal}"),
                },
                None => format!("ended strangely: {status}"),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    /// Runs a shell's command that counts its runs; how it ended, and how often it was run.
    fn counted(command: &str, line: &str) -> (Outcome, usize) {
        let name = format!("kvm-xen-init-{}-{line}", std::process::id());
        let count = std::env::temp_dir().join(name);
        let action = ExecAction {
            argv: ["sh", "-c", &format!("echo >>$0; {command}")]
                .into_iter()
                .map(str::to_owned)
                .chain([count.display().to_string()])
                .collect(),
            output: Output::Text,
            flaws: vec![Flaw {
                line: line.into(),
                reason: "it is so".into(),
            }],
        };
        let outcome = run(&action, Duration::from_secs(60)).unwrap();
        let runs = std::fs::read_to_string(&count).unwrap().lines().count();
        std::fs::remove_file(&count).unwrap();
        (outcome, runs)
    }

    #[test]
    fn a_flaw_is_given_another_chance() {
        // It fails the first time.
        let once = "echo unlucky; test $(wc -l <$0) -gt 1";
        assert_eq!(counted(once, "unlucky"), (Outcome::Ok, 2));
    }

    #[test]
    fn what_fails_each_time_has_failed() {
        let failed = Outcome::Failed {
            reason: "ended with status 3".into(),
        };
        let always = "echo cursed; exit 3";
        assert_eq!(counted(always, "cursed"), (failed.clone(), ATTEMPTS));
        assert_eq!(counted(always, "another line"), (failed, 1));
    }

    #[test]
    fn what_passes_is_run_once() {
        assert_eq!(counted("echo fine", "fine"), (Outcome::Ok, 1));
    }

    #[test]
    fn kselftests_exit_codes() {
        assert_eq!(judge(exited(0), Output::Text, ""), Outcome::Ok);
        assert_eq!(
            judge(exited(4), Output::Text, "1..0 # SKIP no Xen"),
            Outcome::Skip {
                reason: "no Xen".into()
            }
        );
        assert_eq!(
            judge(exited(254), Output::Text, ""),
            Outcome::Failed {
                reason: "ended with status 254".into()
            }
        );
        assert_eq!(
            judge(ExitStatus::from_raw(6), Output::Text, ""),
            Outcome::Failed {
                reason: "was killed by SIGABRT".into()
            }
        );
    }
}
