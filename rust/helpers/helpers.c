// SPDX-License-Identifier: GPL-2.0

#include <linux/idr.h>
#include <linux/jump_label_ratelimit.h>
#include <linux/module.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/tracepoint.h>

#include "hyperv.h"
#include "x86.h"

#include "kvm_xen_rs_helpers.h"

MODULE_INFO(livepatch, "Y");
MODULE_VERSION(KVM_XEN_RS_VERSION);

#ifdef KVM_XEN_RS_LOCKS_BY_C
int kvm_xen_rs_srcu_read_lock(struct srcu_struct *ssp)
{
	return srcu_read_lock(ssp);
}

void kvm_xen_rs_srcu_read_unlock(struct srcu_struct *ssp, int idx)
{
	srcu_read_unlock(ssp, idx);
}

bool kvm_xen_rs_read_trylock_irqsave(rwlock_t *lock, unsigned long *flags)
{
	/*
	 * A lock that sleeps leaves interrupts alone. Its release may enable
	 * them, so that it must not be tried where they are off.
	 */
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		*flags = 0;
		return read_trylock(lock);
	}
	local_irq_save(*flags);
	if (read_trylock(lock))
		return true;

	local_irq_restore(*flags);
	return false;
}

void kvm_xen_rs_read_unlock_irqrestore(rwlock_t *lock, unsigned long flags)
{
	read_unlock_irqrestore(lock, flags);
}

void kvm_xen_rs_read_lock_irqsave(rwlock_t *lock, unsigned long *flags)
{
	read_lock_irqsave(lock, *flags);
}
#endif /* KVM_XEN_RS_LOCKS_BY_C */

void kvm_xen_rs_write_lock_irq(rwlock_t *lock)
{
	write_lock_irq(lock);
}

void kvm_xen_rs_write_unlock_irq(rwlock_t *lock)
{
	write_unlock_irq(lock);
}

/*
 * Leaves @from empty. For one whom nobody else changes it beside; readers may
 * still be in the nodes, which are freed by RCU after idr_destroy().
 */
void kvm_xen_rs_idr_take(struct idr *from, struct idr *taken)
{
	idr_init(taken);
	taken->idr_rt.xa_flags = from->idr_rt.xa_flags;
	RCU_INIT_POINTER(taken->idr_rt.xa_head, from->idr_rt.xa_head);
	RCU_INIT_POINTER(from->idr_rt.xa_head, NULL);
	from->idr_rt.xa_flags = IDR_RT_MARKER;
	idr_set_cursor(from, 0);
}

/* As C allocates struct evtchnfd; Rust checks the size. */
void *kvm_xen_rs_alloc_sender(void)
{
	return kmalloc(KVM_XEN_RS_SENDER_SIZE, GFP_KERNEL);
}

unsigned int kvm_xen_rs_req_clock_update(void)
{
	return KVM_REQ_CLOCK_UPDATE;
}

void kvm_xen_rs_static_branch_inc(struct static_key_false_deferred *key)
{
	static_branch_inc(&key->key);
}

void kvm_xen_rs_static_branch_dec_deferred(struct static_key_false_deferred *key)
{
	static_branch_slow_dec_deferred(key);
}

bool kvm_xen_rs_may_sleep(void)
{
	return !in_atomic() && task_is_running(current);
}

#ifdef CONFIG_PREEMPT_RT
bool kvm_xen_rs_may_try_lock(void)
{
	return preemptible();
}
#endif

bool kvm_xen_rs_has_constant_tsc(void)
{
	return boot_cpu_has(X86_FEATURE_CONSTANT_TSC);
}

void kvm_xen_rs_hrtimer_restart(struct hrtimer *timer)
{
	hrtimer_start_expires(timer, HRTIMER_MODE_ABS_HARD);
}

bool kvm_xen_rs_hv_hypercall_enabled(struct kvm_vcpu *vcpu)
{
	return kvm_hv_hypercall_enabled(vcpu);
}

void kvm_xen_rs_set_mp_state(struct kvm_vcpu *vcpu, int mp_state)
{
	kvm_set_mp_state(vcpu, mp_state);
}

void kvm_xen_rs_vcpu_srcu_read_lock(struct kvm_vcpu *vcpu)
{
	kvm_vcpu_srcu_read_lock(vcpu);
}

void kvm_xen_rs_vcpu_srcu_read_unlock(struct kvm_vcpu *vcpu)
{
	kvm_vcpu_srcu_read_unlock(vcpu);
}

void __percpu *kvm_xen_rs_trace_enter(void)
{
	return srcu_read_lock_fast_notrace(&tracepoint_srcu);
}

void kvm_xen_rs_trace_exit(void __percpu *section)
{
	srcu_read_unlock_fast_notrace(&tracepoint_srcu, section);
}
