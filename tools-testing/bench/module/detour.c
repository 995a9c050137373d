// SPDX-License-Identifier: GPL-2.0
/*
 * What a livepatch costs by itself: one that replaces the functions that
 * kvm_xen_rs.ko does, each by a jump behind the place where the original calls
 * the livepatch. All that it adds to a call is livepatch's.
 */

#include <linux/ftrace.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <asm/ibt.h>

enum {
#define DETOUR(_name) AT_##_name,
#include "detours.h"
#undef DETOUR
	DETOURS
};

/* Where each goes on. */
unsigned long kvm_xen_detour_to[DETOURS];

#define DETOUR(_name) void kvm_xen_detour_##_name(void);
#include "detours.h"
#undef DETOUR

static struct klp_func funcs[DETOURS + 1] = {
#define DETOUR(_name) { .old_name = #_name, .new_func = kvm_xen_detour_##_name },
#include "detours.h"
#undef DETOUR
};

/* KVM is there, but does not come here yet. */
static int pre_patch(struct klp_object *object)
{
	int i;

	for (i = 0; i < DETOURS; i++) {
		unsigned long old = (unsigned long)funcs[i].old_func;

		if (__is_endbr(*(u32 *)old))
			old += ENDBR_INSN_SIZE;
		kvm_xen_detour_to[i] = old + MCOUNT_INSN_SIZE;
	}
	return 0;
}

static struct klp_object objects[] = {
	{ .name = "kvm", .funcs = funcs, .callbacks.pre_patch = pre_patch },
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init detour_init(void)
{
	return klp_enable_patch(&patch);
}

/* For it to be removable. */
static void __exit detour_exit(void)
{
}

module_init(detour_init);
module_exit(detour_exit);
MODULE_DESCRIPTION("KVM's Xen code behind a livepatch that changes nothing");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
