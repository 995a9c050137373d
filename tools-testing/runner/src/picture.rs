// SPDX-License-Identifier: GPL-2.0
//! `lockgraph`: the lock order as a picture, what is declared and what lockdep has seen.

use crate::check::{self, lock_order, LOCK_ORDER};
use crate::cli::Common;
use crate::paths::Paths;
use anyhow::{Context, Result};
use lockgraph::compare::Comparison;
use lockgraph::lockdep::Observed;
use lockgraph::picture;
use std::fs;
use std::io::ErrorKind;

/// Runs the tests on the debug kernel, and draws.
pub fn run(common: &Common) -> Result<bool> {
    let paths = Paths::new(common)?;
    let files = lock_order::kept(&paths);
    // Those of another run would be drawn if this one does not get so far.
    for file in &files {
        match fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| file.display().to_string())
            }
            _ => {}
        }
    }
    if !check::run(common, &[LOCK_ORDER.to_owned()], None, false)? {
        return Ok(false);
    }
    let mut observed = Observed::default();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        observed.add(Observed::parse(&text)?);
    }
    let comparison = Comparison::new(&observed);
    let svg = paths.source.join("Documentation/lock-order.svg");
    fs::write(&svg, picture::draw(Some(&comparison))).with_context(|| svg.display().to_string())?;
    println!("{comparison}\nDrawn: {}", svg.display());
    Ok(true)
}
