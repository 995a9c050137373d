// SPDX-License-Identifier: GPL-2.0

//! Locks of KVM's that are no levels, though lockdep sees them inside of levels, or levels inside
//! of them.

use crate::declared::Edge;

/// A lock of KVM's beside the levels.
pub struct Neighbour {
    /// What lockdep calls its class.
    pub class: &'static str,
    /// The levels that it is taken inside of; those that come before one of these, too.
    pub inside: &'static [&'static str],
    /// The levels that are entered inside of it; those that come after one of these, too.
    pub around: &'static [&'static str],
    /// What it is, and what makes it no level.
    pub why: &'static str,
}

impl Neighbour {
    /// Whether it may be taken inside of a level.
    pub fn is_inside(&self, level: &'static str) -> bool {
        let before = |inner: &&'static str| Edge::new(level, inner).is_declared();
        self.inside.contains(&level) || self.inside.iter().any(before)
    }

    /// Whether a level may be entered inside of it.
    pub fn is_around(&self, level: &'static str) -> bool {
        let after = |outer: &&'static str| Edge::new(outer, level).is_declared();
        self.around.contains(&level) || self.around.iter().any(after)
    }
}

/// The entry of a class.
pub fn neighbour(class: &str) -> Option<&'static Neighbour> {
    NEIGHBOURS.iter().find(|neighbour| neighbour.class == class)
}

/// Whether a class is of KVM, so that it has to have an entry.
pub fn is_of_kvm(class: &str) -> bool {
    class.contains("kvm") || class.contains("vcpu") || neighbour(class).is_some()
}

/// All of them.
pub const NEIGHBOURS: &[Neighbour] = &[
    Neighbour {
        class: "&kvm->gpc_lock",
        inside: &["GpcRefreshLock", "Invalidation"],
        around: &["GpcLock"],
        why: "The list of a VM's pfn caches: `__kvm_gpc_activate()` and `kvm_gpc_deactivate()` \
              change it under `refresh_lock`, and a notifier goes through it and takes each \
              `gpc->lock`. Both orders by way of it are declared.",
    },
    Neighbour {
        class: "&kvm->irq_lock",
        inside: &["SlotsLock"],
        around: &[],
        why: "Changes of interrupt routing. The kernel's document has it inside of `slots_lock`. \
              `kvm_set_irq_routing()` waits for the readers of `irq_srcu` after its release.",
    },
    Neighbour {
        class: "&hv->hv_lock",
        inside: &["KvmSrcu"],
        around: &[],
        why: "Hyper-V's state of a VM, a leaf as `xen_lock` is. The kernel's document has it \
              inside of `vcpu->mutex`; `KVM_RUN` takes it in its section.",
    },
    Neighbour {
        class: "&(kvm)->mmu_lock",
        inside: &["SlotsArchLock", "KvmSrcu", "Invalidation"],
        around: &[],
        why: "The guest's page tables. Xen's code does not take it: a pfn cache is looked up in \
              the memslots and in the VMM's page tables.",
    },
    Neighbour {
        class: "&kvm->irqfds.lock",
        inside: &["IrqSrcu"],
        around: &[],
        why: "The list of irqfds, and the routes that are kept in them. Spins with interrupts \
              off.",
    },
    Neighbour {
        class: "&kvm->irqfds.resampler_lock",
        inside: &[],
        around: &["IrqSrcu"],
        why: "Irqfds that are told when the guest ends their interrupt, which those of event \
              channels are not. `kvm_irqfd_assign()` waits for the readers of `irq_srcu` under it.",
    },
    Neighbour {
        class: "(work_completion)(&irqfd->inject)",
        inside: &[],
        around: &["IrqSrcu", "KvmSrcu"],
        why: "No lock, but the work that `irqfd_inject()` runs in, with nothing held.",
    },
    Neighbour {
        class: "(work_completion)(&irqfd->shutdown)",
        inside: &[],
        around: &["IrqSrcu"],
        why: "The work that an irqfd is taken away in: it waits for the readers of `irq_srcu`, \
              and for the work above.",
    },
    Neighbour {
        class: "&ioapic->lock",
        inside: &["KvmSrcu"],
        around: &["IrqSrcu"],
        why: "The registers of KVM's I/O APIC. Who masks an interrupt there has its notifiers \
              called, in their read-side critical section.",
    },
    Neighbour {
        class: "&kvm->arch.apic_map_lock",
        inside: &["KvmSrcu"],
        around: &[],
        why: "The table of local APICs by number, when it is made anew.",
    },
    Neighbour {
        class: "&kvm->arch.apicv_update_lock",
        inside: &["KvmSrcu"],
        around: &[],
        why: "Whether the processor delivers interrupts by itself.",
    },
    Neighbour {
        class: "&kvm->arch.nx_once",
        inside: &["VcpuMutex"],
        around: &[],
        why: "The first `KVM_RUN` of a VM starts a thread under it.",
    },
    Neighbour {
        class: "&kvm->arch.tsc_write_lock",
        inside: &["KvmSrcu"],
        around: &[],
        why: "The offsets of time stamp counters. Spins.",
    },
    Neighbour {
        class: "pvclock_gtod_data",
        inside: &["XenLock"],
        around: &[],
        why: "No lock, but a sequence counter that whoever asks for the VM's time reads by.",
    },
    Neighbour {
        class: "&vcpu->async_pf.lock",
        inside: &["KvmSrcu"],
        around: &[],
        why: "Pages of the guest that are brought back while it runs on. Spins.",
    },
    Neighbour {
        class: "&vcpu->pid_lock",
        inside: &["VcpuMutex"],
        around: &[],
        why: "Which task runs a vCPU. Spins. During a transition this module takes it as well, \
              inside of `kvm_lock` (`rust/livepatch/stragglers.rs`).",
    },
    Neighbour {
        class: "kvm_lock",
        inside: &[],
        around: &["SlotsLock"],
        why: "The list of all VMs. Who changes `nx_huge_pages` takes the `slots_lock` of each \
              inside of it; this module only tries it, with no level entered.",
    },
];
