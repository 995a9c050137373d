// SPDX-License-Identifier: GPL-2.0
//! A guest's runstate: as KVM has it, and as the guest's memory has it.

use kvm_bindings::{
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR as RUNSTATE_ADDR,
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT as RUNSTATE_CURRENT,
    KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA as RUNSTATE_DATA,
};
use vm_memory::Bytes;

use super::attr::word;
use super::machine::{Machine, SPARE_PAGE};
use super::memory::Area;
use super::outcome::{fail, Outcome};
use super::vcpu::Vcpu;
use crate::abi::runstate::Runstate;
use crate::abi::{Abi, PAGE_SIZE};

/// What pages are filled with before KVM writes.
pub const FILL: u8 = 0xa5;
/// Where a runstate is, unless a case wants it elsewhere.
pub const OFFSET: usize = 0x100;
/// The scheduler may change a runstate between two looks at it.
const TRIES: usize = 5;

/// Tells KVM where the runstate of a vCPU is.
pub fn set_address(vcpu: &Vcpu, gpa: u64) -> nix::Result<()> {
    vcpu.set_attr(RUNSTATE_ADDR, word(gpa))
}

/// Where the runstate of a vCPU is.
pub fn address(vcpu: &Vcpu) -> nix::Result<u64> {
    Ok(vcpu.attr(RUNSTATE_ADDR)?[0])
}

/// Has a vCPU enter a state, as the VMM sees it.
pub fn enter(vcpu: &Vcpu, state: u32) -> Outcome {
    Ok(vcpu.set_attr(RUNSTATE_CURRENT, word(state))?)
}

/// The runstate as KVM has it.
pub fn in_kvm(vcpu: &Vcpu) -> Outcome<Runstate> {
    let data = vcpu.attr(RUNSTATE_DATA)?;
    Ok(Runstate {
        state: data[0] as u32,
        entry_time: data[1],
        times: [data[2], data[3], data[4], data[5]],
    })
}

/// The runstate as the guest has it, at an offset in [`SPARE_PAGE`].
pub fn in_memory(machine: &Machine, offset: usize) -> Outcome<Runstate> {
    Ok(Runstate::parse(machine.abi, &bytes_at(machine, offset)?))
}

/// The bytes of a runstate at an offset in [`SPARE_PAGE`].
pub fn bytes_at(machine: &Machine, offset: usize) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; machine.abi.runstate_size()];
    let slice = machine.area.slice(SPARE_PAGE, offset, bytes.len());
    slice.read_slice(&mut bytes, 0)?;
    Ok(bytes)
}

/// Fails unless the guest has what KVM has.
#[track_caller]
pub fn check_same(machine: &Machine, offset: usize) -> Outcome<Runstate> {
    let mut last = None;
    for _ in 0..TRIES {
        let before = in_kvm(&machine.vcpus[0])?;
        let memory = in_memory(machine, offset)?;
        if memory == before {
            return Ok(memory);
        }
        last = Some((before, memory));
    }
    Err(fail(format!("KVM and guest memory differ: {last:?}")))
}

/// Fills the pages that runstates are in.
pub fn refill(machine: &Machine) -> Outcome {
    let slice = machine.area.slice(SPARE_PAGE, 0, 2 * PAGE_SIZE);
    Ok(slice.write_slice(&[FILL; 2 * PAGE_SIZE], 0)?)
}

/// A guest with its runstate at `offset`, ready to run.
pub fn guest(abi: Abi, offset: usize) -> Outcome<Machine> {
    let mut machine = Machine::new(abi)?;
    machine.boot(0)?;
    set_address(&machine.vcpus[0], Area::gpa(SPARE_PAGE, offset))?;
    Ok(machine)
}
