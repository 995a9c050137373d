// SPDX-License-Identifier: GPL-2.0

//! Writes the tables of Documentation/locking.rst anew.

use anyhow::{Context, Result};
use lockgraph::doc;
use std::fs;

const DOCUMENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../Documentation/locking.rst"
);

fn main() -> Result<()> {
    let old = fs::read_to_string(DOCUMENT).context(DOCUMENT)?;
    let new = doc::generate(&old).context(DOCUMENT)?;
    fs::write(DOCUMENT, new).context(DOCUMENT)
}
