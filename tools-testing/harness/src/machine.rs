// SPDX-License-Identifier: GPL-2.0
//! A Xen guest: VM, memory, and vCPUs with their vcpu_info in place.

use super::guest_code::HYPERCALL_PAGE;
use super::guest_cpu;
use super::image::{Image, Place};
use super::memory::{Area, Ram};
use super::outcome::{fail, Outcome};
use super::vcpu::{Exit, Vcpu};
use super::vm::{Vm, HYPERCALL_MSR};
use crate::abi::layout::VCPU_INFO_SIZE;
use crate::abi::{Abi, SharedInfo, VcpuInfo};

/// Page of the area that shared_info is in.
pub const SHARED_INFO_PAGE: usize = 0;
/// Page of the first vcpu_info; each further one has the next page.
pub const VCPU_INFO_PAGE: usize = 1;
/// First page that the harness does not use.
pub const SPARE_PAGE: usize = 12;
/// Where in its page a vcpu_info is, unless a case wants it elsewhere.
const VCPU_INFO_OFFSET: usize = 0x340;

fn usual_place(index: usize) -> Place {
    Place {
        page: VCPU_INFO_PAGE + index,
        offset: VCPU_INFO_OFFSET,
    }
}

/// How to set up a guest.
pub struct Builder {
    abi: Abi,
    vcpus: Vec<u32>,
    with_shared_info: bool,
    with_vcpu_info: bool,
    with_dirty_rings: bool,
    places: Option<Vec<Place>>,
}

impl Builder {
    /// vCPUs with these numbers, in place of a single vCPU 0.
    pub fn vcpus(mut self, ids: &[u32]) -> Self {
        self.vcpus = ids.to_vec();
        self
    }

    /// Without telling KVM where shared_info is.
    pub fn without_shared_info(mut self) -> Self {
        self.with_shared_info = false;
        self
    }

    /// Without telling KVM where vcpu_info is.
    pub fn without_vcpu_info(mut self) -> Self {
        self.with_vcpu_info = false;
        self
    }

    /// With a ring of dirty pages for each vCPU, in place of the log.
    pub fn with_dirty_rings(mut self) -> Self {
        self.with_dirty_rings = true;
        self
    }

    /// The vcpu_info of vCPU index 0, 1, ... at these places.
    pub fn vcpu_info_at(mut self, places: &[Place]) -> Self {
        self.places = Some(places.to_vec());
        self
    }

    /// Sets it up.
    pub fn build(self) -> Outcome<Machine> {
        let vm = Vm::new()?;
        if self.with_dirty_rings {
            vm.use_dirty_rings()?;
        }
        let ram = Ram::new(&vm)?;
        let area = Area::new(&vm)?;
        let places = self
            .places
            .unwrap_or_else(|| (0..self.vcpus.len()).map(usual_place).collect());
        let mut machine = Machine {
            vm,
            area,
            vcpus: Vec::new(),
            abi: self.abi,
            places,
            ram,
            booted: false,
        };
        machine.clear_events();
        machine.vm.set_long_mode(self.abi.long_mode())?;
        machine.vm.intercept_hypercalls()?;
        if self.with_shared_info {
            machine.vm.set_shared_info(Area::gfn(SHARED_INFO_PAGE))?;
        }
        for &id in &self.vcpus {
            machine.add_vcpu(id)?;
        }
        if self.with_vcpu_info {
            for index in 0..machine.vcpus.len() {
                machine.set_vcpu_info(index)?;
            }
        }
        Ok(machine)
    }
}

/// A Xen guest.
pub struct Machine {
    /// Its VM.
    pub vm: Vm,
    /// The pages of its Xen structures.
    pub area: Area,
    /// Its vCPUs.
    pub vcpus: Vec<Vcpu>,
    /// Its word size.
    pub abi: Abi,
    places: Vec<Place>,
    /// The guest's RAM.
    pub ram: Ram,
    booted: bool,
}

impl Machine {
    /// A guest of this word size with one vCPU, shared_info and vcpu_info.
    pub fn builder(abi: Abi) -> Builder {
        Builder {
            abi,
            vcpus: vec![0],
            with_shared_info: true,
            with_vcpu_info: true,
            with_dirty_rings: false,
            places: None,
        }
    }

    /// The usual guest.
    pub fn new(abi: Abi) -> Outcome<Self> {
        Self::builder(abi).build()
    }

    /// The usual guest, ready to run; MSRs that KVM refuses exit to the VMM.
    pub fn booted_with_msr_exits(abi: Abi) -> Outcome<Self> {
        let mut machine = Self::new(abi)?;
        machine.vm.report_bad_msrs()?;
        machine.boot(0)?;
        Ok(machine)
    }

    /// Adds a vCPU without vcpu_info.
    pub fn add_vcpu(&mut self, id: u32) -> Outcome {
        self.vcpus.push(self.vm.add_vcpu(id)?);
        Ok(())
    }

    /// Adds a vCPU with vcpu_info at the next place.
    pub fn add_vcpu_with_info(&mut self, id: u32) -> Outcome {
        let index = self.vcpus.len();
        self.places.push(usual_place(index));
        self.vcpu_info(index).acknowledge();
        self.add_vcpu(id)?;
        self.set_vcpu_info(index)
    }

    /// Tells KVM where the vcpu_info of a vCPU is.
    pub fn set_vcpu_info(&self, index: usize) -> Outcome {
        self.vcpus[index].set_vcpu_info(self.places[index].gpa())?;
        Ok(())
    }

    /// Where the vcpu_info of a vCPU is.
    pub fn place(&self, index: usize) -> Place {
        self.places[index]
    }

    /// shared_info in the guest's memory.
    pub fn shared_info(&self) -> SharedInfo<'_> {
        SharedInfo::new(self.area.page(SHARED_INFO_PAGE), self.abi)
    }

    /// A vcpu_info in the guest's memory.
    pub fn vcpu_info(&self, index: usize) -> VcpuInfo<'_> {
        let Place { page, offset } = self.places[index];
        VcpuInfo::new(self.area.slice(page, offset, VCPU_INFO_SIZE), self.abi)
    }

    /// Clears all pending and mask bits, and what vcpu_info says of them.
    pub fn clear_events(&self) {
        self.shared_info().fill_bitmaps(0, 0);
        for index in 0..self.places.len() {
            self.vcpu_info(index).acknowledge();
            self.vcpu_info(index).set_upcall_mask(0);
        }
    }

    /// A copy of all Xen structures.
    pub fn image(&self) -> Image {
        Image::of(&self.area, self.abi, SHARED_INFO_PAGE, self.places.clone())
    }

    /// Makes a vCPU ready to run code of the guest's word size.
    pub fn boot(&mut self, index: usize) -> Outcome {
        if !self.booted {
            guest_cpu::fill(&self.ram)?;
            self.booted = true;
        }
        self.vcpus[index].boot(&self.vm, self.abi)
    }

    /// Boots a vCPU and has it set up the hypercall page.
    pub fn boot_with_hypercalls(&mut self, index: usize) -> Outcome {
        self.boot(index)?;
        self.set_up_hypercall_page(index)
    }

    /// Has a vCPU that is booted set up the hypercall page.
    pub fn set_up_hypercall_page(&mut self, index: usize) -> Outcome {
        match self.vcpus[index].wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)? {
            Exit::Done => Ok(()),
            exit => Err(fail(format!(
                "set up of the hypercall page: expected Done, got {exit:?}"
            ))),
        }
    }
}
