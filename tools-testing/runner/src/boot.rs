// SPDX-License-Identifier: GPL-2.0
//! One boot of the machine: started, listened to under time limits, and ended.

use crate::accel::{Accel, Engine};
use crate::children::Running;
use crate::klog;
use crate::paths::Kernel;
use crate::qemu::{shell_words, Machine};
use crate::scratch;
use crate::watch::{Limits, Watch};
use anyhow::{bail, Context, Result};
use protocol::{Event, MachinePlan, Outcome};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a machine may take to power off when it is done.
const OFF_LIMIT: Duration = Duration::from_secs(30);

/// Lines of the kernel log that are shown when a machine hangs or dies.
const TAIL: usize = 100;

/// How long a kernel may take to tell where it hangs.
const BACKTRACE_SECONDS: u32 = 10;

/// For so long QEMU's monitor is listened to.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What to boot.
pub struct Boot<'a> {
    /// Names its directory among the logs.
    pub name: &'a str,
    /// What runs it.
    pub engine: &'a Engine,
    /// And how.
    pub accel: Accel,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// What its command line has besides the usual.
    pub append: &'a str,
    /// Processors.
    pub smp: u32,
    /// Memory.
    pub memory_mib: u32,
    /// The first file system, with the plan in it.
    pub initramfs: Vec<u8>,
    /// The plan again, for its time limits.
    pub plan: &'a MachinePlan,
    /// Seconds for all of it; `None`: as long as the steps may take.
    pub limit_s: Option<u64>,
    /// The machine's end of a person's terminal, of a pair of sockets.
    pub terminal: Option<UnixStream>,
}

/// A boot that has ended.
pub struct Ended {
    /// All that the machine told.
    pub events: Vec<Event>,
    /// Why it can't be taken for done: what happened and the log's last lines.
    pub fault: Option<Vec<String>>,
    /// The kernel's log, as far as it is the kernel's own idea.
    pub kernel_log: String,
    /// Where it all is kept.
    pub logs: PathBuf,
    /// How long it took.
    pub took: Duration,
}

impl Ended {
    /// Whether init ever spoke.
    pub fn came_up(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::Up { .. }))
    }

    /// Fails where the boot did, or a step of it.
    pub fn insist(&self) -> Result<()> {
        let failed = self.events.iter().find_map(|event| match event {
            Event::End {
                id,
                outcome: Outcome::Failed { reason },
                ..
            } => Some(format!("{id}: {reason}")),
            _ => None,
        });
        let fault = self.fault.as_ref().map(|lines| lines.join("\n"));
        match fault.or(failed) {
            Some(reason) => bail!("{reason}\nLogs: {}", self.logs.display()),
            None => Ok(()),
        }
    }
}

/// Boots, and tells `observer` each event as it comes.
pub fn run(boot: &mut Boot, logs: &Path, observer: &mut dyn FnMut(&Event)) -> Result<Ended> {
    let logs = logs.join(boot.name);
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let console = logs.join("kernel.log");
    File::create(&console).with_context(|| console.display().to_string())?;
    let initrd = scratch::directory()?.join(boot.name);
    fs::write(&initrd, &boot.initramfs).context("writing the initramfs")?;

    let begun = Instant::now();
    let (events, events_there) = UnixStream::pair().context("a pair of sockets")?;
    let (mut monitor, monitor_there) = UnixStream::pair().context("a pair of sockets")?;
    let terminal = boot.terminal.take();
    let machine = Machine {
        accel: boot.accel,
        smp: boot.smp,
        memory_mib: boot.memory_mib,
        kernel: &boot.kernel.image(),
        initrd: &initrd,
        append: &command_line(&[
            &boot.engine.append(boot.accel),
            &boot.kernel.append(),
            boot.append,
        ]),
        console: &console,
        events: events_there.as_raw_fd(),
        monitor: monitor_there.as_raw_fd(),
        terminal: terminal.as_ref().map(AsRawFd::as_raw_fd),
    };
    let program = boot.engine.program(boot.accel);
    let arguments = machine.arguments();
    fs::write(
        logs.join("qemu.cmd"),
        shell_words(&program.to_string_lossy(), &arguments),
    )?;
    let said = logs.join("qemu.log");
    let sockets = [Some(&events_there), Some(&monitor_there), terminal.as_ref()];
    let mut qemu = Running::start_with(
        Command::new(program)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&said)?)
            .stderr(File::options().append(true).open(&said)?),
        sockets
            .iter()
            .flatten()
            .map(|end| end.as_raw_fd())
            .collect(),
    )?;
    // Now the machine alone holds these ends, and we notice when it is gone.
    drop((events_there, monitor_there, terminal));

    let mut watch = Watch::new(
        boot.plan,
        &Limits::of(boot.accel, boot.kernel.patience(), boot.limit_s),
    );
    let mut journal = File::create(logs.join("events.jsonl"))?;
    let mut all = Vec::new();
    let end = listen(&read_events(events), &mut watch, |event| {
        let ms = begun.elapsed().as_millis();
        let line = protocol::to_line(event);
        let _ = writeln!(journal, "{{\"ms\":{ms},\"says\":{}}}", line.trim());
        observer(event);
        all.push(event.clone());
    });
    let read_log = || -> Result<String> {
        let log = fs::read(&console).with_context(|| console.display().to_string())?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    };
    // What the kernel says after our NMI is no complaint of its own.
    let before_backtrace = read_log()?;
    let is_hung = matches!(end, End::Hung(_));
    let fault = match end {
        End::Done if ends(&mut qemu, OFF_LIMIT)? => None,
        End::Done => Some("the machine is done, and does not power off".to_owned()),
        End::Fault(fault) => Some(fault),
        End::Hung(fault) => {
            ask(&mut monitor, &logs.join("monitor.log"));
            backtrace(monitor, &console);
            Some(fault)
        }
    };
    // Where QEMU itself failed, its reason is better than ours.
    let died = matches!(qemu.child().try_wait()?, Some(status) if !status.success());
    drop(qemu);
    let kernel_log = read_log()?;
    let fault = fault.map(|fault| {
        let qemu_said = fs::read_to_string(&said).unwrap_or_default();
        let mut lines = vec![fault];
        if died {
            lines.extend(qemu_said.lines().map(str::to_owned));
        }
        lines.extend(klog::tail(&kernel_log, TAIL));
        lines
    });
    Ok(Ended {
        events: all,
        fault,
        kernel_log: if is_hung {
            before_backtrace
        } else {
            kernel_log
        },
        logs,
        took: begun.elapsed(),
    })
}

/// The kernel's command line. The console shows what is at least a warning until init is there;
/// an oops ends the boot, so that nothing is tried on a kernel that is broken; so does our NMI, and
/// every processor tells where it is, and which timers it has. On a busy host an emulated timer may
/// be late, which is no reason to panic.
fn command_line(more: &[&str]) -> String {
    let more = more.join(" ");
    format!(
        "console=ttyS0 loglevel=5 oops=panic panic=-1 unknown_nmi_panic panic_print=0x44 \
         no_timer_check {more}"
    )
}

/// Has QEMU tell, into a file, the state of the first processor's local APIC, and the registers of all.
fn ask(monitor: &mut UnixStream, into: &Path) {
    let mut answer = Vec::new();
    let asked = monitor
        .set_read_timeout(Some(ANSWER_LIMIT))
        .and_then(|()| monitor.write_all(b"info lapic\ninfo registers -a\n"));
    if asked.is_ok() {
        // It ends by the time limit: the monitor stays.
        let _ = monitor.read_to_end(&mut answer);
    }
    let _ = fs::write(into, answer);
}

/// Has the kernel tell what it is at, and waits until it has: an NMI reaches it wherever it hangs.
fn backtrace(mut monitor: UnixStream, console: &Path) {
    if monitor.write_all(b"nmi\n").is_err() {
        return;
    }
    let length = || fs::metadata(console).map_or(0, |file| file.len());
    let mut last = length();
    for _ in 0..BACKTRACE_SECONDS {
        thread::sleep(Duration::from_secs(1));
        if last == std::mem::replace(&mut last, length()) {
            break;
        }
    }
}

fn read_events(from: UnixStream) -> Receiver<Event> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            // Firmware may say a word on the port, too.
            if let Some(event) = protocol::from_line(&String::from_utf8_lossy(&line)) {
                if sender.send(event).is_err() {
                    return;
                }
            }
            line.clear();
        }
    });
    receiver
}

/// How the listening ended.
enum End {
    /// The plan is done.
    Done,
    /// It won't be.
    Fault(String),
    /// Nothing more came in time.
    Hung(String),
}

fn listen(events: &Receiver<Event>, watch: &mut Watch, mut each: impl FnMut(&Event)) -> End {
    loop {
        let left = watch.deadline().saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(event) => {
                watch.saw(&event);
                each(&event);
                match event {
                    Event::Done => return End::Done,
                    Event::Fatal { message } => return End::Fault(message),
                    _ => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => return End::Hung(watch.complaint()),
            Err(RecvTimeoutError::Disconnected) => {
                return End::Fault(format!("the machine died {}", watch.place()))
            }
        }
    }
}

fn ends(qemu: &mut Running, limit: Duration) -> Result<bool> {
    let begun = Instant::now();
    while qemu.child().try_wait()?.is_none() {
        if begun.elapsed() > limit {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}
