// SPDX-License-Identifier: GPL-2.0
//! The module's device.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::guest::Bare;
use crate::requests::Mistake;

const PATH: &str = "/dev/kvm_xen_broken_order";

/// How often, and how long, to wait for a task that KVM ran for a VM before.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// The device, open.
pub struct Device(pub File);

impl Device {
    pub fn open() -> Result<Self> {
        let file = File::open(PATH);
        file.map(Self).with_context(|| {
            format!("can't open {PATH}; load kvm_xen_broken_order.ko, from 'make samples'")
        })
    }

    /// Makes a request as it is.
    pub fn request(&self, request: u32, fd: RawFd) -> nix::Result<()> {
        let (request, argument) = (libc::Ioctl::from(request), libc::c_long::from(fd));
        // SAFETY: the argument is a number. What a request does to the locks of
        // a VM, it undoes.
        Errno::result(unsafe { libc::ioctl(self.0.as_raw_fd(), request, argument) }).map(drop)
    }

    /// Has a mistake committed on the locks of a VM.
    pub fn commit(&self, mistake: Mistake, on: &Bare) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.request(mistake.request(), on.vm.fd.as_raw_fd()) {
                // A VM that has gone may have a thread that is just about to.
                Err(Errno::EBUSY) if tries < TRIES => {
                    tries += 1;
                    sleep(PAUSE);
                }
                result => {
                    return result
                        .with_context(|| format!("{PATH} does not commit {}", mistake.name()))
                }
            }
        }
    }
}
