/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What C keeps to itself in macros and inline functions, as functions that
 * Rust can call. Each does the one thing its name says and nothing else.
 */
#ifndef __KVM_XEN_RS_HELPERS_H
#define __KVM_XEN_RS_HELPERS_H

#include <linux/idr.h>
#include <linux/jump_label_ratelimit.h>
#include <linux/kvm_host.h>

/* Where locks are left to C: see Kbuild. */
int kvm_xen_rs_srcu_read_lock(struct srcu_struct *ssp);
void kvm_xen_rs_srcu_read_unlock(struct srcu_struct *ssp, int idx);

/* Below 0, where it can't be told. */
int kvm_xen_rs_mutex_is_held(struct mutex *mutex);
int kvm_xen_rs_srcu_is_held(struct srcu_struct *ssp);
bool kvm_xen_rs_preempt_off(void);
bool kvm_xen_rs_irqs_off(void);
bool kvm_xen_rs_in_hardirq(void);
bool kvm_xen_rs_in_softirq(void);
void kvm_xen_rs_might_sleep(void);
void kvm_xen_rs_contradict(unsigned int level, bool inside);

void kvm_xen_rs_read_lock_irqsave(rwlock_t *lock, unsigned long *flags);
bool kvm_xen_rs_read_trylock_irqsave(rwlock_t *lock, unsigned long *flags);
void kvm_xen_rs_read_unlock_irqrestore(rwlock_t *lock, unsigned long flags);
void kvm_xen_rs_write_lock_irq(rwlock_t *lock);
void kvm_xen_rs_write_unlock_irq(rwlock_t *lock);

#define KVM_XEN_RS_SENDER_SIZE 24
void *kvm_xen_rs_alloc_sender(void);
void kvm_xen_rs_idr_take(struct idr *from, struct idr *taken);

unsigned int kvm_xen_rs_req_clock_update(void);

void kvm_xen_rs_static_branch_inc(struct static_key_false_deferred *key);
void kvm_xen_rs_static_branch_dec_deferred(struct static_key_false_deferred *key);
bool kvm_xen_rs_may_sleep(void);
bool kvm_xen_rs_may_try_lock(void);
bool kvm_xen_rs_has_constant_tsc(void);
void kvm_xen_rs_hrtimer_restart(struct hrtimer *timer);
bool kvm_xen_rs_hv_hypercall_enabled(struct kvm_vcpu *vcpu);
void kvm_xen_rs_set_mp_state(struct kvm_vcpu *vcpu, int mp_state);
void kvm_xen_rs_vcpu_srcu_read_lock(struct kvm_vcpu *vcpu);
void kvm_xen_rs_vcpu_srcu_read_unlock(struct kvm_vcpu *vcpu);
void __percpu *kvm_xen_rs_trace_enter(void);
void kvm_xen_rs_trace_exit(void __percpu *section);

/* Rust's, for C to call each second between the other two. */
void kvm_xen_rs_stragglers_interrupt(void);
void kvm_xen_rs_stragglers_begin(void);
void kvm_xen_rs_stragglers_end(void);
bool kvm_xen_rs_signal_straggler(struct kvm_vcpu *vcpu);

void kvm_xen_rs_init_vm_locks(struct kvm_xen *xen);
void kvm_xen_rs_init_poll_timer(struct timer_list *timer,
				void (*function)(struct timer_list *));

#endif /* __KVM_XEN_RS_HELPERS_H */
