// SPDX-License-Identifier: GPL-2.0
//! Running a vCPU while the case does something else.

use std::thread;
use std::time::Duration;

use kvm_bindings::kvm_regs;

use super::child::abandon;
use super::guest_code::Entry;
use super::outcome::{fail, Outcome};
use super::vcpu::{Exit, Vcpu};

/// Time for a thread to get its vCPU into the guest. Too short a time fails no
/// case, but then less is tested.
const TIME_TO_ENTER: Duration = Duration::from_millis(30);

/// Starts `vcpu` at `entry`, which waits for an interrupt; has `act` cause one
/// when it waits, and returns how the vCPU came back.
#[track_caller]
pub fn run_while(vcpu: &mut Vcpu, entry: Entry, act: impl FnOnce() -> Outcome) -> Outcome<Exit> {
    let early = fail(format!("{entry:?} came back before anything happened"));
    thread::scope(|scope| {
        let guest = scope.spawn(|| vcpu.start(entry, kvm_regs::default()));
        thread::sleep(TIME_TO_ENTER);
        if guest.is_finished() {
            return Err(early);
        }
        // The scope would wait for a vCPU that nothing wakes.
        act().unwrap_or_else(|stop| abandon(stop));
        let exit = guest
            .join()
            .map_err(|_| fail("the vCPU's thread panicked"))?;
        Ok(exit?)
    })
}
