// SPDX-License-Identifier: GPL-2.0

//! The command: see the library for what it does.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use clap::Parser;
use tempfile::NamedTempFile;

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

    /// Have the module insist on a kvm.ko of this build id, in hexadecimal, or on none if it is empty
    #[arg(long, value_name = "ID")]
    build_id: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let path = args.module.display();
    match run(&args) {
        Ok(text) => {
            println!("{path}: {text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            for line in format!("{error:#}").lines() {
                eprintln!("klp-link: {path}: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<String> {
    let data = fs::read(&args.module)?;
    let linked = klp_link::link(&data)?;
    let text = match &linked {
        Some(linked) => format!(
            "{} livepatch relocations to {} symbols made",
            linked.relocations, linked.symbols
        ),
        None => "nothing to do".into(),
    };
    let mut bytes = linked.map_or_else(|| data.clone(), |linked| linked.module);
    if let Some(id) = &args.build_id {
        klp_link::insist_on(&mut bytes, id).map_err(Error::msg)?;
    }
    if bytes != data {
        replace(&args.module, &bytes)?;
    }
    Ok(text)
}

/// Replaces a file so that an interrupted build leaves the old module or the new one: the bytes go
/// into a new file beside it, which then takes its name.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = fs::canonicalize(path)?;
    let mut file = NamedTempFile::new_in(path.parent().context("a file is in a directory")?)?;
    file.write_all(bytes)?;
    let mode = fs::metadata(&path)?.permissions();
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
