// SPDX-License-Identifier: GPL-2.0

//! The declared lock order as a document and a picture, and against what lockdep has seen.

use anyhow::{bail, Context, Result};
use clap::{Parser, Subcommand};
use lockgraph::{compare::Comparison, doc, lockdep::Observed, picture};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The lock order as it is declared in rust/sync, for readers.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The generated tables of locking.rst
    Doc {
        #[command(flatten)]
        mode: Mode,
        /// The directory with locking.rst and lock-order.svg
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Documentation"))]
        documentation: PathBuf,
    },
    /// The picture; with --lockdep, the declared order against what that kernel has seen
    Draw {
        /// What `cat /proc/lockdep` printed on a kernel with CONFIG_PROVE_LOCKING
        #[arg(long, value_name = "FILE")]
        lockdep: Option<PathBuf>,
        /// Where the picture goes
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Mode {
    /// Fail when the tables or the picture are not those of the present declaration
    #[arg(long)]
    check: bool,
    /// Write the tables
    #[arg(long)]
    write: bool,
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Doc {
            mode,
            documentation,
        } => {
            let path = documentation.join("locking.rst");
            let old = read(&path)?;
            let new = doc::generate(&old).with_context(|| path.display().to_string())?;
            if mode.write {
                write(&path, &new)?;
            } else if old != new {
                bail!("{} is stale: run `lockgraph doc --write`", path.display());
            }
            let path = documentation.join("lock-order.svg");
            if mode.check && !picture::is_current(&read(&path)?) {
                bail!("{} is stale: run `make lockgraph`", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Draw { lockdep, svg } => {
            let comparison = match &lockdep {
                Some(path) => {
                    let observed = Observed::parse(&read(path)?);
                    let observed = observed.with_context(|| path.display().to_string())?;
                    Some(Comparison::new(&observed))
                }
                None => None,
            };
            if let Some(path) = &svg {
                write(path, &picture::draw(comparison.as_ref()))?;
            }
            let Some(comparison) = comparison else {
                return Ok(ExitCode::SUCCESS);
            };
            println!("{comparison}");
            Ok(
                if comparison.undeclared.is_empty() && comparison.unexplained.is_empty() {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                },
            )
        }
    }
}

fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("lockgraph: {error:#}");
        ExitCode::FAILURE
    })
}
