// SPDX-License-Identifier: GPL-2.0
/*
 * Locks that Rust initializes in KVM's objects.
 *
 * On a kernel with lockdep a lock points to its class's key and name, and VMs
 * outlive this module: so those are not the module's. They are allocated at
 * its first use, and stay for good; a kernel without lockdep has none.
 *
 * A module that is loaded again does not find them: a VM that still points to
 * them, if there is one, does not say so. So each time that a VM is created
 * after the module was loaded takes three of lockdep's keys, of 8192
 * (MAX_LOCKDEP_KEYS) for all classes of a machine. That is for two thousand
 * loads at least, on a debug kernel; lockdep then switches itself off.
 */

#include <linux/idr.h>
#include <linux/kvm_host.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/timer.h>

#include "kvm_xen_rs_helpers.h"

#ifdef CONFIG_LOCKDEP
#include <linux/kmemleak.h>

struct lasting_class {
	struct lock_class_key key;
	char name[40];
};

/*
 * The class in *slot, made if need be. May sleep, and does not fail: any class
 * that could be used in its place has a name that must last as long.
 */
static struct lasting_class *lasting_class(struct lasting_class **slot, const char *name)
{
	struct lasting_class *class = smp_load_acquire(slot);

	if (class)
		return class;

	class = kzalloc(sizeof(*class), GFP_KERNEL | __GFP_NOFAIL);
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

#define LASTING_CLASS(_name)						\
({									\
	static struct lasting_class *__class;				\
	lasting_class(&__class, _name);					\
})

#define SET_LASTING_CLASS(_lock, _name)					\
do {									\
	struct lasting_class *class = LASTING_CLASS(_name);		\
									\
	lockdep_set_class_and_name(_lock, &class->key, class->name);	\
} while (0)
#else
#define SET_LASTING_CLASS(_lock, _name) do { } while (0)
#endif

void kvm_xen_rs_init_vm_locks(struct kvm_xen *xen)
{
	/* What these leave to be filled in is the lock's class alone. */
	mutex_init(&xen->xen_lock);
	idr_init(&xen->evtchn_ports);

	SET_LASTING_CLASS(&xen->xen_lock, "&kvm->arch.xen.xen_lock");
	SET_LASTING_CLASS(&xen->evtchn_ports.idr_rt.xa_lock, "&kvm->arch.xen.evtchn_ports");
}

void kvm_xen_rs_init_poll_timer(struct timer_list *timer,
				void (*function)(struct timer_list *))
{
#ifdef CONFIG_LOCKDEP
	struct lasting_class *class = LASTING_CLASS("&vcpu->arch.xen.poll_timer");

	timer_init_key(timer, function, 0, class->name, &class->key);
#else
	timer_init_key(timer, function, 0, NULL, NULL);
#endif
}
