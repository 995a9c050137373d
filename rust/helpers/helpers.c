// SPDX-License-Identifier: GPL-2.0

#include <linux/module.h>
#include <linux/sched/stat.h>
#include <linux/srcu.h>

#include "kvm_xen_rs_helpers.h"

MODULE_INFO(livepatch, "Y");
MODULE_VERSION(KVM_XEN_RS_VERSION);

int kvm_xen_rs_srcu_read_lock(struct srcu_struct *ssp)
{
	return srcu_read_lock(ssp);
}

void kvm_xen_rs_srcu_read_unlock(struct srcu_struct *ssp, int idx)
{
	srcu_read_unlock(ssp, idx);
}

int kvm_xen_rs_srcu_read_lock_held(const struct srcu_struct *ssp)
{
	return srcu_read_lock_held(ssp);
}

bool kvm_xen_rs_read_trylock_irqsave(rwlock_t *lock, unsigned long *flags)
{
	local_irq_save(*flags);
	if (read_trylock(lock))
		return true;

	local_irq_restore(*flags);
	return false;
}

unsigned long kvm_xen_rs_read_lock_irqsave(rwlock_t *lock)
{
	unsigned long flags;

	read_lock_irqsave(lock, flags);
	return flags;
}

void kvm_xen_rs_read_unlock_irqrestore(rwlock_t *lock, unsigned long flags)
{
	read_unlock_irqrestore(lock, flags);
}

bool kvm_xen_rs_sched_info_on(void)
{
	return sched_info_on();
}

unsigned int kvm_xen_rs_req_masterclock_update(void)
{
	return KVM_REQ_MASTERCLOCK_UPDATE;
}

unsigned int kvm_xen_rs_req_clock_update(void)
{
	return KVM_REQ_CLOCK_UPDATE;
}
