// SPDX-License-Identifier: GPL-2.0
//! Takeover with as many vCPUs as local APICs have numbers for: most of them are halted, some poll,
//! a few run. Single events go to all of them, and each has to arrive, however a transition wakes,
//! interrupts and changes over their tasks.

use std::mem::offset_of;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::abi::layout::VCPU_INFO_SIZE;
use harness::abi::sched::sched_poll;
use harness::abi::{Abi, SharedInfo, VcpuInfo, PAGE_SIZE};
use harness::child::{abandon, step};
use harness::guest_code::HYPERCALL_PAGE;
use harness::guest_cpu::{self, stack_top};
use harness::irqfd::{Irqfd, Route};
use harness::memory::Ram;
use harness::outcome::{fail, Outcome};
use harness::port::Port;
use harness::stacks::task_state;
use harness::vcpu::{Exit, Vcpu};
use harness::vm::{Vm, HYPERCALL_MSR};
use kvm_bindings::{
    kvm_regs, kvm_xen_hvm_config, KVM_XEN_HVM_CONFIG_EVTCHN_SEND,
    KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
};
use nix::errno::Errno;
use nix::unistd::gettid;
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

use crate::crowd_code::{program, upcall_offset, HALT, POLL, RUN};
use crate::guest_code::VECTOR;
use crate::storms::{tell, tell_tried};
use crate::takeover::stop;
use crate::times::Times;
use crate::watch::PATIENCE;
use crate::world::{set_gate, CODE, GSI};

/// vCPUs: the number after the last of theirs is the local APICs' broadcast.
pub const VCPUS: usize = 255;

// A vCPU has the 16 ports of a quarter of a word. By these events are sent by ioctl and by irqfd, and
// IPIs by the vCPU before it.
const PORTS: usize = 16;
pub const IOCTL: usize = 1;
const IRQFD: usize = 2;
const IPI: usize = 3;
const WAYS: [usize; 3] = [IOCTL, IRQFD, IPI];

/// Its number in the guest.
fn port(vcpu: usize, way: usize) -> u32 {
    (vcpu * PORTS + way) as u32
}

/// How a vCPU waits. None of the first 64 polls: a word of KVM's list of those that do is empty.
fn wait_of(vcpu: usize) -> u32 {
    match vcpu % 64 {
        63 => RUN,
        rest if vcpu >= 64 && rest % 4 == 1 => POLL,
        _ => HALT,
    }
}

/// Whether it is sent events in this way. Who polls does so for one port, as Linux does for a lock: who
/// polls for several is woken by each event of the VM.
fn takes(vcpu: usize, way: usize) -> bool {
    wait_of(vcpu) != POLL || way == polled(vcpu)
}

fn polled(vcpu: usize) -> usize {
    IOCTL + vcpu % 3
}

/// Of those that are halted, every other one is interrupted by its local APIC.
fn has_vector(vcpu: usize) -> bool {
    wait_of(vcpu) == HALT && vcpu % 4 == 0
}

/// What a vCPU is told, and tells.
#[repr(C)]
pub struct Block {
    pub vcpu_info: u64,
    /// Its part of evtchn_pending.
    pub pending: u64,
    pub sched_poll: [u64; 3],
    pub polled: u32,
    /// The port that it sends to, or 0.
    pub next: u32,
    pub wait: u32,
    pub eoi: u32,
    pub stop: u32,
    /// How many events it took, of each way.
    pub taken: [u32; PORTS],
}

// The memory that guest and VMM share: shared_info, the vcpu_infos, the blocks.
const SLOT: u32 = 1;
const GPA: u64 = 0x1000_0000;
const INFOS: usize = PAGE_SIZE;
const BLOCKS: usize = 0x8000;
const BLOCK_SIZE: usize = 0x100;
const SIZE: usize = BLOCKS + VCPUS * BLOCK_SIZE;
const _: () = assert!(INFOS + VCPUS * VCPU_INFO_SIZE <= BLOCKS);
const _: () = assert!(size_of::<Block>() <= BLOCK_SIZE);

/// The guest, and what was sent to it.
struct Crowd {
    vm: Vm,
    shared: MmapRegion,
    ram: Ram,
    irqfds: Vec<Irqfd>,
    /// By way, of which there is none 0, and vCPU. Of each there is one event under way at most.
    sent: [Vec<AtomicU32>; IPI],
    tasks: Vec<AtomicI32>,
    /// Who has it sends.
    turn: Mutex<()>,
    over: AtomicBool,
    interruptions: AtomicU64,
}

impl Crowd {
    /// Makes it, and lets it run.
    fn begin() -> Outcome<(Arc<Self>, Vec<JoinHandle<Outcome>>)> {
        let vm = Vm::new()?;
        let ram = Ram::new(&vm)?;
        guest_cpu::fill(&ram)?;
        ram.write(CODE, program())?;
        let shared = MmapRegion::new(SIZE.next_multiple_of(PAGE_SIZE))?;
        vm.set_slot(SLOT, GPA, &shared, 0)?;
        vm.xen_config(&kvm_xen_hvm_config {
            flags: KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL | KVM_XEN_HVM_CONFIG_EVTCHN_SEND,
            msr: HYPERCALL_MSR,
            ..Default::default()
        })?;
        vm.set_long_mode(Abi::Bits64.long_mode())?;
        vm.set_shared_info(GPA / PAGE_SIZE as u64)?;
        vm.set_upcall_vector(VECTOR)?;
        let route = |vcpu| Route::new(GSI + vcpu as u32, port(vcpu, IRQFD), vcpu as u32);
        vm.set_routes(&(0..VCPUS).map(route).collect::<Vec<_>>())?;
        let irqfds: Outcome<_> = (0..VCPUS).map(|vcpu| vm.irqfd(GSI + vcpu as u32)).collect();
        let none = || (0..VCPUS).map(|_| AtomicU32::new(0)).collect();
        let crowd = Self {
            irqfds: irqfds?,
            vm,
            shared,
            ram,
            sent: [none(), none(), none()],
            tasks: (0..VCPUS).map(|_| AtomicI32::new(0)).collect(),
            turn: Mutex::default(),
            over: AtomicBool::new(false),
            interruptions: AtomicU64::new(0),
        };
        let vcpus: Outcome<Vec<_>> = (0..VCPUS).map(|vcpu| crowd.vcpu(vcpu)).collect();
        let crowd = Arc::new(crowd);
        let threads = vcpus?.into_iter().map(|vcpu| -> Outcome<_> {
            let crowd = crowd.clone();
            let thread = thread::Builder::new().name(format!("vcpu{}", vcpu.id));
            Ok(thread.spawn(move || crowd.run(vcpu))?)
        });
        let threads: Outcome<_> = threads.collect();
        Ok((crowd.clone(), threads?))
    }

    /// Makes a vCPU.
    fn vcpu(&self, index: usize) -> Outcome<Vcpu> {
        let mut vcpu = self.vm.add_vcpu(index as u32)?;
        vcpu.boot(&self.vm, Abi::Bits64)?;
        let info = GPA + (INFOS + index * VCPU_INFO_SIZE) as u64;
        vcpu.set_vcpu_info(info)?;
        if index == 0 {
            let exit = vcpu.wrmsr(HYPERCALL_MSR, HYPERCALL_PAGE)?;
            if exit != Exit::Done {
                return Err(fail(format!("no hypercall page: {exit:?}")));
            }
            set_gate(&self.ram, &vcpu, CODE + upcall_offset())?;
        }
        if has_vector(index) {
            vcpu.enable_lapic()?;
            vcpu.set_upcall_vector(VECTOR)?;
        }
        self.vm.assign(Port::ipi(port(index, IPI), index as u32))?;

        let block = GPA + (BLOCKS + index * BLOCK_SIZE) as u64;
        let at = |offset| BLOCKS + index * BLOCK_SIZE + offset;
        let shared = self.shared.as_volatile_slice();
        shared.write_obj(info, at(offset_of!(Block, vcpu_info)))?;
        let pending = Abi::Bits64.pending_offset() + index * PORTS / 8;
        shared.write_obj(GPA + pending as u64, at(offset_of!(Block, pending)))?;
        let ports = block + offset_of!(Block, polled) as u64;
        let poll = sched_poll(Abi::Bits64, ports, 1, 0);
        shared.write_slice(&poll, at(offset_of!(Block, sched_poll)))?;
        let info = SharedInfo::new(shared.get_slice(0, PAGE_SIZE)?, Abi::Bits64);
        if wait_of(index) == POLL {
            let port = port(index, polled(index));
            shared.write_obj(port, at(offset_of!(Block, polled)))?;
            info.set_masked(port, true);
        }
        let next = (index + 1) % VCPUS;
        if takes(next, IPI) {
            shared.write_obj(port(next, IPI), at(offset_of!(Block, next)))?;
        }
        shared.write_obj(wait_of(index), at(offset_of!(Block, wait)))?;
        let eoi = u32::from(has_vector(index));
        shared.write_obj(eoi, at(offset_of!(Block, eoi)))?;
        vcpu.fd.set_regs(&kvm_regs {
            rip: CODE,
            rsp: stack_top(vcpu.id),
            rbx: block,
            rflags: 2,
            ..Default::default()
        })?;
        Ok(vcpu)
    }

    /// A vCPU's thread.
    fn run(&self, mut vcpu: Vcpu) -> Outcome {
        let index = vcpu.id as usize;
        self.tasks[index].store(gettid().as_raw(), SeqCst);
        // The kernel's tasks that give functions to ftrace would else take minutes.
        // SAFETY: it changes how much of a processor this thread gets, and nothing else.
        unsafe { libc::nice(19) };
        loop {
            match vcpu.run() {
                Ok(Exit::Done) if self.word(index, offset_of!(Block, stop)) != 0 => return Ok(()),
                Err(Errno::EINTR | Errno::EAGAIN) => self.interruptions.fetch_add(1, SeqCst),
                other => abandon(fail(format!("vCPU {index} came back: {other:?}"))),
            };
        }
    }

    fn word(&self, vcpu: usize, offset: usize) -> u32 {
        let at = BLOCKS + vcpu * BLOCK_SIZE + offset;
        let shared = self.shared.as_volatile_slice();
        shared.load(at, SeqCst).expect("is a word of a block")
    }

    fn taken(&self, vcpu: usize, way: usize) -> u32 {
        self.word(vcpu, offset_of!(Block, taken) + way * 4)
    }

    /// How many events a vCPU was sent in a way: an IPI for each that the one before has by ioctl.
    fn due(&self, vcpu: usize, way: usize) -> u32 {
        match way {
            IPI if !takes(vcpu, IPI) => 0,
            IPI => self.due((vcpu + VCPUS - 1) % VCPUS, IOCTL),
            _ => self.sent[way][vcpu].load(SeqCst),
        }
    }

    /// Whether what was last sent to a vCPU in this way has come, and the IPI that it sends for it.
    fn has_come(&self, vcpu: usize, way: usize) -> bool {
        let next = (vcpu + 1) % VCPUS;
        self.taken(vcpu, way) == self.due(vcpu, way)
            && (way == IRQFD || self.taken(next, IPI) == self.due(next, IPI))
    }

    fn send(&self, vcpu: usize, way: usize) -> Outcome {
        self.sent[way][vcpu].fetch_add(1, SeqCst);
        match way {
            IOCTL => Ok(self.vm.send(port(vcpu, IOCTL), vcpu as u32)?),
            _ => self.irqfds[vcpu].signal(),
        }
    }

    /// A sender's thread: sends to all vCPUs, to each again when the event before has come. Returns
    /// the longest that one took.
    fn sender(&self, way: usize, mut rng: Rng) -> Outcome<Duration> {
        let mut since = [None::<Instant>; VCPUS];
        let mut longest = Duration::ZERO;
        while !self.over.load(SeqCst) {
            let turn = self.turn.lock().expect("nobody panics with it");
            for (vcpu, since) in since.iter_mut().enumerate() {
                if let Some(sent) = *since {
                    if !self.has_come(vcpu, way) {
                        if sent.elapsed() > PATIENCE {
                            return Err(self.lost(PATIENCE));
                        }
                        continue;
                    }
                    longest = longest.max(sent.elapsed());
                    *since = None;
                }
                if takes(vcpu, way) && rng.u32(0..16) == 0 {
                    *since = Some(Instant::now());
                    self.send(vcpu, way)?;
                }
            }
            drop(turn);
            sleep(Duration::from_millis(rng.u64(20..100)));
        }
        Ok(longest)
    }

    /// Has nothing sent until all that was has come; returns how long that took.
    fn settle(&self) -> Outcome<Duration> {
        step("the guest to see what was sent");
        let _turn = self.turn.lock().expect("nobody panics with it");
        let begun = Instant::now();
        while (0..VCPUS).any(|vcpu| !self.has_come(vcpu, IOCTL) || !self.has_come(vcpu, IRQFD)) {
            if begun.elapsed() > PATIENCE / 2 {
                return Err(self.lost(begun.elapsed()));
            }
            sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// What there is to see of the vCPUs that an event has not come to.
    fn lost(&self, time: Duration) -> harness::outcome::Stop {
        let mut text = format!("events have not come in {} s\n", time.as_secs());
        let shared = self.shared.as_volatile_slice();
        for vcpu in 0..VCPUS {
            let due = WAYS.map(|way| self.due(vcpu, way));
            let taken = WAYS.map(|way| self.taken(vcpu, way));
            if due == taken {
                continue;
            }
            let info = shared.get_slice(INFOS + vcpu * VCPU_INFO_SIZE, VCPU_INFO_SIZE);
            let info = VcpuInfo::new(info.expect("is there"), Abi::Bits64);
            let pending: u16 = shared
                .read_obj(Abi::Bits64.pending_offset() + vcpu * PORTS / 8)
                .expect("is there");
            text += &format!(
                "vCPU {vcpu}, wait {}, vector {}: sent {due:?}, taken {taken:?}, pending {pending:#x}, \
                 pending_sel {:#x}, upcall_pending {}; {}\n",
                wait_of(vcpu),
                has_vector(vcpu),
                info.pending_sel(),
                info.upcall_pending(),
                task_state(self.tasks[vcpu].load(SeqCst)),
            );
        }
        fail(text)
    }

    /// Ends the vCPUs, each by an event.
    fn end(&self, threads: Vec<JoinHandle<Outcome>>) -> Outcome {
        step("vCPUs to stop");
        for (vcpu, thread) in threads.into_iter().enumerate() {
            let at = BLOCKS + vcpu * BLOCK_SIZE + offset_of!(Block, stop);
            self.shared.as_volatile_slice().store(1u32, at, SeqCst)?;
            self.vm.send(port(vcpu, polled(vcpu)), vcpu as u32)?;
            thread.join().map_err(|_| fail("a thread panicked"))??;
        }
        Ok(())
    }
}

/// Takes over and hands back, and has all events come before each.
pub fn run(module: &str, seed: u64, limit: Duration) -> Outcome {
    step("vCPUs to be made");
    let begun = Instant::now();
    let (crowd, vcpus) = Crowd::begin()?;
    tell(&format!("made in {} ms", begun.elapsed().as_millis()));
    let mut rng = Rng::with_seed(seed);
    let senders = [IOCTL, IRQFD].map(|way| {
        let (crowd, rng) = (crowd.clone(), rng.fork());
        let sender = move || crowd.sender(way, rng).unwrap_or_else(|stop| abandon(stop));
        thread::spawn(sender)
    });
    let mut times = Times::default();
    step("Rust to take over");
    times.on.push(livepatch::insert(module).map_err(stop)?);
    let mut settled = crowd.settle()?;
    step("Rust to hand back");
    times.off.push(livepatch::remove().map_err(stop)?);
    settled = settled.max(crowd.settle()?);
    crowd.over.store(true, SeqCst);
    let mut longest = Duration::ZERO;
    for sender in senders {
        longest = longest.max(sender.join().map_err(|_| fail("a thread panicked"))?);
    }
    settled = settled.max(crowd.settle()?);
    let sum = |way| -> u64 { (0..VCPUS).map(|vcpu| u64::from(crowd.due(vcpu, way))).sum() };
    let counts = WAYS.map(sum);
    crowd.end(vcpus)?;
    let [ioctls, irqfds, ipis] = counts;
    tell(&format!(
        "{VCPUS} vCPUs, {ioctls} ioctls, {ipis} IPIs, {irqfds} irqfds, lost 0; an event took {} ms \
         at most, all of them {} ms after a switch; KVM_RUN interrupted {} times",
        longest.as_millis(),
        settled.as_millis(),
        crowd.interruptions.load(SeqCst)
    ));
    tell_tried(counts.into_iter().sum(), "events", 0);
    times.report();
    times.check(limit)
}
