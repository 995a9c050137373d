// SPDX-License-Identifier: GPL-2.0
//! QEMU's monitor for programs: one command after the other, each with its answer.

use anyhow::{bail, Context, Result};
use serde_json::{json, Value};
use std::io::{BufRead, BufReader, Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a migration is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// Milliseconds that the guest may stand still in the end. An emulated machine writes slowly, and
/// its guest is never to make pages dirty faster than they are written.
const DOWNTIME_MS: u32 = 2000;

/// The state of a migration in which the guest stands still, and nothing of what it was left in is
/// saved yet.
const STILL: &str = "pre-switchover";

/// What QEMU calls a device by which a machine can't be migrated.
const REFUSAL: &str = "non-migratable device";

/// A connection to the monitor.
pub struct Qmp<S: Read>(BufReader<S>);

/// How a migration ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Migrated {
    /// All of it is in the file, and the guest stands still.
    Yes,
    /// QEMU never began, as it does not know how to migrate all of the machine.
    Refused(String),
}

impl<S: Read + Write> Qmp<S> {
    /// Takes QEMU's greeting from a new connection.
    pub fn new(stream: S) -> Result<Self> {
        let mut qmp = Qmp(BufReader::new(stream));
        let greeting = qmp.receive()?;
        if greeting.get("QMP").is_none() {
            bail!("instead of a greeting QEMU's monitor said {greeting}");
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Has the guest migrated to a file while it runs; before the last of it is saved it stands still
    /// for a while. Returns when all is saved.
    pub fn migrate(&mut self, file: &str, still: Duration, limit: Duration) -> Result<Migrated> {
        let deadline = Instant::now() + limit;
        let pause = json!([{"capability": "pause-before-switchover", "state": true}]);
        let capabilities = json!({"capabilities": pause});
        self.execute("migrate-set-capabilities", capabilities)?;
        let parameters = json!({"downtime-limit": DOWNTIME_MS});
        self.execute("migrate-set-parameters", parameters)?;
        match self.execute("migrate", json!({"uri": format!("file:{file}")})) {
            Err(error) if error.to_string().contains(REFUSAL) => {
                return Ok(Migrated::Refused(error.to_string()))
            }
            answer => answer?,
        };
        let mut has_paused = false;
        loop {
            let progress = self.execute("query-migrate", json!({}))?;
            match progress["status"].as_str() {
                Some("completed") if has_paused => return Ok(Migrated::Yes),
                Some("completed") => bail!("QEMU has not paused before the end of its migration"),
                // It remains in that state for a while after it is told to go on.
                Some(STILL) if !has_paused => {
                    sleep(still);
                    self.execute("migrate-continue", json!({"state": STILL}))?;
                    has_paused = true;
                }
                Some("failed" | "cancelled") => bail!("QEMU's migration has failed: {progress}"),
                _ if Instant::now() > deadline => {
                    bail!("QEMU's migration takes more than {limit:?}: {progress}")
                }
                _ => sleep(PERIOD),
            }
        }
    }

    /// Has QEMU, which was started to wait for one, go on with the guest in a file.
    pub fn take_over(&mut self, file: &str) -> Result<()> {
        let uri = json!({"uri": format!("file:{file}")});
        self.execute("migrate-incoming", uri).map(drop)
    }

    /// Whether the guest runs, rather than being waited for.
    pub fn is_running(&mut self) -> Result<bool> {
        let status = self.execute("query-status", json!({}))?;
        Ok(status["running"] == true)
    }

    /// Has QEMU end.
    pub fn quit(mut self) -> Result<()> {
        self.execute("quit", json!({})).map(drop)
    }

    /// Gives a command; returns what it returns.
    fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = protocol::to_line(&json!({"execute": command, "arguments": arguments}));
        let sent = self.0.get_mut().write_all(line.as_bytes());
        sent.with_context(|| format!("telling QEMU to {command}"))?;
        loop {
            let mut answer = self.receive().context(command.to_owned())?;
            if let Some(error) = answer.get("error") {
                bail!(
                    "{command}: {}",
                    error["desc"].as_str().unwrap_or("an error")
                );
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            // An event, which comes at any time.
        }
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.0.read_line(&mut line).context("QEMU's monitor")? == 0 {
            bail!("QEMU's monitor is closed");
        }
        protocol::from_line(&line).with_context(|| format!("QEMU's monitor said {}", line.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Cursor};

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;
    const NOTHING: &str = r#"{"return": {}}"#;
    const LIMIT: Duration = Duration::from_secs(5);

    /// Says what it was told to, whatever it hears.
    struct Script {
        says: Cursor<String>,
        heard: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn qmp(answers: &[&str]) -> Qmp<Script> {
        let says = [&[GREETING, NOTHING], answers].concat();
        Qmp::new(Script {
            says: Cursor::new(says.join("\r\n") + "\r\n"),
            heard: Vec::new(),
        })
        .unwrap()
    }

    #[test]
    fn events_are_no_answers() {
        let event = r#"{"timestamp": {"seconds": 1}, "event": "RESUME"}"#;
        let mut qmp = qmp(&[event, r#"{"return": {"running": true}}"#]);
        assert!(qmp.is_running().unwrap());
        let heard = String::from_utf8(qmp.0.get_ref().heard.clone()).unwrap();
        assert_eq!(
            heard,
            "{\"arguments\":{},\"execute\":\"qmp_capabilities\"}\n\
             {\"arguments\":{},\"execute\":\"query-status\"}\n"
        );
    }

    #[test]
    fn a_migration_is_waited_for() {
        let active = r#"{"return": {"status": "active"}}"#;
        let still = r#"{"return": {"status": "pre-switchover"}}"#;
        let completed = r#"{"return": {"status": "completed"}}"#;
        let migrate = |answers: &[&str], limit| {
            let answers = [&[NOTHING; 3], answers].concat();
            qmp(&answers).migrate("/f", Duration::ZERO, limit)
        };
        let answers = [active, still, NOTHING, still, completed];
        assert_eq!(migrate(&answers, LIMIT).unwrap(), Migrated::Yes);
        let error = migrate(&[active, completed], LIMIT).unwrap_err();
        assert!(error.to_string().contains("has not paused"));
        let failed = r#"{"return": {"status": "failed", "error-desc": "no space"}}"#;
        let error = migrate(&[failed], LIMIT).unwrap_err();
        assert!(error.to_string().contains("no space"));
        let error = migrate(&[active], Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("takes more than"));
    }

    #[test]
    fn a_refusal_is_no_failure() {
        let blocked = r#"{"error": {"class": "GenericError",
            "desc": "State blocked by non-migratable device 'xen_xenstore'"}}"#;
        let blocked = blocked.replace('\n', " ");
        let migrate =
            |answer| qmp(&[NOTHING, NOTHING, answer]).migrate("/f", Duration::ZERO, LIMIT);
        let refused = migrate(&blocked).unwrap();
        let Migrated::Refused(reason) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains("xen_xenstore"));
        let other = r#"{"error": {"class": "GenericError", "desc": "no such file"}}"#;
        let error = migrate(other).unwrap_err();
        assert_eq!(error.to_string(), "migrate: no such file");
    }

    #[test]
    fn an_end_is_told() {
        let error = format!("{:#}", qmp(&[]).quit().unwrap_err());
        assert_eq!(error, "quit: QEMU's monitor is closed");
    }
}
