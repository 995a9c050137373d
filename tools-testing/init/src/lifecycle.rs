// SPDX-License-Identifier: GPL-2.0
//! Inserting and removing our module in every order that users find.

use crate::kprobes::Probes;
use crate::{channel, exec, kmod, kvm, livepatch, side};
use anyhow::{bail, Context, Result};
use nix::errno::Errno;
use protocol::{Event, ExecAction, MachinePlan, Outcome, Side, MODULE_NAME};
use std::time::Duration;

/// Inserts, hands back and removes, again and again; ends with C in charge.
pub fn reinsert(plan: &MachinePlan, times: u32) -> Result<()> {
    let module = plan.module.as_deref();
    for n in 1..=times {
        let turn = || format!("turn {n} of {times}");
        side::ensure(Side::C, module).with_context(turn)?;
        if kmod::is_loaded(MODULE_NAME) {
            bail!("turn {n}: {MODULE_NAME} is still loaded after it was removed");
        }
        side::ensure(Side::Rust, module).with_context(turn)?;
    }
    side::ensure(Side::C, module).map(drop)
}

/// Inserts while `kvm.ko` isn't there. Once it is, the program `proof` has to enter Rust.
pub fn insert_before_kvm(plan: &MachinePlan, proof: &ExecAction, limit: Duration) -> Result<()> {
    let module = plan.module.as_deref();
    side::ensure(Side::C, module)?;
    kvm::unload(&plan.kvm)?;
    let result = insert_and_prove(plan, proof, limit);
    // The next step finds KVM loaded, however this one went.
    kvm::load(&plan.kvm)?;
    result?;
    side::ensure(Side::C, module).map(drop)
}

/// Inserts a module that was built for another `kvm.ko`: it is refused, and nothing has changed.
/// Where it is there first, `kvm.ko` is.
pub fn refuse_build(plan: &MachinePlan, module: &str) -> Result<()> {
    side::ensure(Side::C, plan.module.as_deref())?;
    is_refused(kmod::load(module), "our module")?;
    if livepatch::is_present() || kmod::is_loaded(MODULE_NAME) {
        bail!("our module was refused, and is there");
    }
    kvm::unload(&plan.kvm)?;
    livepatch::insert(module)?;
    let result = is_refused(kvm::load(&plan.kvm), "kvm.ko");
    livepatch::remove()?;
    // The next step finds KVM loaded, however this one went.
    kvm::load(&plan.kvm)?;
    result
}

/// As a file of a format that fits nothing here.
fn is_refused(loaded: Result<()>, what: &str) -> Result<()> {
    match loaded {
        Ok(()) => bail!("{what} was not refused"),
        Err(error) if error.root_cause().downcast_ref() == Some(&Errno::ENOEXEC) => Ok(()),
        Err(error) => Err(error.context(format!("{what} was refused, but for another reason"))),
    }
}

/// Inserts with parameters for as long as the program `proof` runs.
pub fn insert_with(
    plan: &MachinePlan,
    parameters: &str,
    proof: &ExecAction,
    limit: Duration,
) -> Result<Outcome> {
    side::ensure(Side::C, plan.module.as_deref())?;
    let module = plan.module.as_deref();
    livepatch::insert_with(
        module.context("there is no module in this plan")?,
        parameters,
    )?;
    let outcome = exec::run(proof, limit);
    // The next step finds the module without them, however this one went.
    side::ensure(Side::C, module)?;
    outcome
}

fn insert_and_prove(plan: &MachinePlan, proof: &ExecAction, limit: Duration) -> Result<()> {
    side::ensure(Side::Rust, plan.module.as_deref())?;
    if livepatch::is_kvm_patched() {
        bail!("kvm.ko isn't loaded, yet the livepatch says that it is patched");
    }
    kvm::load(&plan.kvm)?;
    livepatch::check().context("kvm.ko was loaded after our module")?;
    let probes = Probes::of_kvm(&livepatch::functions())?;
    match exec::run(proof, limit)? {
        Outcome::Ok => {}
        Outcome::Skip { reason } => bail!("the proof was skipped: {reason}"),
        Outcome::Failed { reason } => bail!("the proof {reason}"),
    }
    let entered: u64 = probes
        .read()?
        .iter()
        .filter_map(|probe| probe.entries)
        .sum();
    if entered == 0 {
        bail!("the proof has entered none of the functions that are replaced");
    }
    channel::send(&Event::Note {
        text: format!("{entered} entries of Rust functions"),
    });
    Ok(())
}
