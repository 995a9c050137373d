// SPDX-License-Identifier: GPL-2.0
//! What this machine's CPU has for hypercalls.

use std::arch::x86_64::__cpuid;

use super::guest_code::Entry;

/// The instruction that makes a hypercall here: guest code with it, and its bytes.
pub fn hypercall_instruction() -> (Entry, [u8; 3]) {
    // SAFETY: every 64-bit x86 CPU has leaf 0.
    let leaf = unsafe { __cpuid(0) };
    let mut vendor = Vec::new();
    for word in [leaf.ebx, leaf.edx, leaf.ecx] {
        vendor.extend_from_slice(&word.to_le_bytes());
    }
    match &vendor[..] {
        b"AuthenticAMD" | b"HygonGenuine" => (Entry::Vmmcall, [0x0f, 0x01, 0xd9]),
        _ => (Entry::Vmcall, [0x0f, 0x01, 0xc1]),
    }
}
