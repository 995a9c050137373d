// SPDX-License-Identifier: GPL-2.0
//! A sequence as a case for the selftests, to be put into a file of their cases:
//! it expects what C showed.

use std::fmt::Write;

use crate::op::*;
use crate::session::Finding;
use crate::trace::{Item, Kind, AFTER};

mod expected;
mod values;

use values::{call_name, hex, timer, Value};

/// The source.
pub fn case(finding: &Finding) -> String {
    let mut out = Source {
        text: String::new(),
        vcpus: 0,
        c: &finding.c,
    };
    out.line(
        0,
        &format!("/// Sequence {}. {}.", finding.index, finding.difference),
    );
    out.line(0, "fn found_by_fuzzing() -> Outcome {");
    out.begin(finding.program.irqchip);
    for (number, op) in finding.program.ops.iter().enumerate() {
        out.op(number as u16, op);
    }
    out.line(1, "// At the end, C shows:");
    let told = |item: &&Item| !matches!(item.kind, Kind::Result | Kind::Attr);
    for item in finding
        .c
        .iter()
        .filter(|item| item.op == AFTER)
        .filter(told)
    {
        out.line(1, &format!("//   {item}"));
    }
    out.line(1, "Ok(())");
    out.line(0, "}");
    out.text
}

struct Source<'a> {
    text: String,
    vcpus: u8,
    c: &'a [Item],
}

impl Source<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{}{text}", "    ".repeat(depth));
    }

    fn begin(&mut self, irqchip: Irqchip) {
        self.line(
            1,
            match irqchip {
                Irqchip::Kernel => "let vm = Vm::new()?;",
                Irqchip::None => "let vm = Vm::without_irqchip()?;",
                Irqchip::Split => "let vm = Vm::with_split_irqchip()?;",
            },
        );
        self.line(1, "let ram = Ram::new(&vm)?;");
        self.line(1, "guest_cpu::fill(&ram)?;");
        self.line(1, "let area = Area::new(&vm)?;");
        self.line(1, "area.clear()?;");
        self.line(1, "let eventfd = EventFd::new(EFD_NONBLOCK)?;");
    }

    fn check(&mut self, number: u16, what: &str, expression: &str) {
        let expected = self.expected(number);
        self.line(
            1,
            &format!("check_eq(\"{number}: {what}\", {expression}, {expected})?;"),
        );
    }

    fn seen(&mut self, number: u16) {
        let items = self
            .c
            .iter()
            .filter(|item| item.op == number && item.kind != Kind::Result);
        let lines: Vec<String> = items.map(|item| format!("// C shows: {item}")).collect();
        for line in lines {
            self.line(1, &line);
        }
    }

    fn vcpu(&self, index: u8) -> Option<String> {
        index
            .checked_rem(self.vcpus)
            .map(|index| format!("vcpu{index}"))
    }

    fn op(&mut self, number: u16, op: &Op) {
        match op {
            Op::Config(flags, msr, [size_32, size_64]) => {
                let blob = |size: &u8| if *size == 0 { "0" } else { "area.hva(0, 0)" };
                let config = format!(
                    "kvm_xen_hvm_config {{ flags: {flags:#x}, msr: {msr:#x}, blob_addr_32: {}, \
                     blob_addr_64: {}, blob_size_32: {size_32}, blob_size_64: {size_64}, ..Default::default() }}",
                    blob(size_32),
                    blob(size_64)
                );
                self.check(
                    number,
                    "configuration",
                    &format!("vm.xen_config(&{config})"),
                );
            }
            Op::SetVm(attr) => self.check(number, "attribute", &format!("vm.{}", attr.source())),
            Op::GetVm(kind) => {
                self.line(1, &format!("let _ = vm.attr({kind});"));
                self.seen(number);
            }
            Op::Port(port, kind, flags, deliver) => {
                let source = format!(
                    "vm.set_port(Port {{ send_port: {port}, kind: {kind}, flags: {flags:#x}, deliver: {} }})",
                    deliver.source()
                );
                self.check(number, "port", &source);
            }
            Op::Send(port, vcpu, priority) => {
                let source = format!("vm.send_with_priority({port}, {vcpu}, {priority:#x})");
                self.check(number, "send", &source);
            }
            Op::AddVcpu(id) => self.add_vcpu(number, *id),
            Op::SetVcpu(index, attr) => {
                if let Some(vcpu) = self.vcpu(*index) {
                    self.check(number, "attribute", &format!("{vcpu}.{}", attr.source()));
                }
            }
            Op::GetVcpu(index, kind) => {
                if let Some(vcpu) = self.vcpu(*index) {
                    self.line(1, &format!("let _ = {vcpu}.attr({kind});"));
                    self.seen(number);
                }
            }
            Op::Routes(routes) => {
                let routes: Vec<_> = routes.iter().map(|route| format!("{route:#x?}")).collect();
                let source = format!("vm.set_routes(&[{}])", routes.join(", "));
                self.check(number, "routes", &source.replace('\n', " "));
            }
            Op::Irqfd(gsi, times) => {
                self.line(1, &format!("if let Ok(irqfd) = vm.irqfd({gsi:#x}) {{"));
                for _ in 0..*times {
                    self.line(2, "irqfd.signal()?;");
                }
                self.line(2, "irqfd.finish(&vm)?;");
                self.line(1, "}");
            }
            Op::IrqLine(gsi, level) => {
                let source = format!("vm.irq_line_status({gsi:#x}, {level}).map(|_| ())");
                self.check(number, "line", &source);
                self.seen(number);
            }
            Op::Slot(slot) => self.line(1, &slot.source()),
            Op::Page(page, how) => self.line(1, &how.source(*page)),
            Op::Poke(Place { page, offset }, value) => {
                let at = offset.min(&4088);
                let source = format!(
                    "area.slice({page}, {at:#x}, 8).copy_from(&{value:#x}_u64.to_le_bytes());"
                );
                self.line(1, &source);
            }
            Op::Call(index, call) => self.call(number, *index, call),
            Op::Resume(index, result) => {
                if let Some(vcpu) = self.vcpu(*index) {
                    self.line(
                        1,
                        &format!("println!(\"# {{:?}}\", {vcpu}.return_to_guest({result:#x}));"),
                    );
                    self.seen(number);
                }
            }
            Op::Run(index, mode, code) => {
                let entry = match code {
                    Code::Nothing => "Entry::Cpuid",
                    Code::Window => "Entry::Window",
                    Code::Halt => "Entry::Halt",
                };
                self.run(
                    number,
                    *index,
                    *mode,
                    false,
                    &format!("start({entry}, kvm_regs::default())"),
                );
            }
            Op::HypercallPage(index, mode, msr, value) => {
                self.run(
                    number,
                    *index,
                    *mode,
                    false,
                    &format!("wrmsr({msr:#x}, {value:#x})"),
                );
            }
            Op::FireTimer(index, port) => {
                if let Some(vcpu) = self.vcpu(*index) {
                    self.line(1, "let soon = vm.fd.get_clock()?.clock + 300_000;");
                    let source = format!("{vcpu}.{}", timer(*port, u32::MAX, "soon".into()));
                    self.check(number, "timer", &source);
                    self.line(1, "thread::sleep(Duration::from_millis(5));");
                }
            }
            Op::EnableLapic(index) => {
                if let Some(vcpu) = self.vcpu(*index) {
                    self.line(1, &format!("{vcpu}.enable_lapic()?;"));
                }
            }
            Op::DirtyLog(second) => {
                let slot = if *second { "OTHER_SLOT" } else { "AREA_SLOT" };
                let source =
                    format!("let _ = vm.fd.get_dirty_log({slot}, AREA_PAGES * PAGE_SIZE);");
                self.line(1, &source);
                self.seen(number);
            }
        }
    }

    fn add_vcpu(&mut self, number: u16, id: u32) {
        let made = self.expected(number) == "Ok(())";
        if !made {
            self.line(
                1,
                &format!("check(\"{number}: no vCPU\", vm.add_vcpu({id}).is_err())?;"),
            );
            return;
        }
        let vcpu = format!("vcpu{}", self.vcpus);
        self.vcpus += 1;
        self.line(1, &format!("let mut {vcpu} = vm.add_vcpu({id})?;"));
        self.line(1, &format!("{vcpu}.boot(&vm, Abi::Bits64)?;"));
    }

    /// Something that enters the guest.
    fn run(&mut self, number: u16, index: u8, mode: Mode, ring3: bool, what: &str) {
        let Some(vcpu) = self.vcpu(index) else {
            return;
        };
        let abi = match mode {
            Mode::Long => "Abi::Bits64",
            Mode::Compat | Mode::Protected => "Abi::Bits32",
        };
        self.line(1, &format!("{vcpu}.boot(&vm, {abi})?;"));
        if mode == Mode::Compat {
            let source = format!("guest_cpu::enter_compatibility_mode(&{vcpu})?;");
            self.line(1, &source);
        }
        if ring3 {
            self.line(1, &format!("guest_cpu::enter_ring3(&{vcpu})?;"));
        }
        let what = format!("{vcpu}.{what}");
        match self.exit(number) {
            Some(exit) => {
                self.line(
                    1,
                    &format!("check_eq(\"{number}: exit\", {what}, Ok({exit}))?;"),
                );
                let rax = hex(self.value(number, Kind::Rax, 0).unwrap_or(0));
                let got = format!("{vcpu}.fd.get_regs()?.rax");
                self.line(1, &format!("check_eq(\"{number}: rax\", {got}, {rax})?;"));
            }
            None => {
                self.line(1, &format!("println!(\"# {number}: {{:?}}\", {what});"));
                self.seen(number);
            }
        }
    }

    fn call(&mut self, number: u16, index: u8, call: &Call) {
        if self.vcpus == 0 {
            return;
        }
        let abi = match call.mode {
            Mode::Long => "Abi::Bits64",
            Mode::Compat | Mode::Protected => "Abi::Bits32",
        };
        match &call.data {
            None => {}
            Some(Data::Port(port)) => {
                self.line(1, &format!("ram.write(DATA, &{port}_u32.to_le_bytes())?;"));
            }
            Some(Data::Poll {
                ports,
                number,
                pointer,
                timeout,
            }) => {
                self.line(
                    1,
                    &format!(
                        "ram.write(DATA, &sched_poll({abi}, {pointer:#x}, {number}, {timeout}))?;"
                    ),
                );
                for (at, port) in ports.iter().enumerate() {
                    let at = 4 * at;
                    let source = format!("ram.write(PORTS + {at}, &{port}_u32.to_le_bytes())?;");
                    self.line(1, &source);
                }
            }
            Some(Data::Time(time)) => {
                self.line(
                    1,
                    &format!("ram.write(DATA, &singleshot_timer({abi}, {time:#x}))?;"),
                );
            }
        }
        let params: Vec<_> = call.params.iter().map(|param| hex(*param)).collect();
        let what = format!(
            "hypercall_by(hypercall_instruction().0, {}, &[{}])",
            call_name(call.number),
            params.join(", ")
        );
        self.run(number, index, call.mode, call.ring3, &what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Difference;

    #[test]
    fn a_case_has_each_operation_and_what_c_returned() {
        let program = Program {
            irqchip: Irqchip::Kernel,
            ops: vec![
                Op::SetVm(VmAttr::LongMode(1)),
                Op::AddVcpu(7),
                Op::Send(5000, 0, u32::MAX),
                Op::SetVcpu(0, VcpuAttr::VcpuInfo(Gpa::Area(2, 0x340))),
            ],
        };
        let c: Vec<_> = [0, 0, -22_i64, 0]
            .into_iter()
            .enumerate()
            .map(|(op, value)| Item {
                op: op as u16,
                kind: Kind::Result,
                at: 0,
                value: value as u64,
            })
            .collect();
        let finding = Finding {
            index: 3,
            program,
            difference: Difference {
                c: c.last().copied(),
                rust: None,
            },
            c,
        };
        let source = case(&finding);
        for line in [
            "let vm = Vm::new()?;",
            "check_eq(\"0: attribute\", vm.set_long_mode(1), Ok(()))?;",
            "let mut vcpu0 = vm.add_vcpu(7)?;",
            "check_eq(\"2: send\", vm.send_with_priority(5000, 0, 0xffffffff), Err(Errno::EINVAL))?;",
            "check_eq(\"3: attribute\", vcpu0.set_vcpu_info(Area::gpa(2, 0x340)), Ok(()))?;",
        ] {
            assert!(source.contains(line), "{source}");
        }
    }
}
