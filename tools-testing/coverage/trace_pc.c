// SPDX-License-Identifier: GPL-2.0
/*
 * Which places of the module's Rust have run, in a module that is built by
 * "make modules COVERAGE=1". LLVM has put a call of __sanitizer_cov_trace_pc()
 * into each basic block, which is known by the address that it returns to.
 *
 * CONFIG_KCOV has a function of that name, which a stock kernel lacks. It notes
 * what a task runs. This one notes what anybody runs, in interrupts too.
 */

#include <linux/export.h>
#include <linux/instruction_pointer.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

/* More than the module has of either code. What does not fit has not run. */
#define KVM_XEN_RS_COVERED (256 * 1024)

/* One byte for each of code: of the module's, then of its initialization's. */
static u8 kvm_xen_rs_ran[2 * KVM_XEN_RS_COVERED];

/* Where that is. It is read through /proc/kcore, before the module is removed. */
static unsigned long coverage = (unsigned long)kvm_xen_rs_ran;
module_param(coverage, ulong, 0400);

void notrace __sanitizer_cov_trace_pc(void);

/* The address that is returned to may be the end of the code, never its beginning. */
#define NOTE(type, ran) do {							\
	const struct module_memory *code = &THIS_MODULE->mem[type];		\
	unsigned long at = _RET_IP_ - (unsigned long)code->base;		\
										\
	if (code->base && at <= code->size && at < KVM_XEN_RS_COVERED)		\
		WRITE_ONCE(*((ran) + at), 1);					\
} while (0)

void notrace __sanitizer_cov_trace_pc(void)
{
	NOTE(MOD_TEXT, kvm_xen_rs_ran);
	NOTE(MOD_INIT_TEXT, kvm_xen_rs_ran + KVM_XEN_RS_COVERED);
}
