// SPDX-License-Identifier: GPL-2.0
/*
 * Locks that Rust initializes in KVM's objects.
 *
 * On a kernel with lockdep a lock points to its class's key and name, and VMs
 * outlive this module: so those are not the module's. They are allocated at
 * its first use, and stay for good; a kernel without lockdep has none.
 */

#include <linux/idr.h>
#include <linux/kvm_host.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/timer.h>

#include "kvm_xen_rs_helpers.h"

struct lasting_class {
	struct lock_class_key key;
	char name[40];
};

#ifdef CONFIG_LOCKDEP
#include <linux/kmemleak.h>

/* The class in *slot, made if need be; NULL without memory. */
static struct lasting_class *lasting_class(struct lasting_class **slot, const char *name)
{
	struct lasting_class *class = smp_load_acquire(slot);

	if (class)
		return class;

	class = kzalloc(sizeof(*class), GFP_KERNEL);
	if (!class)
		return NULL;

	strscpy(class->name, name, sizeof(class->name));
	lockdep_register_key(&class->key);
	if (cmpxchg(slot, NULL, class)) {
		lockdep_unregister_key(&class->key);
		kfree(class);
		return smp_load_acquire(slot);
	}
	kmemleak_not_leak(class);
	return class;
}

#define LASTING_CLASS(_name)							\
({									\
	static struct lasting_class *__class;				\
	lasting_class(&__class, _name);					\
})
#else
#define LASTING_CLASS(_name) ((struct lasting_class *)NULL)
#endif

void kvm_xen_rs_init_vm_locks(struct kvm_xen *xen)
{
	struct lasting_class *class;

	/* What these leave to be filled in is the lock's class alone. */
	mutex_init(&xen->xen_lock);
	idr_init(&xen->evtchn_ports);

	class = LASTING_CLASS("&kvm->arch.xen.xen_lock");
	if (class)
		lockdep_set_class_and_name(&xen->xen_lock, &class->key, class->name);
	else
		lockdep_set_novalidate_class(&xen->xen_lock);

	class = LASTING_CLASS("&kvm->arch.xen.evtchn_ports");
	if (class)
		lockdep_set_class_and_name(&xen->evtchn_ports.idr_rt.xa_lock,
					   &class->key, class->name);
	else
		lockdep_set_novalidate_class(&xen->evtchn_ports.idr_rt.xa_lock);
}

void kvm_xen_rs_init_poll_timer(struct timer_list *timer,
				void (*function)(struct timer_list *))
{
	struct lasting_class *class = LASTING_CLASS("&vcpu->arch.xen.poll_timer");

	timer_init_key(timer, function, 0, class ? class->name : NULL,
		       class ? &class->key : NULL);
}
