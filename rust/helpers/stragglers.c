// SPDX-License-Identifier: GPL-2.0
/*
 * What livepatch/stragglers.rs can't do itself: work each second that can be
 * cancelled, which the kernel crate's can't, and a task's flags. All of it is for
 * the time of a transition, hence cold.
 */

#include <linux/kvm_host.h>
#include <linux/livepatch.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "kvm_xen_rs_helpers.h"

static void stragglers_work_fn(struct work_struct *work);
static DECLARE_DELAYED_WORK(stragglers_work, stragglers_work_fn);

static void __cold stragglers_work_fn(struct work_struct *work)
{
	kvm_xen_rs_stragglers_interrupt();
	schedule_delayed_work(&stragglers_work, HZ);
}

void __cold kvm_xen_rs_stragglers_begin(void)
{
	schedule_delayed_work(&stragglers_work, HZ);
}

void __cold kvm_xen_rs_stragglers_end(void)
{
	cancel_delayed_work_sync(&stragglers_work);
}

/*
 * As livepatch does it, but for waking the task: the caller kicks the vCPU, and
 * so only wakes one that sleeps in KVM_RUN.
 */
bool __cold kvm_xen_rs_signal_straggler(struct kvm_vcpu *vcpu)
{
	struct task_struct *task;
	bool pending;

	rcu_read_lock();
	read_lock(&vcpu->pid_lock);
	task = pid_task(vcpu->pid, PIDTYPE_PID);
	read_unlock(&vcpu->pid_lock);
	pending = task && klp_patch_pending(task);
	if (pending)
		set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
	rcu_read_unlock();

	return pending;
}
