/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the kernel's public headers. None of KVM's
 * private ones is needed.
 */
#ifndef __KVM_XEN_BROKEN_ORDER_H
#define __KVM_XEN_BROKEN_ORDER_H

/* An enum first named in a prototype would get the wrong Rust type. */
#include <linux/hrtimer_types.h>

#include <linux/kallsyms.h>
#include <linux/kvm_host.h>

#include "helpers.h"

const size_t RUST_CONST_HELPER_KSYM_SYMBOL_LEN = KSYM_SYMBOL_LEN;

#endif /* __KVM_XEN_BROKEN_ORDER_H */
