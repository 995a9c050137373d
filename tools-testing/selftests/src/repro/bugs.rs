// SPDX-License-Identifier: GPL-2.0
//! The bugs of Documentation/c-bugs.rst that can be shown, by name.

/// A bug, and what shows it.
pub struct Bug {
    /// What it is called on the command line, and in the patches of samples/upstream.
    pub name: &'static str,
    /// The cases that fail where it is, without the word size.
    pub cases: &'static [&'static str],
    /// Who can do this.
    pub who: &'static str,
    /// What a right kernel does.
    pub right: &'static str,
}

/// Whoever may make a VM.
const VMM: &str = "whoever may open /dev/kvm";
/// Whoever runs in a VM whose VMM has switched Xen's event channels on.
const GUEST: &str = "a guest of a VMM that takes Xen guests, by its kernel";

/// All of them.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "send-without-shared-info",
        cases: &["c_bugs/send_without_shared_info_logs_no_warning"],
        who: VMM,
        right: "KVM_XEN_HVM_EVTCHN_SEND on a VM without shared_info is EINVAL, and logs nothing",
    },
    Bug {
        name: "event-without-vcpu-info",
        cases: &["c_bugs/event_without_vcpu_info_logs_no_warning"],
        who: VMM,
        right: "KVM_RUN of a vCPU that has an event and no vcpu_info logs nothing",
    },
    Bug {
        name: "halt-after-mode-change",
        cases: &["c_bugs/halted_vcpu_sleeps_after_a_change_of_word_size"],
        who: VMM,
        right: "a vCPU that halts sleeps, though events of ports that the guest has no more were noted",
    },
    Bug {
        name: "timer-event-lost",
        cases: &["timer/fired_timer_survives_a_run"],
        who: "nobody on purpose: a VMM that takes shared_info away for a moment loses its guest's event",
        right: "the event of a timer that fired while shared_info was away comes when that is back",
    },
    Bug {
        name: "update-undone-by-sender",
        cases: &["c_bugs/an_update_is_not_undone_by_a_sender"],
        who: "nobody on purpose: a guest that sends to a port while the VMM binds it to another vCPU",
        right: "after KVM_XEN_EVTCHN_UPDATE the events of a port go to its new vCPU",
    },
    Bug {
        name: "memslots-beside-poller",
        cases: &["c_bugs/memslots_change_beside_a_poller"],
        who: GUEST,
        right: "memslots change while the guest sleeps in SCHEDOP_poll",
    },
    Bug {
        name: "poller-of-unmasked-port",
        cases: &["c_bugs/unmasked_port_wakes_when_its_selector_is_set"],
        who: "nobody on purpose: a guest that polls with interrupts off sleeps for ever",
        right: "a port that becomes pending ends the poll for it, though no upcall is due",
    },
    Bug {
        name: "poller-of-another-vcpus-port",
        cases: &["c_bugs/port_of_another_vcpu_wakes"],
        who: "nobody on purpose: a guest that polls for another vCPU's port sleeps for ever",
        right: "a port that becomes pending ends the poll for it, whichever vCPU it is bound to",
    },
    Bug {
        name: "event-after-the-vmm",
        cases: &["c_bugs/event_after_the_vmm_goes_nowhere"],
        who: "whoever may open /dev/kvm: two processes that share a VM's file write a bit of their \
              choice to a page that one of them had, and that is free or somebody else's by then. \
              Here it is a file's, and no harm is done",
        right: "an event for a VM whose address space is gone changes no memory",
    },
    Bug {
        name: "deassign-beside-poller",
        cases: &["c_bugs/ports_go_beside_a_poller"],
        who: GUEST,
        right: "a port is taken away while the guest sleeps in SCHEDOP_poll",
    },
    Bug {
        name: "timer-in-hard-interrupt",
        cases: &["lockdep/timer_takes_no_sleeping_lock_in_hard_interrupt"],
        who: "a guest that sets timers, on a kernel with PREEMPT_RT, hangs the host; on others only \
              lockdep (CONFIG_PROVE_LOCKING) tells, once in a boot: run this first",
        right: "a timer that fires takes no lock that may sleep",
    },
    Bug {
        name: "event-across-cache-lines",
        cases: &[
            "c_bugs/event_stays_in_a_cache_line",
            "c_bugs/kept_event_stays_in_a_cache_line",
        ],
        who: "a guest of a VMM that takes Xen guests, by where it has its vcpu_info: the kernel of \
              a host that detects split locks, as Linux does by itself where an Intel processor \
              can, oopses; others are slowed down. A watchpoint in the kernel shows it, which \
              takes root",
        right: "an event is set in evtchn_pending_sel by operations that stay in a cache line",
    },
];

/// The one of that name.
pub fn find(name: &str) -> Option<&'static Bug> {
    BUGS.iter().find(|bug| bug.name == name)
}
