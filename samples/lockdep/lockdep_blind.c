// SPDX-License-Identifier: GPL-2.0
/*
 * Deadlocks that lockdep does not report, as a read-side critical section of SRCU is beside.
 *
 * Tasks that take these locks deadlock if each gets as far as its first one. Here one task takes
 * them in all of these orders, one after the other, so that nobody waits: lockdep goes by the
 * orders that it has seen. To insert the module with form=NAME does that; with control=1 too, it is
 * the same without what makes lockdep miss it, and lockdep reports it. It switches itself off with
 * that, so that is one in a boot. Where it misses a form, the module can be removed, by which its
 * lock classes go, and inserted again with another one.
 *
 * Documentation/locking.rst has why, of each.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debug_locks.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/srcu.h>
#include <linux/string.h>

static char *form = "section_between";
module_param(form, charp, 0444);
MODULE_PARM_DESC(form, "section_between, reader_first, reader_on_the_way, unchecked_reader or barrier");

static bool control;
module_param(control, bool, 0444);
MODULE_PARM_DESC(control, "leave out what makes lockdep miss it");

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_MUTEX(third);
DEFINE_STATIC_SRCU(srcu);

static void nest(struct mutex *outer, struct mutex *inner)
{
	mutex_lock(outer);
	mutex_lock(inner);
	mutex_unlock(inner);
	mutex_unlock(outer);
}

static void read_inside(struct mutex *outer)
{
	mutex_lock(outer);
	srcu_read_unlock(&srcu, srcu_read_lock(&srcu));
	mutex_unlock(outer);
}

static void lock_in_reader(struct mutex *inner)
{
	int idx = srcu_read_lock(&srcu);

	mutex_lock(inner);
	mutex_unlock(inner);
	srcu_read_unlock(&srcu, idx);
}

static void wait_inside(struct mutex *outer, void (*wait)(struct srcu_struct *ssp))
{
	mutex_lock(outer);
	wait(&srcu);
	mutex_unlock(outer);
}

/*
 * Two mutexes in both orders. A section inside of the outer one hides that it is held when the
 * inner one is taken.
 */
static void section_between(void)
{
	mutex_lock(&first);
	if (control) {
		mutex_lock(&second);
		mutex_unlock(&second);
	} else {
		lock_in_reader(&second);
	}
	mutex_unlock(&first);

	nest(&second, &first);
}

/*
 * Who is in the section waits for first; its holder waits for second; its holder waits for
 * readers. A reader inside of first, which does no harm, hides the last step.
 */
static void reader_first(void)
{
	if (!control)
		read_inside(&first);
	nest(&first, &second);
	wait_inside(&second, synchronize_srcu);

	lock_in_reader(&first);
}

/*
 * Three mutexes in a circle. Two readers, which do no harm, hide it: one inside of first, and one
 * that takes third.
 */
static void reader_on_the_way(void)
{
	if (!control) {
		read_inside(&first);
		lock_in_reader(&third);
	}
	nest(&first, &second);
	nest(&second, &third);

	nest(&third, &first);
}

/*
 * Who is in the section waits for a mutex, and its holder for readers. They are readers that may be
 * in an NMI as well, which lockdep does not check; nor does it those of srcu_read_lock_fast().
 */
static void unchecked_reader(void)
{
	wait_inside(&first, synchronize_srcu);

	if (control) {
		lock_in_reader(&first);
	} else {
		int idx = srcu_read_lock_nmisafe(&srcu);

		mutex_lock(&first);
		mutex_unlock(&first);
		srcu_read_unlock_nmisafe(&srcu, idx);
	}
}

/* The same with srcu_barrier(), which waits for readers where there is a callback to wait for. */
static void barrier_inside(void)
{
	wait_inside(&first, control ? synchronize_srcu : srcu_barrier);

	lock_in_reader(&first);
}

static const struct {
	const char *name;
	void (*run)(void);
} forms[] = {
	{ "section_between", section_between },
	{ "reader_first", reader_first },
	{ "reader_on_the_way", reader_on_the_way },
	{ "unchecked_reader", unchecked_reader },
	{ "barrier", barrier_inside },
};

static int __init lockdep_blind_init(void)
{
	for (int i = 0; i < ARRAY_SIZE(forms); i++) {
		if (strcmp(forms[i].name, form))
			continue;
		if (!IS_ENABLED(CONFIG_PROVE_LOCKING) || !debug_locks) {
			pr_err("there is no lockdep, or it has reported something before\n");
			return -EOPNOTSUPP;
		}
		forms[i].run();
		pr_info("%s%s: lockdep %s\n", form, control ? ", control" : "",
			debug_locks ? "is silent" : "reports it");
		return 0;
	}
	return -EINVAL;
}
module_init(lockdep_blind_init);

static void __exit lockdep_blind_exit(void)
{
}
module_exit(lockdep_blind_exit);

MODULE_DESCRIPTION("Deadlocks beside an SRCU reader that lockdep does not report");
MODULE_AUTHOR("The kvm-xen-rs developers");
MODULE_LICENSE("GPL");
