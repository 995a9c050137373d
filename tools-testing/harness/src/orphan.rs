// SPDX-License-Identifier: GPL-2.0
//! A VM whose VMM is gone: the process that made it has ended, and this one has its file.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::{fork, ForkResult};
use vm_memory::{FileOffset, MmapRegion};
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use super::attr::word;
use super::irqfd::Route;
use super::outcome::{fail, Outcome};
use super::vm::Vm;
use crate::abi::{Abi, SharedInfo, PAGE_SIZE};

const GSI: u32 = 24;

/// The VM, and the page that its shared_info is in, which outlives it.
pub struct Orphan {
    page: MmapRegion,
    eventfd: EventFd,
    _vm: OwnedFd,
}

impl Orphan {
    /// A VM with an irqfd that leads to `port`, whose VMM has ended. The calling process has no
    /// other threads.
    pub fn new(port: u32) -> Outcome<Self> {
        let memory = memfd_create(c"guest", MFdFlags::empty())?;
        let memory = File::from(memory);
        memory.write_all_at(&[0; PAGE_SIZE], 0)?;
        let eventfd = EventFd::new(EFD_NONBLOCK)?;
        let (mut ours, mut theirs) = UnixStream::pair()?;
        // SAFETY: there are no other threads, by the contract.
        let vmm = match unsafe { fork() }? {
            ForkResult::Child => {
                let number = vmm(&memory, &eventfd, port).unwrap_or(-1);
                // Nobody listens when the case has failed.
                let _ = theirs.write_all(&number.to_le_bytes());
                loop {
                    nix::unistd::pause();
                }
            }
            ForkResult::Parent { child } => child,
        };
        let mut number = [0; 4];
        ours.read_exact(&mut number)?;
        let vm = take(vmm.as_raw(), i32::from_le_bytes(number));
        kill(vmm, Signal::SIGKILL)?;
        waitpid(vmm, None)?;
        Ok(Self {
            page: MmapRegion::from_file(FileOffset::new(memory, 0), PAGE_SIZE)?,
            eventfd,
            _vm: vm?,
        })
    }

    /// Sends the event.
    pub fn signal(&self) -> Outcome {
        Ok(self.eventfd.write(1)?)
    }

    /// What was shared_info.
    pub fn shared_info(&self) -> SharedInfo<'_> {
        use vm_memory::VolatileMemory;
        SharedInfo::new(self.page.as_volatile_slice(), Abi::Bits64)
    }
}

/// Makes the VM, tries it, and returns the number of its file.
fn vmm(memory: &File, eventfd: &EventFd, port: u32) -> Outcome<i32> {
    let vm = Vm::new()?;
    vm.intercept_hypercalls()?;
    vm.set_long_mode(1)?;
    let page = MmapRegion::from_file(FileOffset::new(memory.try_clone()?, 0), PAGE_SIZE)?;
    vm.set_slot(0, 0, &page, 0)?;
    let vcpu = vm.add_vcpu(0)?;
    vm.set_shared_info(0)?;
    vcpu.set_attr(kvm_bindings::KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, word(64_u64))?;
    vm.set_routes(&[Route::new(GSI, port, 0)])?;
    vm.fd.register_irqfd(eventfd, GSI)?;
    vm.send(port, 0)?;
    let number = vm.fd.as_raw_fd();
    // They stay until the process ends.
    std::mem::forget((vm, vcpu, page));
    Ok(number)
}

/// A file of another process.
fn take(process: i32, number: i32) -> Outcome<OwnedFd> {
    if number < 0 {
        return Err(fail("the VMM could not make its VM"));
    }
    // SAFETY: both calls take numbers alone, and return new descriptors.
    unsafe {
        let pidfd = Errno::result(libc::syscall(libc::SYS_pidfd_open, process, 0))?;
        let pidfd = OwnedFd::from_raw_fd(pidfd as i32);
        let fd = libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0);
        Ok(OwnedFd::from_raw_fd(Errno::result(fd)? as i32))
    }
}
