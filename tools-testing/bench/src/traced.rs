// SPDX-License-Identifier: GPL-2.0
//! The module's tracepoints, turned on while Rust is measured.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use top::tracefs::Instance;

const INSTANCE: &str = "/sys/kernel/tracing/instances/kvm-xen-bench";

/// What they are on for.
#[derive(Clone, Copy, ValueEnum)]
pub enum Traced {
    /// The trace
    Trace,
    /// The histograms of kvm-xen-top
    Top,
}

/// They are on until this is dropped.
pub enum On {
    /// In an instance of our own.
    Trace,
    /// In one of kvm-xen-top's.
    Top {
        /// Only for its end.
        _instance: Instance,
    },
}

impl Traced {
    /// Turns them on.
    pub fn begin(self) -> Result<On> {
        match self {
            Traced::Trace => {
                fs::create_dir(INSTANCE).context(INSTANCE)?;
                let on = On::Trace;
                let enable = Path::new(INSTANCE).join("events/kvm_xen_rs/enable");
                fs::write(&enable, "1").with_context(|| enable.display().to_string())?;
                Ok(on)
            }
            Traced::Top => Ok(On::Top {
                _instance: Instance::new()?,
            }),
        }
    }
}

impl Drop for On {
    fn drop(&mut self) {
        if matches!(self, On::Trace) {
            let _ = fs::remove_dir(INSTANCE);
        }
    }
}
