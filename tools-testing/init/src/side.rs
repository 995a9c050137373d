// SPDX-License-Identifier: GPL-2.0
//! Who is in charge: C or Rust.

use crate::{channel, livepatch};
use anyhow::{bail, Context, Result};
use protocol::{Event, Side, Transition, MODULE_NAME};
use std::time::Duration;

/// The side in charge.
pub fn current() -> Side {
    if livepatch::is_present() {
        Side::Rust
    } else {
        Side::C
    }
}

/// Puts `side` in charge, if it isn't, and tells what that took; returns how long the transition
/// did, where there was one.
pub fn ensure(side: Side, module: Option<&str>) -> Result<Option<Duration>> {
    if current() == side {
        return Ok(None);
    }
    channel::send(&Event::Note {
        text: match side {
            Side::Rust => format!("inserting {MODULE_NAME}.ko"),
            Side::C => format!("handing back to C and removing {MODULE_NAME}.ko"),
        },
    });
    let took = match side {
        Side::Rust => livepatch::insert(module.context("there is no module in this plan")?)?,
        Side::C => livepatch::remove()?,
    };
    channel::send(&Event::Changed(Transition {
        to: side,
        module_ms: took.module.as_millis() as u64,
        transition_ms: took.transition.as_millis() as u64,
        functions: livepatch::functions(),
    }));
    Ok(Some(took.transition))
}

/// Fails unless `side` alone is in charge, where KVM is loaded.
pub fn check(side: Side) -> Result<()> {
    match side {
        Side::Rust => livepatch::check(),
        Side::C if livepatch::is_present() => bail!("the livepatch is there, and should not be"),
        Side::C => Ok(()),
    }
}
