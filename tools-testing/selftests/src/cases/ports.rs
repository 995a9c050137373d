// SPDX-License-Identifier: GPL-2.0
//! The table of outbound ports: assign, update, deassign, reset. What a port
//! does when the guest sends to it is in guest_send.rs.

use kvm_bindings::{KVM_XEN_EVTCHN_DEASSIGN, KVM_XEN_EVTCHN_RESET, KVM_XEN_EVTCHN_UPDATE};
use nix::errno::Errno;
use nix::unistd::pipe;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::topic;
use harness::abi::{status, Abi};
use harness::check::{check_err, check_ok};
use harness::outcome::Outcome;
use harness::port::Port;
use harness::vm::Vm;

/// A VM of this word size; ports need nothing else.
fn vm(abi: Abi) -> Outcome<Vm> {
    let vm = Vm::new()?;
    vm.set_long_mode(abi.long_mode())?;
    Ok(vm)
}

/// Fails if `port` is in the table.
#[track_caller]
fn check_missing(vm: &Vm, port: u32) -> Outcome {
    check_err(
        format!("port {port} is assigned"),
        vm.deassign(port),
        Errno::ENOENT,
    )
}

/// Fails unless `port` is in the table; takes it out.
#[track_caller]
fn check_there(vm: &Vm, port: u32) -> Outcome {
    check_ok(format!("deassign of port {port}"), vm.deassign(port))
}

/// A port of each kind that can be sent to.
fn all_kinds_are_assigned_and_deassigned(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    vm.assign(Port::ipi(1, 0))?;
    vm.assign(Port::interdomain(2, 7, 0))?;
    vm.assign(Port::eventfd(3, &eventfd))?;
    for port in [1, 2, 3] {
        check_there(&vm, port)?;
        check_missing(&vm, port)?;
    }
    Ok(())
}

/// Kinds of ports that nobody can send to, and kinds that don't exist.
fn other_kinds_are_einval() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    let (closed, unbound) = (status::CLOSED, status::UNBOUND);
    for kind in [closed, unbound, status::PIRQ, status::VIRQ, 6, u32::MAX] {
        let result = vm.assign(Port::to_port(kind, 5, 5, 0));
        check_err(format!("kind {kind}"), result, Errno::EINVAL)?;
        check_missing(&vm, 5)?;
    }
    Ok(())
}

/// An IPI port is its own other end.
fn ipi_to_another_port_is_einval() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    for target in [0, 6, 4] {
        let result = vm.assign(Port::to_port(status::IPI, 5, target, 0));
        check_err(format!("IPI from 5 to {target}"), result, Errno::EINVAL)?;
        check_missing(&vm, 5)?;
    }
    Ok(())
}

/// FIFO event channels, which have other priorities, are not there.
fn other_priorities_are_einval() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    for priority in [0, 7, u32::MAX - 1] {
        for port in [Port::ipi(5, 0), Port::interdomain(5, 6, 0)] {
            let result = vm.assign(port.priority(priority));
            check_err(format!("priority {priority}"), result, Errno::EINVAL)?;
            check_missing(&vm, 5)?;
        }
    }
    Ok(())
}

/// The first and last ports there are, and those beyond them.
fn send_ports_at_the_edges(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    for port in [0, 1, 1023, 1024, 4095, 4096, 1 << 31, u32::MAX] {
        let what = |verb| format!("{verb} port {port}");
        if port == 0 || port >= abi.ports() {
            // Port 7 as the target, as only the port sent to is in question.
            let result = vm.assign(Port::interdomain(port, 7, 0));
            check_err(what("assign"), result, Errno::EINVAL)?;
            check_err(what("deassign"), vm.deassign(port), Errno::EINVAL)?;
            let result = vm.update(Port::interdomain(port, 7, 0));
            check_err(what("update"), result, Errno::EINVAL)?;
        } else {
            check_ok(what("assign"), vm.assign(Port::ipi(port, 0)))?;
            check_ok(what("update"), vm.update(Port::ipi(port, 1)))?;
            check_there(&vm, port)?;
        }
    }
    Ok(())
}

/// The same for the port that becomes pending; 0 there means an eventfd.
fn target_ports_at_the_edges(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    for target in [1, 1023, 1024, 4095, 4096, 1 << 31, u32::MAX] {
        let result = vm.assign(Port::interdomain(5, target, 0));
        let what = format!("to port {target}");
        if target >= abi.ports() {
            check_err(what, result, Errno::EINVAL)?;
            check_missing(&vm, 5)?;
        } else {
            check_ok(what, result)?;
            check_there(&vm, 5)?;
        }
    }
    Ok(())
}

/// A port is assigned once, whatever its kind.
fn assigned_port_is_eexist(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    let kinds = [
        Port::ipi(5, 0),
        Port::interdomain(5, 6, 0),
        Port::eventfd(5, &eventfd),
    ];
    for first in kinds {
        vm.assign(first)?;
        for second in kinds {
            let what = format!("{second:?} after {first:?}");
            check_err(what, vm.assign(second), Errno::EEXIST)?;
        }
        check_there(&vm, 5)?;
        check_missing(&vm, 5)?;
    }
    Ok(())
}

/// What was never assigned can't be changed nor taken away.
fn missing_port_is_enoent(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    vm.assign(Port::ipi(6, 0))?;
    check_err("deassign", vm.deassign(5), Errno::ENOENT)?;
    check_err("update", vm.update(Port::ipi(5, 0)), Errno::ENOENT)?;
    check_missing(&vm, 5)?;
    check_there(&vm, 6)
}

/// Flags are one of three, or none.
fn other_flags_are_einval() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    vm.assign(Port::ipi(5, 0))?;
    let known = [
        0,
        KVM_XEN_EVTCHN_DEASSIGN,
        KVM_XEN_EVTCHN_UPDATE,
        KVM_XEN_EVTCHN_RESET,
    ];
    for flags in (0..16).chain([1 << 31, u32::MAX]) {
        if known.contains(&flags) {
            continue;
        }
        for port in [5, 6] {
            let result = vm.set_port(Port::ipi(port, 0).flags(flags));
            check_err(format!("flags {flags:#x}"), result, Errno::EINVAL)?;
        }
    }
    check_there(&vm, 5)?;
    check_missing(&vm, 6)
}

/// No file, a closed file, and a file that is no eventfd.
fn bad_eventfd_is_refused() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    let result = vm.assign(Port::raw_eventfd(5, -1));
    check_err("no file", result, Errno::EBADF)?;
    check_missing(&vm, 5)?;
    // Above the limit of open files, so never open.
    let result = vm.assign(Port::raw_eventfd(5, i32::MAX));
    check_err("a file that is not open", result, Errno::EBADF)?;
    check_missing(&vm, 5)?;
    let (reader, _writer) = pipe()?;
    let result = vm.assign(Port::eventfd(5, &reader));
    check_err("a pipe", result, Errno::EINVAL)?;
    check_missing(&vm, 5)
}

/// vCPUs may come later.
fn missing_vcpu_is_accepted(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    vm.assign(Port::ipi(5, 9))?;
    vm.update(Port::ipi(5, u32::MAX))?;
    check_there(&vm, 5)
}

/// An update may change the vCPU and nothing else.
fn update_of_anything_but_the_vcpu_is_einval(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    vm.assign(Port::ipi(5, 0))?;
    vm.assign(Port::interdomain(6, 7, 0))?;
    for (what, port) in [
        (
            "kind of an IPI port",
            Port::ipi(5, 0).kind(status::INTERDOMAIN),
        ),
        (
            "kind that nobody can send to",
            Port::ipi(5, 0).kind(status::VIRQ),
        ),
        ("port of an IPI port", Port::to_port(status::IPI, 5, 6, 0)),
        ("priority", Port::ipi(5, 0).priority(0)),
        ("port", Port::interdomain(6, 8, 0)),
        ("kind", Port::interdomain(6, 7, 0).kind(status::IPI)),
        ("priority", Port::interdomain(6, 7, 0).priority(1)),
        ("port to eventfd", Port::raw_eventfd(6, 0)),
    ] {
        check_err(what, vm.update(port), Errno::EINVAL)?;
    }
    check_ok("update of vCPU", vm.update(Port::ipi(5, 1)))?;
    check_ok("update of vCPU", vm.update(Port::interdomain(6, 7, 1)))?;
    check_ok("the same again", vm.update(Port::interdomain(6, 7, 1)))
}

/// A port with an eventfd has nothing that could change.
fn update_of_an_eventfd_is_einval(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    let (eventfd, other) = (EventFd::new(EFD_NONBLOCK)?, EventFd::new(EFD_NONBLOCK)?);
    vm.assign(Port::eventfd(5, &eventfd))?;
    for port in [
        Port::eventfd(5, &eventfd),
        Port::eventfd(5, &other),
        // Port 0 stands for an eventfd, and this priority would be good.
        Port::interdomain(5, 0, 1),
        Port::interdomain(5, 6, 0),
    ] {
        check_err(format!("{port:?}"), vm.update(port), Errno::EINVAL)?;
    }
    check_there(&vm, 5)
}

/// A port that was taken away is free for any kind.
fn deassigned_port_can_be_assigned_again(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    for port in [
        Port::ipi(5, 0),
        Port::eventfd(5, &eventfd),
        Port::interdomain(5, 6, 0),
        Port::ipi(5, 1),
    ] {
        check_ok(format!("{port:?}"), vm.assign(port))?;
        vm.deassign(5)?;
    }
    check_missing(&vm, 5)
}

/// Reset takes all away, many at once too.
fn reset_empties_the_table(abi: Abi) -> Outcome {
    let vm = vm(abi)?;
    let eventfd = EventFd::new(EFD_NONBLOCK)?;
    for port in 1..abi.ports() {
        match port % 3 {
            0 => vm.assign(Port::ipi(port, 0))?,
            1 => vm.assign(Port::interdomain(port, 9, 0))?,
            _ => vm.assign(Port::eventfd(port, &eventfd))?,
        }
    }
    vm.reset_ports()?;
    for port in 1..abi.ports() {
        check_missing(&vm, port)?;
    }
    check_ok("assign after reset", vm.assign(Port::ipi(1, 0)))
}

/// Reset of a table that is empty, and once more.
fn reset_of_an_empty_table_works() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    check_ok("reset", vm.reset_ports())?;
    check_ok("reset", vm.reset_ports())?;
    check_ok("assign", vm.assign(Port::ipi(1, 0)))
}

/// Reset looks at nothing but the flag.
fn reset_ignores_the_other_fields() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    vm.assign(Port::ipi(5, 0))?;
    let odd = Port::to_port(u32::MAX, u32::MAX, u32::MAX, u32::MAX).priority(3);
    vm.set_port(odd.flags(KVM_XEN_EVTCHN_RESET))?;
    check_missing(&vm, 5)
}

/// High ports outlive a switch to 32 bits, out of reach but for reset.
fn ports_above_1023_survive_a_switch_to_32_bits() -> Outcome {
    let vm = vm(Abi::Bits64)?;
    vm.assign(Port::ipi(2000, 0))?;
    vm.set_long_mode(0)?;
    check_err("deassign in 32 bits", vm.deassign(2000), Errno::EINVAL)?;
    vm.set_long_mode(1)?;
    check_there(&vm, 2000)?;

    vm.assign(Port::ipi(2000, 0))?;
    vm.set_long_mode(0)?;
    vm.reset_ports()?;
    vm.set_long_mode(1)?;
    check_missing(&vm, 2000)
}

/// Another VM has a table of its own.
fn tables_belong_to_one_vm() -> Outcome {
    let (vm, other) = (vm(Abi::Bits64)?, vm(Abi::Bits64)?);
    vm.assign(Port::ipi(5, 0))?;
    check_missing(&other, 5)?;
    other.assign(Port::ipi(5, 0))?;
    other.reset_ports()?;
    check_there(&vm, 5)
}

topic! { "ports";
    each_abi all_kinds_are_assigned_and_deassigned,
    once other_kinds_are_einval,
    once ipi_to_another_port_is_einval,
    once other_priorities_are_einval,
    each_abi send_ports_at_the_edges,
    each_abi target_ports_at_the_edges,
    each_abi assigned_port_is_eexist,
    each_abi missing_port_is_enoent,
    once other_flags_are_einval,
    once bad_eventfd_is_refused,
    each_abi missing_vcpu_is_accepted,
    each_abi update_of_anything_but_the_vcpu_is_einval,
    each_abi update_of_an_eventfd_is_einval,
    each_abi deassigned_port_can_be_assigned_again,
    each_abi reset_empties_the_table,
    once reset_of_an_empty_table_works,
    once reset_ignores_the_other_fields,
    once ports_above_1023_survive_a_switch_to_32_bits,
    once tables_belong_to_one_vm,
}
