// SPDX-License-Identifier: GPL-2.0
//! `kvm-xen-top`: what the module delivers to Xen guests, live.

#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use std::io::{stdout, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use top::counts::Counts;
use top::names::Names;
use top::side::Side;
use top::tracefs::Instance;
use top::{plain, screen};

/// Shows what the module kvm_xen_rs delivers to Xen guests, by VM and vCPU.
///
/// It counts by the module's tracepoints, in an instance of tracefs that it removes in the end; see
/// Documentation/tracing.rst. Needs root. While it runs the module can be handed back to C, but not
/// removed.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Lines for scripts: how often each thing has happened in each interval
    #[arg(long)]
    plain: bool,

    /// One interval, then end; implies --plain
    #[arg(long, conflicts_with = "count")]
    once: bool,

    /// Seconds of an interval
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    interval: f64,

    /// So many intervals, then end; implies --plain
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=86400.0).contains(&seconds) => Ok(seconds),
        _ => Err("from 0.05 to 86400".into()),
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvm-xen-top: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let (sender, stopped) = channel();
    ctrlc::set_handler(move || {
        let _ = sender.send(());
    })
    .context("handling Ctrl-C")?;
    let source = Source::new()?;
    let interval = Duration::from_secs_f64(options.interval);
    let count = if options.once { Some(1) } else { options.count };
    match options.plain || count.is_some() {
        true => lines(source, interval, count, &stopped),
        false => drawn(source, interval, &stopped),
    }
}

/// Where counts come from.
struct Source {
    instance: Instance,
    last: Counts,
    since: Instant,
}

impl Source {
    fn new() -> Result<Self> {
        let instance = Instance::new()?;
        Ok(Source {
            last: instance.read()?,
            since: Instant::now(),
            instance,
        })
    }

    /// What was counted since the last time, and how long that is ago.
    fn next(&mut self) -> Result<(Counts, Duration)> {
        let now = self.instance.read()?;
        let counts = now.since(&self.last);
        let span = self.since.elapsed();
        self.since = Instant::now();
        self.last = now;
        Ok((counts, span))
    }
}

/// Tells of each interval, and of a part of one when it is stopped.
fn lines(
    mut source: Source,
    interval: Duration,
    count: Option<u64>,
    stopped: &Receiver<()>,
) -> Result<()> {
    let mut names = Names::default();
    let mut left = count;
    // From here on all is counted.
    if !tell(&["# counting".to_owned()])? {
        return Ok(());
    }
    loop {
        let is_over = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
        let (counts, span) = source.next()?;
        left = left.map(|left| left - 1);
        if !tell(&plain::lines(&counts, &mut names, Side::now(), span))? {
            return Ok(());
        }
        if is_over || left == Some(0) {
            return Ok(());
        }
    }
}

/// Whether somebody still reads this.
fn tell(lines: &[String]) -> Result<bool> {
    let mut out = stdout().lock();
    match writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("writing"),
    }
}

fn drawn(mut source: Source, interval: Duration, stopped: &Receiver<()>) -> Result<()> {
    let mut terminal = ratatui::try_init().context("no terminal: take --plain")?;
    let result = draw_all(&mut terminal, &mut source, interval, stopped);
    ratatui::restore();
    result
}

fn draw_all(
    terminal: &mut ratatui::DefaultTerminal,
    source: &mut Source,
    interval: Duration,
    stopped: &Receiver<()>,
) -> Result<()> {
    let mut names = Names::default();
    loop {
        let (counts, span) = source.next()?;
        let side = Side::now();
        terminal.draw(|frame| screen::draw(frame, &counts, &mut names, side, span))?;
        let until = Instant::now() + interval;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if stopped.try_recv().is_ok() {
                return Ok(());
            }
            // A signal comes here as an error, or not at all.
            if event::poll(left.min(Duration::from_millis(200)))? {
                if let Event::Key(key) = event::read()? {
                    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
                    if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
                        || ctrl && key.code == KeyCode::Char('c')
                    {
                        return Ok(());
                    }
                }
            }
        }
    }
}
