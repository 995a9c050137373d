// SPDX-License-Identifier: GPL-2.0

//! What the device can be asked for: also a part of the program that asks.
//!
//! A request is an ioctl whose argument is the file descriptor of a VM. It fails with `EBADF` or
//! `EINVAL` if that is none, `EIO` if the VM is another process's, `EBUSY` if others might use
//! it, another thread or by an irqfd, `ENXIO` if it takes a vCPU and there is none, `EOPNOTSUPP`
//! where the mistake would do harm, and `ENOTTY` for a mistake that is not known.

/// The group of the ioctls' numbers.
pub(crate) const GROUP: u32 = 0xb0;

/// What the device commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// `kvm->lock` inside a read-side critical section of `kvm->srcu`, in that of a vCPU that runs.
    KvmLockInsideSrcu,
    /// `kvm->lock` inside `vcpu->mutex`.
    KvmLockInsideVcpuMutex,
    /// A grace period of `kvm->srcu` under the `xen_lock`, which readers take.
    SynchronizeUnderXenLock,
    /// `kvm->slots_lock` inside a read-side critical section of `kvm->srcu`.
    SlotsLockInsideSrcu,
    /// To wait for a `gpc->lock` in a hard interrupt.
    GpcLockBlockingInTimer,
}

impl Mistake {
    /// All of them, by the numbers of their requests.
    pub(crate) const ALL: [Self; 5] = [
        Self::KvmLockInsideSrcu,
        Self::KvmLockInsideVcpuMutex,
        Self::SynchronizeUnderXenLock,
        Self::SlotsLockInsideSrcu,
        Self::GpcLockBlockingInTimer,
    ];

    /// Its name: that of the module which commits it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KvmLockInsideSrcu => "kvm_lock_inside_srcu",
            Self::KvmLockInsideVcpuMutex => "kvm_lock_inside_vcpu_mutex",
            Self::SynchronizeUnderXenLock => "synchronize_under_xen_lock",
            Self::SlotsLockInsideSrcu => "slots_lock_inside_srcu",
            Self::GpcLockBlockingInTimer => "gpc_lock_blocking_in_timer",
        }
    }

    /// Its ioctl: `_IO(GROUP, number)`.
    pub(crate) const fn request(self) -> u32 {
        (GROUP << 8) | self as u32
    }
}
