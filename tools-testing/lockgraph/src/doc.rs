// SPDX-License-Identifier: GPL-2.0

//! Generated blocks in a document, between comments that name them.

use crate::tables::BLOCKS;
use anyhow::{bail, Context, Result};

const BEGIN: &str = ".. lockgraph: begin ";
const END: &str = ".. lockgraph: end";

/// The document with its blocks generated anew.
///
/// # Errors
///
/// When a block is not there, there twice, not known, or not ended.
pub fn generate(document: &str) -> Result<String> {
    let mut text = String::with_capacity(document.len());
    let mut rest = document;
    let mut missing: Vec<_> = BLOCKS.iter().map(|(name, _)| *name).collect();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once('\n').unwrap_or((after, ""));
        let Some((_, generator)) = BLOCKS.iter().find(|(block, _)| *block == name) else {
            bail!("\"{BEGIN}{name}\": there is no such block");
        };
        let at = missing.iter().position(|block| *block == name);
        missing.remove(at.with_context(|| format!("\"{BEGIN}{name}\" is there twice"))?);
        let (_old, after) = after
            .split_once(END)
            .with_context(|| format!("\"{BEGIN}{name}\" has no \"{END}\""))?;
        text += &format!("{before}{BEGIN}{name}\n\n{}\n{END}", generator());
        rest = after;
    }
    if let [name, ..] = missing[..] {
        bail!("there is no \"{BEGIN}{name}\"");
    }
    Ok(text + rest)
}
