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

/// Fails unless every call of a function that the livepatch lists goes to Rust.
pub fn check_redirected() -> Result<()> {
    if !livepatch::is_kvm_patched() {
        bail!("the livepatch is enabled, but says that kvm.ko isn't patched");
    }
    match livepatch::not_redirected()?.as_slice() {
        [] => Ok(()),
        functions => bail!("the livepatch does not redirect {}", functions.join(", ")),
    }
}
