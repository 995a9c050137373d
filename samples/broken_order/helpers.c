// SPDX-License-Identifier: GPL-2.0

#include "helpers.h"

int kvm_xen_broken_order_srcu_read_lock(struct srcu_struct *ssp)
{
	return srcu_read_lock(ssp);
}

void kvm_xen_broken_order_srcu_read_unlock(struct srcu_struct *ssp, int idx)
{
	srcu_read_unlock(ssp, idx);
}

void kvm_xen_broken_order_read_lock_irqsave(rwlock_t *lock, unsigned long *flags)
{
	read_lock_irqsave(lock, *flags);
}

void kvm_xen_broken_order_read_unlock_irqrestore(rwlock_t *lock, unsigned long flags)
{
	read_unlock_irqrestore(lock, flags);
}
