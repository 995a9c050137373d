// SPDX-License-Identifier: GPL-2.0

//! The lock order broken on purpose, for lockdep to report.
//!
//! On request this module commits, one at a time and on the locks of a real VM, mistakes that KVM
//! once made, or nearly made. It does so as C would, with raw bindings: what it shows is how late
//! they are found where no type forbids them. Documentation/locking.rst has what lockdep says to
//! each, and which type of kvm_xen_rs it takes to have the compiler say so instead.
//!
//! To commit a mistake is half of what takes a deadlock. The other half is the right order, which
//! KVM itself takes, before, on another VM: lockdep goes by classes of locks and not by locks. A
//! VM that may be in use is refused ([`vm::Vm`]), so that no two tasks ever wait for each other.

use kernel::{ioctl::_IO, prelude::*};

#[path = "../../rust/bindings.rs"]
mod bindings;
mod device;
mod requests;
mod vm;

mod gpc_lock_blocking_in_timer;
mod kvm_lock_inside_srcu;
mod kvm_lock_inside_vcpu_mutex;
mod slots_lock_inside_srcu;
mod synchronize_under_xen_lock;

use device::{Device, Ioctl};
use requests::Mistake;
use vm::Vm;

module! {
    type: BrokenOrder,
    name: "kvm_xen_broken_order",
    authors: ["The kvm-xen-rs developers"],
    description: "KVM's lock order broken on purpose, for lockdep to report",
    license: "GPL",
}

#[pin_data]
struct BrokenOrder {
    #[pin]
    _device: Device<Commit>,
}

impl kernel::InPlaceModule for BrokenOrder {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _device <- Device::register(c"kvm_xen_broken_order", module),
        })
    }
}

const _: () = assert!(Mistake::KvmLockInsideSrcu.request() == _IO(requests::GROUP, 0));

/// What the device does.
struct Commit;

impl Ioctl for Commit {
    /// Commits the mistake of the request `cmd` on the VM of the file descriptor `arg`.
    fn ioctl(cmd: u32, arg: usize) -> Result {
        let requested = |mistake: &Mistake| mistake.request() == cmd;
        let mistake = Mistake::ALL.into_iter().find(requested).ok_or(ENOTTY)?;
        let vm = Vm::get(u32::try_from(arg).map_err(|_| EBADF)?)?;
        let commit = match mistake {
            Mistake::KvmLockInsideSrcu => kvm_lock_inside_srcu::commit,
            Mistake::KvmLockInsideVcpuMutex => kvm_lock_inside_vcpu_mutex::commit,
            Mistake::SynchronizeUnderXenLock => synchronize_under_xen_lock::commit,
            Mistake::SlotsLockInsideSrcu => slots_lock_inside_srcu::commit,
            Mistake::GpcLockBlockingInTimer => gpc_lock_blocking_in_timer::commit,
        };
        pr_notice!("asked to commit {}\n", mistake.name());
        commit(&vm)
    }
}
