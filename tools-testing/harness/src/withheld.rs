// SPDX-License-Identifier: GPL-2.0
//! A page that does not come until the case says so: whoever faults it in waits, in the kernel
//! too. A userfaultfd without a handler.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use vm_memory::MmapRegion;

use super::outcome::{fail, Outcome, Stop};
use super::vm::Vm;
use crate::abi::PAGE_SIZE;

/// `struct uffdio_api`, `linux/userfaultfd.h`.
#[repr(C)]
#[derive(Default)]
pub struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
#[derive(Default)]
pub struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_zeropage`.
#[repr(C)]
#[derive(Default)]
pub struct ZeroPage {
    start: u64,
    len: u64,
    mode: u64,
    zeropage: i64,
}

/// `UFFD_API`.
const API: u64 = 0xaa;
/// `UFFDIO_REGISTER_MODE_MISSING`.
const MODE_MISSING: u64 = 1;

mod raw {
    use super::{Api, Register, ZeroPage};

    nix::ioctl_readwrite!(api, 0xaa, 0x3f, Api);
    nix::ioctl_readwrite!(register, 0xaa, 0x00, Register);
    nix::ioctl_readwrite!(zero_page, 0xaa, 0x04, ZeroPage);
}

/// The page.
pub struct Withheld {
    faults: OwnedFd,
    region: MmapRegion,
}

impl Withheld {
    /// Maps a page, and withholds it.
    pub fn new() -> Outcome<Self> {
        let region = MmapRegion::new(PAGE_SIZE)?;
        // poll() answers POLLERR at once to a descriptor that blocks.
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: the call takes flags alone.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = match Errno::result(fd) {
            Err(Errno::ENOSYS) => {
                let why = "the kernel has no userfaultfd (CONFIG_USERFAULTFD)";
                return Err(Stop::Skip(why.into()));
            }
            fd => fd?,
        };
        // SAFETY: the descriptor is new, and nobody else's.
        let faults = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let mut handshake = Api {
            api: API,
            ..Api::default()
        };
        let mut register = Register {
            start: region.as_ptr() as u64,
            len: PAGE_SIZE as u64,
            mode: MODE_MISSING,
            ioctls: 0,
        };
        // SAFETY: the structures are those of the ioctls. Until the descriptor is closed, an
        // access to the page of the region waits and does nothing else.
        unsafe {
            raw::api(faults.as_raw_fd(), &mut handshake)?;
            raw::register(faults.as_raw_fd(), &mut register)?;
        }
        let page = Self { faults, region };
        match page.is_wanted(Duration::ZERO) {
            Ok(()) => Err(fail("a page that nobody knows of is wanted already")),
            Err(_) => Ok(page),
        }
    }

    /// Its address in this process.
    pub fn hva(&self) -> u64 {
        self.region.as_ptr() as u64
    }

    /// Has the guest find it at `gpa`.
    pub fn put(&self, vm: &Vm, slot: u32, gpa: u64) -> Outcome {
        vm.set_slot(slot, gpa, &self.region, 0)
    }

    /// Gives the page, filled with zeros, to whoever waits for it.
    pub fn give(&self) -> Outcome {
        let mut page = ZeroPage {
            start: self.hva(),
            len: PAGE_SIZE as u64,
            ..ZeroPage::default()
        };
        // SAFETY: the structure is that of the ioctl, and the page is the region's.
        unsafe { raw::zero_page(self.faults.as_raw_fd(), &mut page)? };
        Ok(())
    }

    /// Waits until somebody waits for the page.
    pub fn is_wanted(&self, within: Duration) -> Outcome {
        let mut fds = [PollFd::new(self.faults.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(within).map_err(fail)?;
        poll(&mut fds, timeout)?;
        match fds[0].revents() {
            Some(PollFlags::POLLIN) => Ok(()),
            events => Err(fail(format!("nobody wants the page: {events:?}"))),
        }
    }
}
