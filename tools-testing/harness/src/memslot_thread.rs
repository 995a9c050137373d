// SPDX-License-Identifier: GPL-2.0
//! Changes of memslots that may hang, in a thread that the case does not wait for.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::mpsc::{channel, Receiver};
use std::thread;

use kvm_bindings::kvm_userspace_memory_region;

use super::memory::Area;
use super::outcome::Outcome;
use super::vm::Vm;
use crate::abi::PAGE_SIZE;

/// A slot that no other part of the harness uses, and where it goes.
const SLOT: u32 = 7;
const SLOT_GPA: u64 = 0x3000_0000;

mod raw {
    use super::kvm_userspace_memory_region;

    nix::ioctl_write_ptr!(
        set_user_memory_region,
        0xae,
        0x46,
        kvm_userspace_memory_region
    );
}

/// Adds a slot with a page of its own and removes it again. Tells the result of
/// each of the two calls when it has returned.
pub fn add_and_remove_slot(vm: &Vm) -> Outcome<Receiver<nix::Result<()>>> {
    let (done, results) = channel();
    // SAFETY: `vm` has the descriptor open while it is copied.
    let vm = unsafe { BorrowedFd::borrow_raw(vm.fd.as_raw_fd()) }.try_clone_to_owned()?;
    let area = Area::unattached()?;
    thread::spawn(move || {
        for memory_size in [PAGE_SIZE as u64, 0] {
            let region = kvm_userspace_memory_region {
                slot: SLOT,
                flags: 0,
                guest_phys_addr: SLOT_GPA,
                memory_size,
                userspace_addr: area.hva(0, 0),
            };
            // SAFETY: the region is the mapping of `area`, which lives until the
            // slot is removed and is used as guest memory only.
            let result = unsafe { raw::set_user_memory_region(vm.as_raw_fd(), &region) };
            // Nobody listens when the case has failed.
            let _ = done.send(result.map(|_| ()));
        }
    });
    Ok(results)
}
