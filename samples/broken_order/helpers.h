/* SPDX-License-Identifier: GPL-2.0 */
/* Inline functions and macros that the mistakes take, as functions that Rust can call. */
#ifndef __KVM_XEN_BROKEN_ORDER_HELPERS_H
#define __KVM_XEN_BROKEN_ORDER_HELPERS_H

#include <linux/spinlock.h>
#include <linux/srcu.h>

int kvm_xen_broken_order_srcu_read_lock(struct srcu_struct *ssp);
void kvm_xen_broken_order_srcu_read_unlock(struct srcu_struct *ssp, int idx);
void kvm_xen_broken_order_read_lock_irqsave(rwlock_t *lock, unsigned long *flags);
void kvm_xen_broken_order_read_unlock_irqrestore(rwlock_t *lock, unsigned long flags);

#endif /* __KVM_XEN_BROKEN_ORDER_HELPERS_H */
