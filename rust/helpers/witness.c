// SPDX-License-Identifier: GPL-2.0
/*
 * What lockdep and the scheduler know of the current task. Called on kernels
 * with CONFIG_PROVE_LOCKING alone.
 */

#include <linux/debug_locks.h>
#include <linux/hardirq.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/srcu.h>

#include "kvm_xen_rs_helpers.h"

int kvm_xen_rs_mutex_is_held(struct mutex *mutex)
{
#ifdef CONFIG_LOCKDEP
	if (debug_locks)
		return lockdep_is_held(mutex) == LOCK_STATE_HELD;
#endif
	return -1;
}

int kvm_xen_rs_srcu_is_held(struct srcu_struct *ssp)
{
#ifdef CONFIG_LOCKDEP
	if (debug_locks)
		return !!srcu_read_lock_held(ssp);
#endif
	return -1;
}

bool kvm_xen_rs_preempt_off(void)
{
	return preempt_count();
}

bool kvm_xen_rs_irqs_off(void)
{
	return irqs_disabled();
}

bool kvm_xen_rs_in_hardirq(void)
{
	return in_hardirq();
}

bool kvm_xen_rs_in_softirq(void)
{
	return in_serving_softirq();
}

void kvm_xen_rs_might_sleep(void)
{
	might_sleep();
}

void kvm_xen_rs_contradict(unsigned int level, bool inside)
{
	static unsigned long told;

	if (level < BITS_PER_LONG && !test_and_set_bit(level, &told))
		WARN(1, "kvm_xen_rs: called %s level %u of rust/sync/order.rs\n",
		     inside ? "outside of" : "inside of", level);
}
