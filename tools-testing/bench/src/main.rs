// SPDX-License-Identifier: GPL-2.0
//! Measures KVM's Xen emulation in C against ours in Rust, path by path.

mod contention;
mod guest;
mod paths;
mod sample;
mod traced;

use std::os::fd::RawFd;
use std::process::ExitCode;
use std::thread;

use anyhow::{anyhow, bail, Error, Result};
use clap::Parser;
use glob::Pattern;
use harness::outcome::Stop;
use livepatch::inserted::Inserted;
use protocol::{to_line, Cost, Server, GROWTH};

use paths::{growth, Path};
use sample::ticks_of;
use traced::Traced;

/// Measures what calls into KVM's Xen emulation cost: served by C, by C behind a livepatch, and by
/// Rust.
///
/// Needs a working /dev/kvm, and root, to insert modules and to remove them. Prints a line for each
/// path, server and run.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// kvm_xen_rs.ko [default: Rust is not measured]
    #[arg(long, value_name = "FILE")]
    module: Option<String>,

    /// kvm_xen_detour.ko [default: C behind a livepatch is not measured]
    #[arg(long, value_name = "FILE")]
    detour: Option<String>,

    /// How often each path is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Measure these paths alone, with their floors
    #[arg(long, value_name = "GLOB")]
    paths: Option<Pattern>,

    /// Turn the module's tracepoints on where Rust is measured
    #[arg(long)]
    traced: Option<Traced>,

    /// Count instead what happens to many senders at once; needs several processors
    #[arg(long)]
    contention: bool,

    /// Be one of those senders, on this eventfd
    #[arg(long, hide = true, value_name = "FD")]
    signal: Option<RawFd>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The paths that [`measure_change`] measures.
const CHANGES: [&str; 2] = ["module/inserted", "module/handed-back"];

fn run(options: &Options) -> Result<()> {
    if let Some(eventfd) = options.signal {
        return contention::signal(eventfd);
    }
    if options.contention {
        return contention::run(options.module.as_deref());
    }
    let is_wanted = |name: &str| {
        let pattern = options.paths.as_ref();
        pattern.is_none_or(|pattern| pattern.matches(name))
    };
    let paths = chosen(paths::all(), is_wanted);
    let (grows, changes) = (is_wanted(GROWTH), CHANGES.into_iter().any(is_wanted));
    if paths.is_empty() && !grows && !changes {
        bail!("no path has such a name");
    }
    // The C library's write() takes more of a process that has had a thread, as every VMM has. Some
    // paths make threads, so have all measured as it is then.
    thread::spawn(|| ())
        .join()
        .map_err(|_| anyhow!("a thread panicked"))?;
    for server in Server::ALL {
        let file = match server {
            Server::C => None,
            Server::Detour => options.detour.as_deref(),
            Server::Rust => options.module.as_deref(),
        };
        if file.is_none() && server != Server::C {
            continue;
        }
        if changes {
            file.map_or(Ok(()), |file| measure_change(file, server, options.runs))?;
        }
        let inserted = file.map(Inserted::insert).transpose()?;
        let traced = options.traced.filter(|_| server == Server::Rust);
        let traced = traced.map(Traced::begin).transpose()?;
        for _ in 0..options.runs {
            for path in &paths {
                print!("{}", to_line(&measure(path, server)?));
            }
            if grows && server != Server::Detour {
                let costs = growth::costs(server).map_err(|stop| told("growth", server, stop))?;
                costs.iter().for_each(|cost| print!("{}", to_line(cost)));
            }
        }
        drop(traced);
        inserted.map_or(Ok(()), Inserted::remove)?;
    }
    Ok(())
}

/// Those that are wanted, with their floors.
fn chosen(mut paths: Vec<Path>, is_wanted: impl Fn(&str) -> bool) -> Vec<Path> {
    let wanted = paths.iter().filter(|path| is_wanted(&path.name));
    let floors: Vec<_> = wanted.filter_map(|path| path.floor).collect();
    paths.retain(|path| is_wanted(&path.name) || floors.contains(&path.name.as_str()));
    paths
}

fn told(what: &str, server: Server, stop: Stop) -> Error {
    match stop {
        Stop::Skip(text) | Stop::Fail(text) => anyhow!("{what} on {server}: {text}"),
    }
}

fn measure(path: &Path, server: Server) -> Result<Cost> {
    let samples = (path.measure)().map_err(|stop| told(&path.name, server, stop))?;
    let ticks = samples.median();
    let ticks = ticks.ok_or_else(|| anyhow!("{}: nothing was measured", path.name))?;
    Ok(path.cost(server, ticks))
}

/// Measures what it takes until all tasks run a livepatch's code, and until it is gone.
fn measure_change(file: &str, server: Server, runs: u32) -> Result<()> {
    for _ in 0..runs {
        let (inserted, insert) = ticks_of(|| Inserted::insert(file));
        let (removed, remove) = ticks_of(|| inserted?.remove());
        removed?;
        for (path, ticks) in [(CHANGES[0], insert), (CHANGES[1], remove)] {
            print!("{}", to_line(&Cost::alone(path, server, ticks)));
        }
    }
    Ok(())
}
