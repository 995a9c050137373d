// SPDX-License-Identifier: GPL-2.0
//! samples/lockdep: deadlocks that lockdep does not report, and one without what makes it miss it.

use anyhow::{ensure, Context, Result};

use harness::{kernel_log as klog, lockdep};
use livepatch::kmod;

use crate::report::{Kind, Report};
use crate::Outcome;

/// The module, as the kernel calls it.
const MODULE: &str = "lockdep_blind";

/// Its forms. The mutexes of each are a circle.
const FORMS: [&str; 5] = [
    "section_between",
    "reader_first",
    "reader_on_the_way",
    "unchecked_reader",
    "barrier",
];

/// Tries all forms, and then the control of the one of this number, which counts on beyond the last.
pub fn run(file: &str, number: u64) -> Result<Outcome> {
    if !lockdep::is_there() {
        return Ok(Outcome::Skipped("this kernel is without lockdep".into()));
    }
    ensure!(lockdep::is_on()?, "lockdep is off, as after any report");
    for form in FORMS {
        kmod::load_with(file, &format!("form={form}"))?;
        ensure!(
            lockdep::is_on()?,
            "lockdep reports {form}, of which Documentation/locking.rst says that it does not"
        );
        kmod::unload(MODULE)?;
    }
    let form = FORMS[(number % FORMS.len() as u64) as usize];
    let mut log = klog::Tail::new()?;
    kmod::load_with(file, &format!("form={form} control=1"))?;
    let report = Report::find(&log.read()?)
        .with_context(|| format!("lockdep does not report the control of {form}"))?;
    let of_us = |frame: &String| frame.ends_with(&format!(" [{MODULE}]"));
    ensure!(
        report.kind == Kind::Circle && report.stack.iter().any(of_us),
        "lockdep's report is not of the control of {form}: {report:?}"
    );
    Ok(Outcome::Seen(format!(
        "lockdep reports none of {}, and the control of {form}",
        FORMS.join(", ")
    )))
}
