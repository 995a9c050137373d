// SPDX-License-Identifier: GPL-2.0
//! Measures KVM's Xen emulation in C against ours in Rust, path by path.

mod guest;
mod paths;
mod sample;
mod server;

use std::process::ExitCode;

use anyhow::{anyhow, bail, Result};
use clap::Parser;
use glob::Pattern;
use harness::outcome::Stop;
use protocol::{to_line, Cost, Server};

use paths::Path;
use server::Inserted;

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

fn run(options: &Options) -> Result<()> {
    let mut paths = paths::all();
    if let Some(pattern) = &options.paths {
        let wanted = |path: &Path| pattern.matches(&path.name);
        let floors: Vec<_> = paths.iter().filter(|path| wanted(path)).collect();
        let floors: Vec<_> = floors.iter().filter_map(|path| path.floor).collect();
        paths.retain(|path| wanted(path) || floors.contains(&path.name.as_str()));
    }
    if paths.is_empty() {
        bail!("no path has such a name");
    }
    for server in Server::ALL {
        let file = match server {
            Server::C => None,
            Server::Detour => options.detour.as_deref(),
            Server::Rust => options.module.as_deref(),
        };
        if file.is_none() && server != Server::C {
            continue;
        }
        let inserted = file.map(Inserted::insert).transpose()?;
        for _ in 0..options.runs {
            for path in &paths {
                print!("{}", to_line(&measure(path, server)?));
            }
        }
        inserted.map_or(Ok(()), Inserted::remove)?;
    }
    Ok(())
}

fn measure(path: &Path, server: Server) -> Result<Cost> {
    let told = |stop| match stop {
        Stop::Skip(text) | Stop::Fail(text) => anyhow!("{} on {server}: {text}", path.name),
    };
    let samples = (path.measure)().map_err(told)?;
    let ticks = samples.median();
    Ok(Cost {
        path: path.name.clone(),
        floor: path.floor.map(str::to_owned),
        entries: path.entries,
        server,
        ticks: ticks.ok_or_else(|| anyhow!("{}: nothing was measured", path.name))?,
    })
}
