/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What C keeps to itself in macros and inline functions, as functions that
 * Rust can call. Each does the one thing its name says and nothing else.
 */
#ifndef __KVM_XEN_RS_HELPERS_H
#define __KVM_XEN_RS_HELPERS_H

#include <linux/kvm_host.h>

int kvm_xen_rs_srcu_read_lock(struct srcu_struct *ssp);
void kvm_xen_rs_srcu_read_unlock(struct srcu_struct *ssp, int idx);
int kvm_xen_rs_srcu_read_lock_held(const struct srcu_struct *ssp);

bool kvm_xen_rs_read_trylock_irqsave(rwlock_t *lock, unsigned long *flags);
unsigned long kvm_xen_rs_read_lock_irqsave(rwlock_t *lock);
void kvm_xen_rs_read_unlock_irqrestore(rwlock_t *lock, unsigned long flags);

bool kvm_xen_rs_sched_info_on(void);
unsigned int kvm_xen_rs_req_masterclock_update(void);
unsigned int kvm_xen_rs_req_clock_update(void);

#endif /* __KVM_XEN_RS_HELPERS_H */
