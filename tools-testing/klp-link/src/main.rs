// SPDX-License-Identifier: GPL-2.0
//! The command: see the library for what it does.

mod file;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// Make a module's references to unexported symbols livepatch relocations.
///
/// Run this on a .ko that refers to symbols named .klp.sym.OBJECT.NAME,POSITION, as the last step
/// before it is signed. The kernel then resolves them when OBJECT (a module, or vmlinux) is there,
/// and refuses the livepatch by name if it has no such symbol. A module that has been linked, or
/// has no such symbols, is left as it is.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The module, rewritten in place
    #[arg(value_name = "MODULE.ko")]
    module: PathBuf,

    /// Write the linked module to OUT and leave MODULE.ko as it is
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Have the module insist on a kvm.ko of this build id, in hexadecimal, or on none if it is empty
    #[arg(long, value_name = "ID", conflicts_with = "list")]
    build_id: Option<String>,

    /// List the livepatch relocations, to make or made, and write nothing
    #[arg(short, long, conflicts_with = "output")]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(text) => {
            // Whoever reads a list may close the pipe when it has seen enough.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(text) => {
            for line in text.lines() {
                eprintln!("klp-link: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<String, String> {
    let module = &args.module;
    let data = fs::read(module).map_err(|error| at(module, error))?;
    if args.list {
        let report = klp_link::inspect(&data).map_err(|error| at(module, error))?;
        return Ok(report.to_string());
    }
    let linked = klp_link::link(&data).map_err(|error| at(module, error))?;
    let done = linked.module.is_some();
    let out = args.output.as_ref().unwrap_or(module);
    let mut bytes = linked.module.unwrap_or_else(|| data.clone());
    if let Some(id) = &args.build_id {
        klp_link::insist_on(&mut bytes, id).map_err(|error| at(module, error))?;
    }
    if bytes != data || args.output.is_some() {
        file::replace(out, module, &bytes).map_err(|error| at(out, error))?;
    }
    Ok(if done {
        format!("{}: {}\n", out.display(), linked.report.summary())
    } else {
        format!("{}: nothing to do\n", module.display())
    })
}

/// Each line of an error with the file that it is about.
fn at(path: &Path, error: impl ToString) -> String {
    let lines = error.to_string();
    let lines = lines
        .lines()
        .map(|line| format!("{}: {line}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}
