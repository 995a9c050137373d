/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the kernel's own headers, KVM's private ones among
 * them, and nothing copied from either. Kbuild takes out again every type
 * that the kernel crate has bindings for.
 */
#ifndef __KVM_XEN_RS_H
#define __KVM_XEN_RS_H

/* An enum first named in a prototype would get the wrong Rust type. */
#include <linux/hrtimer_types.h>

#include <linux/eventfd.h>
#include <linux/idr.h>
#include <linux/jump_label_ratelimit.h>
#include <linux/kthread.h>
#include <linux/kvm_host.h>
#include <linux/livepatch.h>
#include <linux/srcu.h>

#include <xen/interface/xen.h>
#include <xen/interface/event_channel.h>
#include <xen/interface/sched.h>
#include <xen/interface/vcpu.h>
#include <xen/interface/version.h>

#include "hyperv.h"
#include "lapic.h"
#include "x86.h"
#include "xen.h"
#include "trace.h"

#include "kvm_xen_rs_helpers.h"
#include "kvm_xen_rs_trace.h"

#endif /* __KVM_XEN_RS_H */
