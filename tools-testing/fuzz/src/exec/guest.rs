// SPDX-License-Identifier: GPL-2.0
//! vCPUs, and what the guest does on them.

use super::*;
use harness::abi::sched::{sched_poll, singleshot_timer};
use harness::abi::Abi;
use harness::guest_code::Entry;
use harness::guest_cpu::DATA;
use harness::host_cpu::hypercall_instruction;

/// Time that a vCPU may sleep before it is taken to sleep for ever.
const ASLEEP: Duration = Duration::from_millis(15);
/// Time for what ends by itself; no more than a limit.
const AWAKE: Duration = Duration::from_millis(400);
/// Polls of no more nanoseconds end by themselves.
const SHORT_POLL: u64 = 8_000_000;
/// Time from a timer's setting to its expiry, and from then until it has fired.
const TIMER_AHEAD: Duration = Duration::from_micros(300);
const TIMER_FIRED: Duration = Duration::from_micros(1500);

const RUNNABLE: kvm_mp_state = kvm_mp_state {
    mp_state: KVM_MP_STATE_RUNNABLE,
};

/// Where the guest has the ports of a poll.
pub const PORTS: u64 = DATA + 0x100;

/// The general registers that a hypercall has its number and parameters in.
fn hypercall_registers(mode: Mode, number: u64, params: [u64; 6]) -> kvm_regs {
    let [p0, p1, p2, p3, p4, p5] = params;
    let mut regs = kvm_regs {
        rax: number,
        ..Default::default()
    };
    match mode.abi() {
        Abi::Bits32 => {
            (regs.rbx, regs.rcx, regs.rdx) = (p0, p1, p2);
            (regs.rsi, regs.rdi, regs.rbp) = (p3, p4, p5);
        }
        Abi::Bits64 => {
            (regs.rdi, regs.rsi, regs.rdx) = (p0, p1, p2);
            (regs.r10, regs.r8, regs.r9) = (p3, p4, p5);
        }
    }
    regs
}

impl Run<'_> {
    pub(super) fn add_vcpu(&mut self, id: u32) -> Result<()> {
        // Stacks are for so many.
        if self.vcpus.len() >= 8 {
            return Ok(());
        }
        match self.vm.create_vcpu(id.into()) {
            Err(error) => self.result(Err::<i32, _>(errno(error))),
            Ok(fd) => {
                if self.irqchip != Irqchip::None {
                    // All but the first wait for the guest to start them.
                    fd.set_mp_state(RUNNABLE)?;
                }
                self.vcpus.push(Vcpu::new(fd, self.vcpus.len() as u32)?);
                self.result(Ok(0));
            }
        }
        Ok(())
    }

    /// Goes on where the vCPU is.
    fn go_on(&mut self, vcpu: usize, limit: Duration) -> Result<()> {
        let Run {
            executor,
            vcpus,
            trace,
            number,
            ..
        } = self;
        let op = *number;
        let limit = limit * executor.patience;
        let vcpu = &mut vcpus[vcpu];
        executor.alarm.within(limit, || {
            vcpu.run(|kind, at, value| trace.push(Item::new(op, kind, at, value)));
        })
    }

    /// Runs what was loaded.
    fn enter(&mut self, vcpu: usize, limit: Duration) -> Result<()> {
        if self.vcpus[vcpu].may_sleep() && self.irqchip != Irqchip::None {
            // It would go on to sleep, whatever it is to run.
            self.vcpus[vcpu].fd.set_mp_state(RUNNABLE)?;
        }
        self.go_on(vcpu, limit)
    }

    fn data(&mut self, mode: Mode, data: &Data) -> Option<u64> {
        let memory = &mut self.executor.memory;
        match data {
            Data::Port(port) => memory.write_ram(DATA, &port.to_le_bytes()),
            Data::Poll {
                ports,
                number,
                pointer,
                timeout,
            } => {
                memory.write_ram(DATA, &sched_poll(mode.abi(), *pointer, *number, *timeout));
                let ports: Vec<u8> = ports.iter().flat_map(|port| port.to_le_bytes()).collect();
                memory.write_ram(PORTS, &ports);
                return Some(*timeout);
            }
            Data::Time(time) => {
                memory.write_ram(DATA, &singleshot_timer(mode.abi(), *time));
                self.expiries.push(*time);
            }
        }
        None
    }

    pub(super) fn call(&mut self, index: u8, call: &Call) -> Result<()> {
        let Some(vcpu) = self.vcpu(index) else {
            return Ok(());
        };
        let timeout = call
            .data
            .as_ref()
            .and_then(|data| self.data(call.mode, data));
        self.expiries.push(call.params[0]);
        let limit = match timeout {
            None | Some(1..=SHORT_POLL) => AWAKE,
            Some(_) => ASLEEP,
        };
        let regs = hypercall_registers(call.mode, call.number, call.params);
        let (entry, _) = hypercall_instruction();
        self.vcpus[vcpu].load(entry, call.mode, call.ring3, regs);
        self.enter(vcpu, limit)
    }

    pub(super) fn resume(&mut self, index: u8, result: u64) -> Result<()> {
        match self.vcpu(index) {
            Some(vcpu) if self.vcpus[vcpu].has_run() => {
                self.vcpus[vcpu].give_result(result);
                self.go_on(vcpu, ASLEEP)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn run_code(&mut self, index: u8, mode: Mode, code: Code) -> Result<()> {
        let Some(vcpu) = self.vcpu(index) else {
            return Ok(());
        };
        let (entry, limit) = match code {
            Code::Nothing => (Entry::Cpuid, AWAKE),
            Code::Window => (Entry::Window, AWAKE),
            Code::Halt => (Entry::Halt, ASLEEP),
        };
        self.vcpus[vcpu].load(entry, mode, false, kvm_regs::default());
        self.enter(vcpu, limit)
    }

    pub(super) fn hypercall_page(
        &mut self,
        index: u8,
        mode: Mode,
        msr: u32,
        value: u64,
    ) -> Result<()> {
        let Some(vcpu) = self.vcpu(index) else {
            return Ok(());
        };
        self.hypercall_pages = true;
        let regs = kvm_regs {
            rcx: msr.into(),
            rax: value & u64::from(u32::MAX),
            rdx: value >> 32,
            ..Default::default()
        };
        self.vcpus[vcpu].load(Entry::Wrmsr, mode, false, regs);
        self.enter(vcpu, AWAKE)
    }

    pub(super) fn fire_timer(&mut self, index: u8, port: u32) -> Result<()> {
        if self.vcpu(index).is_none() {
            return Ok(());
        }
        let now = self.vm.get_clock()?.clock;
        let expires = now + TIMER_AHEAD.as_nanos() as u64;
        self.set_vcpu(index, VcpuAttr::Timer(port, PRIORITY, expires));
        // Its time is another on each side.
        self.expiries.retain(|&known| known != expires);
        sleep((TIMER_AHEAD + TIMER_FIRED) * self.executor.patience);
        Ok(())
    }

    pub(super) fn enable_lapic(&mut self, index: u8) {
        const SVR: usize = 0xf0;
        if self.irqchip == Irqchip::None {
            return;
        }
        if let Some(vcpu) = self.vcpu(index) {
            let fd = &self.vcpus[vcpu].fd;
            let enabled = fd.get_lapic().and_then(|mut lapic| {
                // Software enable is bit 8.
                lapic.regs[SVR + 1] |= 1;
                fd.set_lapic(&lapic)
            });
            self.result(zero(enabled));
        }
    }

    /// Interrupts that are due, and whether it waits.
    pub(super) fn see_processor(&mut self, vcpu: usize) {
        const IRR: usize = 0x200;
        if self.irqchip == Irqchip::None {
            return;
        }
        let fd = &self.vcpus[vcpu].fd;
        let (state, lapic) = (fd.get_mp_state(), fd.get_lapic());
        let index = vcpu as u32 * 0x100;
        self.see(
            Kind::MpState,
            index,
            state.map_or(u64::MAX, |state| state.mp_state.into()),
        );
        if let Ok(lapic) = lapic {
            for word in 0..8 {
                let bytes = &lapic.regs[IRR + 0x10 * word..][..4];
                let value = bytes
                    .iter()
                    .rev()
                    .fold(0, |value, byte| (value << 8) | u64::from(*byte as u8));
                if value != 0 {
                    self.see(Kind::Irr, index + word as u32, value);
                }
            }
        }
    }
}
