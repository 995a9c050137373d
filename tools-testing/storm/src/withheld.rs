// SPDX-License-Identifier: GPL-2.0
//! Handing back while a vCPU sleeps in our code: it waits for a page of its guest,
//! below a function that replaces one of KVM's. The module must wait for it.

use std::fs;
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::Duration;

use harness::abi::{Abi, PAGE_SIZE};
use harness::check::check_eq;
use harness::child::step;
use harness::guest_code::Entry;
use harness::machine::Machine;
use harness::memory::{OTHER_GPA, OTHER_SLOT};
use harness::outcome::{fail, Outcome};
use harness::poll::AWAKE;
use harness::runstate;
use harness::vcpu::Exit;
use harness::withheld::Withheld;
use kvm_bindings::kvm_regs;
use nix::unistd::gettid;
use vm_memory::MmapRegion;

use crate::takeover::stop;

/// Livepatch looks once a second whether a task may change over.
const LOOKS: Duration = Duration::from_secs(4);

/// What `/proc/PID/task/TID/patch_state` says of a task that is still on Rust.
const ON_RUST: &str = "1";

/// Takes over, hands back while a vCPU waits for the page of its runstate, and gives
/// it the page.
pub fn run(module: &str) -> Outcome {
    step("Rust to take over");
    // So that the vCPU is not interrupted, and then waits for its page in C.
    livepatch::insert_with(module, "signal_vcpus=0").map_err(stop)?;

    let mut machine = Machine::new(Abi::Bits64)?;
    machine.boot(0)?;
    let before = MmapRegion::new(PAGE_SIZE)?;
    machine.vm.set_slot(OTHER_SLOT, OTHER_GPA, &before, 0)?;
    runstate::set_address(&machine.vcpus[0], OTHER_GPA)?;
    // Another page in its place, which is missed when the vCPU runs.
    machine.vm.delete_slot(OTHER_SLOT)?;
    let page = Withheld::new()?;
    page.put(&machine.vm, OTHER_SLOT, OTHER_GPA)?;

    let (tell, told) = channel();
    let vcpu = machine.detach(0, move |vcpu| {
        // Nobody listens when the case has failed.
        let _ = tell.send(gettid());
        vcpu.start(Entry::Cpuid, kvm_regs::default())
    })?;
    let task = told.recv().map_err(fail)?;
    page.is_wanted(AWAKE)?;

    step("Rust to hand back");
    let handed_back = thread::spawn(livepatch::remove);
    sleep(LOOKS);
    let path = format!("/proc/self/task/{task}/patch_state");
    let state = fs::read_to_string(&path)?;
    page.give()?;
    handed_back
        .join()
        .map_err(|_| fail("a thread panicked"))?
        .map_err(stop)?;
    check_eq(
        "patch_state of a vCPU that sleeps in Rust",
        state.trim(),
        ON_RUST,
    )?;
    let (exit, _) = vcpu.back(&mut machine, AWAKE)?;
    check_eq("the vCPU's exit", exit, Exit::Done)
}
