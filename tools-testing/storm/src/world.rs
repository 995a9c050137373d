// SPDX-License-Identifier: GPL-2.0
//! A guest in a storm: its VM, its memory, its vCPUs in their threads.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};

use harness::abi::runstate::Runstate;
use harness::abi::{Abi, VcpuInfo};
use harness::attr;
use harness::child::abandon;
use harness::guest_code::HYPERCALL_PAGE;
use harness::guest_cpu::{self, stack_top};
use harness::irqfd::Route;
use harness::memory::Ram;
use harness::outcome::{fail, Outcome};
use harness::port::Port;
use harness::runstate;
use harness::vcpu::{Exit, Vcpu};
use harness::vm::{Vm, HYPERCALL_MSR};
use kvm_bindings::{
    kvm_enable_cap, kvm_regs, kvm_xen_hvm_config, KVM_CAP_HALT_POLL,
    KVM_XEN_HVM_CONFIG_EVTCHN_SEND, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
    KVM_XEN_VCPU_ATTR_TYPE_TIMER, KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID,
};
use nix::errno::Errno;

use crate::account;
use crate::block::Block;
use crate::book::{Book, VCPUS};
use crate::guest_code::{program, upcall_offset, VECTOR};
use crate::line::Line;
use crate::pages::Pages;
use crate::plan::{self, Plan, Scan, Upcall};
use crate::watch::Watch;

/// Guest address of the program; the harness's own code is below.
pub const CODE: u64 = 0x2_4000;
/// The first interrupt line that leads to a port.
pub const GSI: u32 = 32;

/// Puts the handler of upcalls into the table of the harness.
pub fn set_gate(ram: &Ram, vcpu: &Vcpu, handler: u64) -> Outcome {
    let table = vcpu.fd.get_sregs()?.idt.base;
    let entry = table + u64::from(VECTOR) * 16;
    ram.write(entry, &(handler as u16).to_le_bytes())?;
    ram.write(entry + 6, &((handler >> 16) as u16).to_le_bytes())
}

/// A guest in a storm.
pub struct World {
    pub plan: Plan,
    pub vm: Vm,
    pub book: Book,
    pub pages: Pages,
    pub watch: Watch,
    /// Senders of the VMM.
    pub lines: Mutex<Vec<Arc<Line>>>,
    /// vCPUs that events can be sent to.
    pub online: AtomicUsize,
    /// Senders are to end.
    pub quiet: AtomicBool,
    /// Churn is to end.
    pub calm: AtomicBool,
    /// Whoever sends holds it for reading; who holds it for writing stops them.
    pub gate: RwLock<()>,
    /// What was changed while events were sent, and how often.
    pub changes: Mutex<BTreeMap<&'static str, u64>>,
    ram: Ram,
    /// How many ports each vCPU sends to.
    pub sends_of: [AtomicUsize; VCPUS],
    vcpus: Mutex<Vec<JoinHandle<Outcome>>>,
}

impl World {
    /// Makes the guest of `plan`, with its account in `book`.
    pub fn new(plan: Plan, book: Book) -> Outcome<Arc<Self>> {
        let vm = Vm::new()?;
        let ram = Ram::new(&vm)?;
        let pages = Pages::new(plan.private)?;
        guest_cpu::fill(&ram)?;
        ram.write(CODE, program())?;
        book.attach(&vm)?;
        pages.attach(&vm, 0)?;
        vm.xen_config(&kvm_xen_hvm_config {
            flags: KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL | KVM_XEN_HVM_CONFIG_EVTCHN_SEND,
            msr: HYPERCALL_MSR,
            ..Default::default()
        })?;
        vm.set_shared_info(Pages::shared_info() / harness::abi::PAGE_SIZE as u64)?;
        vm.set_upcall_vector(VECTOR)?;
        let routes: Vec<_> = (0..VCPUS)
            .map(|vcpu| Route::new(GSI + vcpu as u32, plan::by_irqfd(vcpu), vcpu as u32))
            .collect();
        let world = Arc::new_cyclic(|weak: &std::sync::Weak<Self>| {
            let weak = weak.clone();
            Self {
                plan,
                vm,
                book,
                pages,
                watch: Watch::start(move || {
                    weak.upgrade().map_or(String::new(), |world| world.state())
                }),
                lines: Mutex::default(),
                online: AtomicUsize::new(0),
                quiet: AtomicBool::new(false),
                calm: AtomicBool::new(false),
                gate: RwLock::new(()),
                changes: Mutex::default(),
                ram,
                sends_of: Default::default(),
                vcpus: Mutex::default(),
            }
        });
        world.vm.set_routes(&routes)?;
        for vcpu in 0..world.plan.vcpus() {
            world.add_vcpu(world.plan.upcalls[vcpu])?;
        }
        Ok(world)
    }

    /// Adds a vCPU and lets it run.
    pub fn add_vcpu(self: &Arc<Self>, upcall: Upcall) -> Outcome {
        let index = self.online.load(SeqCst);
        let mut vcpu = self.vm.add_vcpu(index as u32)?;
        self.write_block(index, upcall);
        vcpu.boot(&self.vm, Abi::Bits64)?;
        vcpu.set_vcpu_info(Pages::vcpu_info(index))?;
        runstate::set_address(&vcpu, Pages::runstate(index))?;
        let timer = attr::timer(plan::timer(index), 0);
        vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_TIMER, timer)?;
        vcpu.set_attr(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, attr::word(index as u64))?;
        if index == 0 {
            let exit = vcpu.wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
            if exit != Exit::Done {
                return Err(fail(format!("no hypercall page: {exit:?}")));
            }
            set_gate(&self.ram, &vcpu, CODE + upcall_offset())?;
            // It is as it was in the vCPU that wrote the page, otherwise.
            self.vm.set_long_mode(self.abi().long_mode())?;
        }
        if upcall == Upcall::Apic {
            vcpu.enable_lapic()?;
            vcpu.set_upcall_vector(VECTOR)?;
        }
        for port in self.ports_to(index) {
            self.vm.assign(port)?;
        }
        vcpu.fd.set_regs(&kvm_regs {
            rip: CODE,
            rsp: stack_top(vcpu.id),
            rbx: Book::block_gpa(index),
            rflags: 2,
            ..Default::default()
        })?;
        let world = self.clone();
        let thread = thread::Builder::new().name(format!("vcpu{index}"));
        let thread = thread.spawn(move || world.run(vcpu))?;
        self.vcpus.lock().expect("nobody panics").push(thread);
        self.online.store(index + 1, SeqCst);
        Ok(())
    }

    /// The ports by which vCPUs send to `to`.
    fn ports_to(&self, to: usize) -> Vec<Port> {
        let id = to as u32;
        let mut ports = Vec::new();
        if self.plan.ipis || self.plan.ring || self.plan.replies {
            ports.extend((0..VCPUS).map(|from| Port::ipi(plan::ipi(from, to), id)));
        }
        if let Some(fd) = self.plan.eventfd {
            ports.push(Port::raw_eventfd(plan::to_eventfd(to), fd));
        }
        ports
    }

    /// Has vCPUs that wait sleep at once. KVM looks for events for a while otherwise, and need not
    /// be woken.
    pub fn stop_halt_polling(&self) -> Outcome {
        self.vm.fd.enable_cap(&kvm_enable_cap {
            cap: KVM_CAP_HALT_POLL,
            ..Default::default()
        })?;
        Ok(())
    }

    /// To how many ports a vCPU sends, or did.
    pub fn sends(&self, vcpu: usize) -> usize {
        self.sends_of[vcpu].load(SeqCst)
    }

    /// Events that the guest sent to an eventfd.
    pub fn sent_to_eventfd(&self) -> u64 {
        let online = self.online.load(SeqCst);
        (0..online).map(|vcpu| self.book.to_eventfd(vcpu)).sum()
    }

    /// The layout that the guest begins with.
    pub fn abi(&self) -> Abi {
        match self.plan.scan {
            Scan::Bits32 => Abi::Bits32,
            _ => Abi::Bits64,
        }
    }

    /// A vCPU's thread.
    fn run(self: Arc<Self>, mut vcpu: Vcpu) -> Outcome {
        const XEN_ENOENT: u64 = -2_i64 as u64;
        let stop = self.book.half_of(vcpu.id as usize, offset_of!(Block, stop));
        let mut exit = vcpu.run();
        loop {
            exit = match exit {
                Ok(Exit::Done) if stop.load(SeqCst) != 0 => break,
                Ok(Exit::Done) => vcpu.run(),
                // A send to a port that KVM does not know, just now.
                Ok(Exit::Hypercall(_)) => vcpu.return_to_guest(XEN_ENOENT),
                Err(Errno::EINTR | Errno::EAGAIN) => vcpu.run(),
                other => {
                    let what = format!("vCPU {} came back: {other:?}\n{}", vcpu.id, self.state());
                    abandon(fail(what))
                }
            };
        }
        self.check_runstate(&vcpu)
            .unwrap_or_else(|stop| abandon(stop));
        Ok(())
    }

    /// Fails unless the guest has the same runstate as KVM.
    fn check_runstate(&self, vcpu: &Vcpu) -> Outcome {
        let abi = match self.vm.long_mode()? {
            0 => Abi::Bits32,
            _ => Abi::Bits64,
        };
        let mut last = None;
        // The scheduler may change it in between.
        for _ in 0..20 {
            let kvm = runstate::in_kvm(vcpu)?;
            let bytes = self
                .pages
                .runstate_bytes(vcpu.id as usize, abi.runstate_size())?;
            let guest = Runstate::parse(abi, &bytes);
            if kvm == guest {
                return Ok(());
            }
            last = Some((kvm, guest));
        }
        Err(fail(format!(
            "runstate of vCPU {} in KVM and in the guest: {last:?}",
            vcpu.id
        )))
    }

    /// Ends all vCPUs.
    pub fn stop_vcpus(&self) -> Outcome {
        let beat = self.watch.thread("the main thread".into());
        for vcpu in 0..self.online.load(SeqCst) {
            let stop = self.book.half_of(vcpu, offset_of!(Block, stop));
            stop.store(1, SeqCst);
            beat.doing("asks vCPUs to stop");
            self.vm.send(plan::bell(vcpu), vcpu as u32)?;
        }
        let threads: Vec<_> = self
            .vcpus
            .lock()
            .expect("nobody panics")
            .drain(..)
            .collect();
        for thread in threads {
            beat.doing("waits for a vCPU to stop, which was sent an event");
            thread
                .join()
                .map_err(|_| fail("a vCPU's thread panicked"))??;
        }
        Ok(())
    }

    /// What there is to see of each vCPU, to explain a failure.
    pub fn state(&self) -> String {
        let mut text = String::new();
        for vcpu in 0..self.online.load(SeqCst) {
            let info = VcpuInfo::new(self.pages.vcpu_info_slice(vcpu), self.abi());
            let word = |offset| self.book.of(vcpu, offset).load(SeqCst);
            text += &format!(
                "vCPU {vcpu}: {} turns, {} polls, upcall_pending {}, pending_sel {:#x}\n",
                word(offset_of!(Block, turns)),
                word(offset_of!(Block, polls)),
                info.upcall_pending(),
                info.pending_sel(),
            );
        }
        text + &account::unsettled(self).join("\n")
    }
}
