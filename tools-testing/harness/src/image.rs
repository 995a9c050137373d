// SPDX-License-Identifier: GPL-2.0
//! A copy of the area of Xen structures: cases change it as KVM ought to change
//! the guest's memory, then compare.

use vm_memory::VolatileSlice;

use super::memory::Area;
use super::outcome::{fail, Outcome};
use crate::abi::layout::VCPU_INFO_SIZE;
use crate::abi::{Abi, SharedInfo, VcpuInfo, PAGE_SIZE};

/// Differences to show; the first ones tell.
const SHOWN: usize = 8;

/// Where a structure is in the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the page.
    pub page: usize,
    /// Offset in the page.
    pub offset: usize,
}

impl Place {
    /// Guest address.
    pub fn gpa(self) -> u64 {
        Area::gpa(self.page, self.offset)
    }

    fn start(self) -> usize {
        self.page * PAGE_SIZE + self.offset
    }
}

/// A copy of all bytes of the area.
#[derive(Clone)]
pub struct Image {
    bytes: Vec<u8>,
    abi: Abi,
    shared_info: usize,
    vcpu_infos: Vec<Place>,
}

impl Image {
    /// Copies `area`, where shared_info is in page `shared_info`.
    pub fn of(area: &Area, abi: Abi, shared_info: usize, vcpu_infos: Vec<Place>) -> Self {
        Self {
            bytes: area.bytes(),
            abi,
            shared_info,
            vcpu_infos,
        }
    }

    fn slice(&mut self, start: usize, length: usize) -> VolatileSlice<'_> {
        VolatileSlice::from(&mut self.bytes[start..][..length])
    }

    /// shared_info of the copy.
    pub fn shared_info(&mut self) -> SharedInfo<'_> {
        self.shared_info_as(self.abi)
    }

    /// shared_info of the copy, as a guest of another word size sees it.
    pub fn shared_info_as(&mut self, abi: Abi) -> SharedInfo<'_> {
        let start = self.shared_info * PAGE_SIZE;
        SharedInfo::new(self.slice(start, PAGE_SIZE), abi)
    }

    /// A vcpu_info of the copy, by index of the vCPU.
    pub fn vcpu_info(&mut self, index: usize) -> VcpuInfo<'_> {
        let abi = self.abi;
        let start = self.vcpu_infos[index].start();
        VcpuInfo::new(self.slice(start, VCPU_INFO_SIZE), abi)
    }

    /// Zeroes a page of the copy.
    pub fn clear_page(&mut self, page: usize) {
        self.bytes[page * PAGE_SIZE..][..PAGE_SIZE].fill(0);
    }

    /// Does what delivery of an unmasked port does that was not pending.
    pub fn deliver(&mut self, index: usize, port: u32) {
        self.shared_info().set_pending(port, true);
        self.vcpu_info(index).raise(port);
    }

    /// Compares all bytes of the guest's memory to this, which is expected.
    #[track_caller]
    pub fn check(&self, area: &Area) -> Outcome {
        self.compare(area, false)
    }

    /// As [`Image::check`], but for the clocks in vcpu_info, which KVM writes
    /// when it runs a vCPU.
    #[track_caller]
    pub fn check_but_clocks(&self, area: &Area) -> Outcome {
        self.compare(area, true)
    }

    #[track_caller]
    fn compare(&self, area: &Area, ignore_clocks: bool) -> Outcome {
        let got = area.bytes();
        let differing: Vec<_> = (0..got.len())
            .filter(|&at| got[at] != self.bytes[at])
            .filter(|&at| !(ignore_clocks && self.is_clock(at)))
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        let mut text = format!("guest memory: {} bytes differ", differing.len());
        for &at in differing.iter().take(SHOWN) {
            text += &format!(
                "\n{}: expected {:#04x}, got {:#04x}",
                self.describe(at),
                self.bytes[at],
                got[at]
            );
        }
        Err(fail(text))
    }

    fn is_clock(&self, at: usize) -> bool {
        self.vcpu_infos
            .iter()
            .any(|place| at.checked_sub(place.start()).is_some_and(VcpuInfo::is_time))
    }

    fn describe(&self, at: usize) -> String {
        for (index, place) in self.vcpu_infos.iter().enumerate() {
            let start = place.start();
            if (start..start + VCPU_INFO_SIZE).contains(&at) {
                let offset = at - start;
                let field = VcpuInfo::describe(self.abi, offset);
                return format!("vcpu_info of vCPU index {index} + {offset:#x} ({field})");
            }
        }
        let (page, offset) = (at / PAGE_SIZE, at % PAGE_SIZE);
        if page == self.shared_info {
            let field = SharedInfo::describe(self.abi, offset);
            return format!("shared_info + {offset:#x} ({field})");
        }
        format!("page {page} + {offset:#x}")
    }
}
