// SPDX-License-Identifier: GPL-2.0
/* Makes the module's own tracepoints, and the functions that Rust calls them by. */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "kvm_xen_rs_trace.h"
