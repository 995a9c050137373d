// SPDX-License-Identifier: GPL-2.0

//! The VM that a mistake is committed on.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{fs::LocalFile, prelude::*, sync::aref::ARef};

/// A VM that no other task is using, nor will be while this task is in its ioctl.
///
/// That is what makes the mistakes harmless: who waits for one lock with another held, waits for
/// nobody.
pub(crate) struct Vm {
    kvm: NonNull<bindings::kvm>,
    // What keeps `kvm`, and through it KVM's modules.
    _file: ARef<LocalFile>,
}

impl Vm {
    /// The VM of a file descriptor of the current task.
    pub(crate) fn get(fd: u32) -> Result<Self> {
        let file = LocalFile::fget(fd)?;
        if !is_vm(&file) {
            return Err(EINVAL);
        }
        // SAFETY: The file is there, and of a VM, whose `struct kvm` it owns a reference to.
        let kvm = unsafe { (*file.as_ptr()).private_data }.cast::<bindings::kvm>();
        let kvm = NonNull::new(kvm).ok_or(EINVAL)?;

        let mm = current!().mm().ok_or(EINVAL)?.as_raw();
        // SAFETY: The VM is kept by its file, and its `mm` never changes.
        if unsafe { (*kvm.as_ptr()).mm } != mm {
            return Err(EIO);
        }
        // KVM refuses the ioctls of tasks with another `mm`. With this one, and until it returns,
        // there is the current task alone: nobody else could make another.
        // SAFETY: The current task has a reference to `mm`.
        if unsafe { bindings::atomic_read(&raw const (*mm).__bindgen_anon_1.mm_users) } != 1 {
            return Err(EBUSY);
        }
        // Nor is there an eventfd, by which others could have events delivered.
        // SAFETY: The VM is kept by its file. Nobody is about to add to the list, and to look at
        // its head takes no lock.
        if unsafe { !list_is_empty(&raw const (*kvm.as_ptr()).irqfds.items) } {
            return Err(EBUSY);
        }
        Ok(Self { kvm, _file: file })
    }

    /// The VM as C has it. Valid for as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut bindings::kvm {
        self.kvm.as_ptr()
    }

    /// Its first vCPU, as C has it. Valid for as long as `self`.
    pub(crate) fn vcpu(&self) -> Result<*mut bindings::kvm_vcpu> {
        let kvm = self.kvm.as_ptr();
        // SAFETY: The VM is kept by `self`. A vCPU is in the array before it is counted, and
        // nobody is about to add one.
        let vcpu = unsafe {
            match bindings::atomic_read(&raw const (*kvm).online_vcpus) {
                0 => return Err(ENXIO),
                _ => bindings::xa_load(&raw mut (*kvm).vcpu_array, 0),
            }
        };
        Ok(vcpu.cast())
    }
}

/// Whether a list has nothing but its head.
///
/// # Safety
///
/// `head` is the initialized head of a list, and stays.
unsafe fn list_is_empty(head: *const bindings::list_head) -> bool {
    // SAFETY: By the safety requirement. Volatile, as C's `list_empty()`.
    core::ptr::eq(unsafe { (&raw const (*head).next).read_volatile() }, head)
}

/// Whether a file is that of a VM.
///
/// `file_is_kvm()` is exported to KVM's own modules alone, and the operations of such a file are
/// no symbol to compare with. But they alone lead to KVM's function by this name, and the kernel
/// tells names.
fn is_vm(file: &LocalFile) -> bool {
    // SAFETY: An open file has operations.
    let Some(ioctl) = (unsafe { (*(*file.as_ptr()).f_op).unlocked_ioctl }) else {
        return false;
    };
    let mut symbol = [0u8; bindings::KSYM_SYMBOL_LEN];
    // SAFETY: The buffer is as long as the longest name of a symbol with all that goes with it.
    unsafe { bindings::sprint_symbol(symbol.as_mut_ptr().cast(), ioctl as usize) };
    CStr::from_bytes_until_nul(&symbol).is_ok_and(|symbol| {
        let symbol = symbol.to_bytes();
        symbol.starts_with(b"kvm_vm_ioctl+0x0/") && symbol.ends_with(b" [kvm]")
    })
}
