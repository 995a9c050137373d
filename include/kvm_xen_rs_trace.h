/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's own tracepoints, for what C has none: rust/trace.rs calls them,
 * Documentation/tracing.rst describes them.
 *
 * A VM is told by the process that made it, as in the names of KVM's directories
 * in debugfs, and by its address, as a process may have several.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm_xen_rs

#if !defined(__KVM_XEN_RS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define __KVM_XEN_RS_TRACE_H

#include <linux/kvm_host.h>
#include <linux/tracepoint.h>

/* What became of an event. */
#define KVM_XEN_RS_COALESCED 0
#define KVM_XEN_RS_MASKED 1
#define KVM_XEN_RS_RAISED 2
#define KVM_XEN_RS_KICK 3
#define KVM_XEN_RS_INTERRUPT 4
#define KVM_XEN_RS_NOT_NOW 5
#define KVM_XEN_RS_FAILED 6

/* What becomes of SCHEDOP_poll. */
#define KVM_XEN_RS_POLL_BEGINS 0
#define KVM_XEN_RS_POLL_PENDING 1
#define KVM_XEN_RS_POLL_WOKEN 2
#define KVM_XEN_RS_POLL_TIMED_OUT 3
#define KVM_XEN_RS_POLL_OTHER 4

/* What becomes of a singleshot timer that has fired. */
#define KVM_XEN_RS_TIMER_IN_TIME 0
#define KVM_XEN_RS_TIMER_DEFERRED 1
#define KVM_XEN_RS_TIMER_LATER 2
#define KVM_XEN_RS_TIMER_AGAIN 3
#define KVM_XEN_RS_TIMER_NO_PORT 4

/* In the place of a port, where there are several. */
#define KVM_XEN_RS_SEVERAL 0xffffffff

TRACE_EVENT(kvm_xen_deliver,
	TP_PROTO(struct kvm *kvm, u32 vcpu_id, u32 port, u32 outcome, bool waited),
	TP_ARGS(kvm, vcpu_id, port, outcome, waited),

	TP_STRUCT__entry(
		__field(u64, vm)
		__field(pid_t, pid)
		__field(u32, vcpu_id)
		__field(u32, port)
		__field(u32, outcome)
		__field(u32, waited)
	),

	TP_fast_assign(
		__entry->vm = (unsigned long)kvm;
		__entry->pid = kvm->userspace_pid;
		__entry->vcpu_id = vcpu_id;
		__entry->port = port;
		__entry->outcome = outcome;
		__entry->waited = waited;
	),

	TP_printk("pid %d vcpu %u port %u: %s%s",
		  __entry->pid, __entry->vcpu_id, __entry->port,
		  __print_symbolic(__entry->outcome,
				   { KVM_XEN_RS_COALESCED, "coalesced" },
				   { KVM_XEN_RS_MASKED, "masked" },
				   { KVM_XEN_RS_RAISED, "raised" },
				   { KVM_XEN_RS_KICK, "raised, kick" },
				   { KVM_XEN_RS_INTERRUPT, "raised, interrupt" },
				   { KVM_XEN_RS_NOT_NOW, "not now" },
				   { KVM_XEN_RS_FAILED, "failed" }),
		  __entry->waited ? ", waited" : "")
);

/*
 * What is printed is the timer's; a poll has its own. The nanoseconds are those
 * that a poll has lasted, or by which a timer is late.
 */
DECLARE_EVENT_CLASS(kvm_xen_rs_vcpu,
	TP_PROTO(struct kvm *kvm, u32 vcpu_id, u32 port, u32 what, u64 ns),
	TP_ARGS(kvm, vcpu_id, port, what, ns),

	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, ns)
		__field(pid_t, pid)
		__field(u32, vcpu_id)
		__field(u32, port)
		__field(u32, what)
	),

	TP_fast_assign(
		__entry->vm = (unsigned long)kvm;
		__entry->ns = ns;
		__entry->pid = kvm->userspace_pid;
		__entry->vcpu_id = vcpu_id;
		__entry->port = port;
		__entry->what = what;
	),

	TP_printk("pid %d vcpu %u port %u: %s, %llu ns late",
		  __entry->pid, __entry->vcpu_id, __entry->port,
		  __print_symbolic(__entry->what,
				   { KVM_XEN_RS_TIMER_IN_TIME, "in time" },
				   { KVM_XEN_RS_TIMER_DEFERRED, "left to the vCPU" },
				   { KVM_XEN_RS_TIMER_LATER, "delivered by the vCPU" },
				   { KVM_XEN_RS_TIMER_AGAIN, "set again" },
				   { KVM_XEN_RS_TIMER_NO_PORT, "no such port" }),
		  __entry->ns)
);

DEFINE_EVENT_PRINT(kvm_xen_rs_vcpu, kvm_xen_poll,
	TP_PROTO(struct kvm *kvm, u32 vcpu_id, u32 port, u32 what, u64 ns),
	TP_ARGS(kvm, vcpu_id, port, what, ns),

	TP_printk("pid %d vcpu %u port %d: %s, %llu ns",
		  __entry->pid, __entry->vcpu_id, (int)__entry->port,
		  __print_symbolic(__entry->what,
				   { KVM_XEN_RS_POLL_BEGINS, "begins" },
				   { KVM_XEN_RS_POLL_PENDING, "pending already" },
				   { KVM_XEN_RS_POLL_WOKEN, "woken" },
				   { KVM_XEN_RS_POLL_TIMED_OUT, "timed out" },
				   { KVM_XEN_RS_POLL_OTHER, "ends otherwise" }),
		  __entry->ns)
);

DEFINE_EVENT(kvm_xen_rs_vcpu, kvm_xen_timer,
	TP_PROTO(struct kvm *kvm, u32 vcpu_id, u32 port, u32 what, u64 ns),
	TP_ARGS(kvm, vcpu_id, port, what, ns)
);

TRACE_EVENT(kvm_xen_refresh,
	TP_PROTO(struct gfn_to_pfn_cache *gpc, s32 error),
	TP_ARGS(gpc, error),

	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, gpa)
		__field(u64, uhva)
		__field(pid_t, pid)
		__field(s32, error)
		__field(u32, shared_info)
	),

	TP_fast_assign(
		__entry->vm = (unsigned long)gpc->kvm;
		__entry->gpa = gpc->gpa;
		__entry->uhva = gpc->uhva;
		__entry->pid = gpc->kvm->userspace_pid;
		__entry->error = error;
		__entry->shared_info = gpc == &gpc->kvm->arch.xen.shinfo_cache;
	),

	TP_printk("pid %d %s at gpa 0x%llx, uhva 0x%llx: %d",
		  __entry->pid, __entry->shared_info ? "shared_info" : "a vCPU's page",
		  __entry->gpa, __entry->uhva, __entry->error)
);

#endif /* __KVM_XEN_RS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE kvm_xen_rs_trace

/* This part must be outside protection. */
#include <trace/define_trace.h>
