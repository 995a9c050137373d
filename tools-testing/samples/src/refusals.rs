// SPDX-License-Identifier: GPL-2.0
//! Requests that the module has to refuse: none comes to a mistake.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::mpsc::channel;
use std::thread;

use anyhow::{bail, ensure, Result};
use nix::errno::Errno;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::device::Device;
use crate::guest::{told, Bare, Vm};
use crate::requests::{Mistake, GROUP};
use crate::{lockdep, Outcome};

pub fn run() -> Result<Outcome> {
    let device = Device::open()?;
    let bare = Bare::new()?;
    let vm = bare.vm.fd.as_raw_fd();
    let request = Mistake::SlotsLockInsideSrcu.request();

    let unknown = device.request((GROUP << 8) | 0xff, vm);
    refused("an unknown request", unknown, Errno::ENOTTY)?;

    for fd in [-1, i32::MAX] {
        let what = format!("file {fd}, which is not open,");
        refused(&what, device.request(request, fd), Errno::EBADF)?;
    }

    let kvm = File::open("/dev/kvm")?;
    for (what, fd) in [
        ("the device itself", device.0.as_raw_fd()),
        ("/dev/kvm", kvm.as_raw_fd()),
        ("a vCPU", bare.vcpu.fd.as_raw_fd()),
    ] {
        refused(what, device.request(request, fd), Errno::EINVAL)?;
    }

    let empty = harness::vm::Vm::without_irqchip().map_err(told)?;
    for mistake in [
        Mistake::KvmLockInsideSrcu,
        Mistake::KvmLockInsideVcpuMutex,
        Mistake::GpcLockBlockingInTimer,
    ] {
        let result = device.request(mistake.request(), empty.fd.as_raw_fd());
        refused("a VM without a vCPU", result, Errno::ENXIO)?;
    }

    let result = in_child(|| device.request(request, vm))?;
    refused("the VM of another process", result, Errno::EIO)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    let with_irqfd = Vm::new()?;
    with_irqfd.vm.fd.register_irqfd(&eventfd, 0)?;
    let result = device.request(request, with_irqfd.vm.fd.as_raw_fd());
    refused("a VM that an eventfd leads to", result, Errno::EBUSY)?;
    // After this there may still be a rest of the thread.
    let result = beside_thread(|| device.request(request, vm));
    refused("a VM that another task may use", result, Errno::EBUSY)?;
    refused("to be unloaded while open", unload(), Errno::EAGAIN)?;

    ensure!(
        !lockdep::is_there() || lockdep::is_on()?,
        "lockdep reports something: see the kernel log"
    );
    Ok(Outcome::Seen("every bad request is refused".into()))
}

fn refused(what: &str, result: nix::Result<()>, with: Errno) -> Result<()> {
    ensure!(
        result == Err(with),
        "{what} is not refused with {with:?}: {result:?}"
    );
    Ok(())
}

/// Makes a request in another process.
fn in_child(request: impl FnOnce() -> nix::Result<()>) -> Result<nix::Result<()>> {
    // SAFETY: this process has no other thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let errno = request().map_or_else(|errno| errno as i32, |()| 0);
            // SAFETY: the child leaves at once.
            unsafe { libc::_exit(errno) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(Ok(())),
            WaitStatus::Exited(_, errno) => Ok(Err(Errno::from_raw(errno))),
            status => bail!("the child has not exited: {status:?}"),
        },
    }
}

/// Makes a request while there is another thread.
fn beside_thread<T>(request: impl FnOnce() -> T) -> T {
    let (done, wait) = channel::<()>();
    let thread = thread::spawn(move || wait.recv());
    let result = request();
    drop(done);
    // It has waited for nothing but the end of the channel.
    let _ = thread.join();
    result
}

/// Unloads the module, without waiting.
fn unload() -> nix::Result<()> {
    let name = c"kvm_xen_broken_order";
    // SAFETY: the name is a string.
    let result = unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) };
    Errno::result(result).map(drop)
}
