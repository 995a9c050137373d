// SPDX-License-Identifier: GPL-2.0
//! A VMM whose guest takes KVM for Xen, to be read from here to the end.
//!
//! It makes a VM, tells KVM to be Xen for it, and runs a guest (guest.rs) that makes hypercalls and
//! waits for events. Some hypercalls KVM serves itself; the others come here. What both do is
//! printed.

mod guest;

use std::process::ExitCode;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use guest::{IOCTL_PORT, IRQFD_PORT, TIMER_PORT};
use kvm_bindings::*;
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use kvm_xen_ioctls::{
    intercept_hypercalls, xen_evtchn, xen_evtchn_route, XenTimer, XenVcpu, XenVcpuAttr, XenVm,
    XenVmAttr,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

const MEMORY: usize = 2 << 20;
/// The interrupt line that the irqfd raises.
const GSI: u32 = 24;
/// The only vCPU: its number, its APIC id, and what the guest calls it.
const VCPU: u32 = 0;

/// What KVM has to be capable of.
const FEATURES: u32 = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL
    | KVM_XEN_HVM_CONFIG_SHARED_INFO
    | KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL
    | KVM_XEN_HVM_CONFIG_EVTCHN_SEND;

// Hypercalls that come to the VMM, and their commands.
const CONSOLE_IO: u64 = 18;
const CONSOLEIO_WRITE: u64 = 0;
const SCHED_OP: u64 = 29;
const SCHEDOP_SHUTDOWN: u64 = 2;

/// How to send an event.
enum By {
    Ioctl,
    Irqfd,
}

/// What the guest is to say, and which event it is sent then.
const TALK: [(&str, Option<By>); 7] = [
    ("my hypercall page is written", None),
    ("I wait for port 1", Some(By::Ioctl)),
    ("port 1 it is", None),
    ("I wait for port 2", Some(By::Irqfd)),
    ("port 2 it is", None),
    ("my timer is set, I wait for port 3", None),
    ("port 3 it is, and it is time", None),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello-xen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // Before the VM, so that it is unmapped after that is gone.
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)])?;
    let kvm = Kvm::new().context("/dev/kvm")?;
    let vm = kvm.create_vm().context("KVM_CREATE_VM")?;
    let has = vm.xen_features();
    ensure!(
        has & FEATURES == FEATURES,
        "this KVM can't be Xen: its KVM_CAP_XEN_HVM is {has:#x}, and has to have {FEATURES:#x}, as \
         that of a kernel with CONFIG_KVM_XEN"
    );
    // SCHEDOP_poll and irqfds want the interrupt controllers in the kernel.
    vm.create_irq_chip().context("KVM_CREATE_IRQCHIP")?;
    give(&vm, &memory)?;
    let mut vcpu = vm.create_vcpu(VCPU.into()).context("KVM_CREATE_VCPU")?;
    println!("VMM:   a VM with {} KiB and a vCPU", MEMORY >> 10);

    be_xen(&vm, &vcpu).context("making it a Xen guest")?;
    let irqfd = route_irqfd(&vm)?;
    boot(&kvm, &vcpu, &memory)?;

    let (orders, inbox) = channel();
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&vm, &irqfd, inbox));
        let talked = talk(&mut vcpu, &memory, orders);
        // Where it could not send, that is why the guest has not heard.
        sender.join().expect("does not panic").and(talked)
    })
}

/// Gives the VM its memory, from address 0 on.
fn give(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<()> {
    let region = kvm_userspace_memory_region {
        memory_size: MEMORY as u64,
        userspace_addr: memory.get_host_address(GuestAddress(0))? as u64,
        ..Default::default()
    };
    // SAFETY: it is guest memory and nothing else, and stays mapped as long as there is the VM.
    unsafe { vm.set_user_memory_region(region) }.context("KVM_SET_USER_MEMORY_REGION")
}

/// Has KVM be Xen. The order is that of what depends on what.
fn be_xen(vm: &VmFd, vcpu: &VcpuFd) -> Result<()> {
    // KVM handles hypercalls, and writes the hypercall page when the guest writes to the MSR.
    let flags = KVM_XEN_HVM_CONFIG_EVTCHN_SEND;
    vm.set_xen_config(&intercept_hypercalls(guest::HYPERCALL_MSR, flags))?;
    // The word size decides where things are in shared_info.
    vm.set_xen_attr(XenVmAttr::LongMode(true))?;
    vm.set_xen_attr(XenVmAttr::SharedInfo(Some(guest::SHARED_INFO >> 12)))?;
    // KVM has to be told of vcpu_info even where it is the one in shared_info.
    vcpu.set_xen_attr(XenVcpuAttr::VcpuInfo(Some(guest::VCPU_INFO)))?;
    // With these two KVM serves the timer.
    vcpu.set_xen_attr(XenVcpuAttr::VcpuId(VCPU))?;
    let timer = XenTimer {
        port: TIMER_PORT,
        expires_ns: 0,
    };
    vcpu.set_xen_attr(XenVcpuAttr::Timer(timer))?;
    println!(
        "VMM:   KVM is Xen to it: hypercalls, shared_info, vcpu_info, and port 3 for its timer"
    );
    Ok(())
}

/// Has an eventfd send events to a port, by way of an interrupt line: as devices do.
fn route_irqfd(vm: &VmFd) -> Result<EventFd> {
    let route = xen_evtchn_route(GSI, &xen_evtchn(IRQFD_PORT, VCPU));
    let routes = KvmIrqRouting::from_entries(&[route]).context("a table of routes")?;
    vm.set_gsi_routing(&routes).context("KVM_SET_GSI_ROUTING")?;
    let irqfd = EventFd::new(0).context("an eventfd")?;
    vm.register_irqfd(&irqfd, GSI).context("KVM_IRQFD")?;
    println!("VMM:   an irqfd leads to port 2");
    Ok(irqfd)
}

/// Loads the guest, and has the vCPU begin it in 64-bit mode, as a boot loader would.
fn boot(kvm: &Kvm, vcpu: &VcpuFd, memory: &GuestMemoryMmap) -> Result<()> {
    // The page tables map one large page, all of the memory, to itself: present, writable; large.
    let write = |at: u64, entry: u64| memory.write_obj(entry, GuestAddress(at));
    write(guest::PML4, guest::PDPT | 0x3)?;
    write(guest::PDPT, guest::PAGE_DIRECTORY | 0x3)?;
    write(guest::PAGE_DIRECTORY, 0x83)?;
    memory.write_slice(guest::code(), GuestAddress(guest::CODE))?;

    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    vcpu.set_cpuid2(&cpuid).context("KVM_SET_CPUID2")?;
    let mut sregs = vcpu.get_sregs().context("KVM_GET_SREGS")?;
    sregs.cr3 = guest::PML4;
    sregs.cr4 = 0x20; // PAE
    sregs.cr0 = 0x8000_0011; // PG, ET, PE
    sregs.efer = 0x500; // LMA, LME
    let data = kvm_segment {
        limit: u32::MAX,
        selector: 0x10,
        type_: 3, // data, read and write, accessed
        present: 1,
        s: 1,
        g: 1,
        db: 1,
        ..Default::default()
    };
    (sregs.ds, sregs.es, sregs.ss) = (data, data, data);
    sregs.cs = kvm_segment {
        selector: 0x8,
        type_: 11, // code, execute and read, accessed
        l: 1,
        db: 0,
        ..data
    };
    vcpu.set_sregs(&sregs).context("KVM_SET_SREGS")?;
    let regs = kvm_regs {
        rip: guest::CODE,
        rsp: guest::STACK_TOP,
        rflags: 0x2, // always set; interrupts are off
        ..Default::default()
    };
    vcpu.set_regs(&regs).context("KVM_SET_REGS")
}

/// Sends what it is told to, from a thread of its own, as the vCPU's sleeps in KVM meanwhile.
fn send(vm: &VmFd, irqfd: &EventFd, inbox: Receiver<&By>) -> Result<()> {
    for by in inbox {
        // Time to fall asleep. Without it the event would be there before, which is as well.
        thread::sleep(Duration::from_millis(50));
        match by {
            By::Ioctl => {
                println!("VMM:   sends to port 1, by ioctl");
                vm.send_xen_evtchn(&xen_evtchn(IOCTL_PORT, VCPU))
                    .context("KVM_XEN_HVM_EVTCHN_SEND")?;
            }
            By::Irqfd => {
                println!("VMM:   sends to port 2, by irqfd");
                irqfd.write(1).context("writing to the irqfd")?;
            }
        }
    }
    Ok(())
}

/// Runs the vCPU until the guest shuts down, and serves the hypercalls that KVM does not.
fn talk(vcpu: &mut VcpuFd, memory: &GuestMemoryMmap, orders: Sender<&By>) -> Result<()> {
    let mut talk = TALK.iter();
    loop {
        match vcpu.run().context("KVM_RUN")? {
            VcpuExit::Unsupported(KVM_EXIT_XEN) => {}
            exit => bail!("the guest was to make a hypercall, and did something else: {exit:?}"),
        }
        let call = vcpu
            .xen_hypercall()
            .context("KVM_EXIT_XEN of another type")?;
        let [command, count, buffer, ..] = call.params;
        match (call.input, command) {
            (CONSOLE_IO, CONSOLEIO_WRITE) => {
                let mut text = vec![0; usize::try_from(count)?.min(MEMORY)];
                memory.read_slice(&mut text, GuestAddress(buffer))?;
                let text = String::from_utf8_lossy(&text);
                println!("guest: {text}");
                let (expected, then) = talk.next().context("the guest does not come to an end")?;
                ensure!(
                    text == *expected,
                    "the guest says \"{text}\", not \"{expected}\""
                );
                if let Some(by) = then {
                    // It is gone if it has failed, which is told in the end.
                    let _ = orders.send(by);
                }
                vcpu.set_xen_hypercall_result(0)?;
            }
            (SCHED_OP, SCHEDOP_SHUTDOWN) => {
                if let Some((expected, _)) = talk.next() {
                    bail!("the guest shuts down, and has not said \"{expected}\"");
                }
                println!("VMM:   the guest has shut down, and all came as it should");
                return Ok(());
            }
            _ => bail!("KVM leaves a hypercall to the VMM that it was to serve: {call:x?}"),
        }
    }
}
