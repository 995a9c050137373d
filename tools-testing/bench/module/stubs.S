/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each goes on where its word of kvm_xen_detour_to says, with the registers
 * and the stack as they are. By a return, as a jump may not lead into the
 * middle of a function; a processor that predicts returns is wrong about it.
 */

#include <linux/linkage.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

.macro detour name
SYM_FUNC_START(kvm_xen_detour_\name)
	ENDBR
	pushq	kvm_xen_detour_to + 8 * at(%rip)
	UNWIND_HINT_FUNC
	ANNOTATE_UNRET_SAFE
	ret
SYM_FUNC_END(kvm_xen_detour_\name)
	.set	at, at + 1
.endm

	.text
	.set	at, 0
#define DETOUR(_name) detour _name;
#include "detours.h"
