// SPDX-License-Identifier: GPL-2.0

//! Whether a kvm.ko is the one that the module was built for.
//!
//! The module reads and writes structures that kvm.ko keeps to itself, so another build of it will
//! not do. Where the build had kvm.ko at hand, the post-link step has put its build id into
//! [`EXPECTED`]. The other one is looked for in the memory of the module that is loaded: the note
//! is in its read-only data, also while it is being loaded, when sysfs has nothing of it yet.

use super::notes::build_ids;
use crate::bindings;
use core::{arch::asm, ptr::NonNull};
use kernel::{ffi::c_int, fmt, prelude::*};

/// The longest build id that there is room for, in bytes.
const MAX: usize = 32;

/// The length of the build id of kvm.ko, or 0 if it was not known; then the id.
///
/// `klp-link --build-id` writes it, and finds it by the section.
#[link_section = ".kvm_build_id"]
static EXPECTED: [u8; 1 + MAX] = [0; 1 + MAX];

/// Bytes as they are written.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    // Out of line, as the kernel's formatting has another one around it.
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A copy of memory that has gaps between its objects. KASAN would report a read of the gaps, but
/// does not see assembly. May sleep.
///
/// # Safety
///
/// There are `len` bytes of memory at `from`, which do not change.
///
/// # Errors
///
/// `ENOMEM`.
unsafe fn copy(from: NonNull<u8>, len: usize) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::with_capacity(len, GFP_KERNEL)?;
    let to: *mut u8 = bytes.spare_capacity_mut().as_mut_ptr().cast();
    // SAFETY: By the safety requirement, and there is room for as many at `to`. The direction flag
    // is clear, as it is in all functions.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") from.as_ptr() => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        )
    };
    // SAFETY: So many were asked for, and have just been written.
    unsafe { bytes.inc_len(len) };
    Ok(bytes)
}

/// Checks the module that is about to be patched. May sleep.
///
/// # Safety
///
/// `object` is that of a patch of a module, as the livepatch core gives it to a callback before it
/// patches.
///
/// # Errors
///
/// `ENOEXEC` when it is another build than was expected; `ENOMEM`. They are negative numbers.
pub(super) unsafe fn check(object: *const bindings::klp_object) -> Result<(), c_int> {
    // SAFETY: The array is there, and nothing writes to it once the module is loaded. Volatile, as
    // the compiler knows another value than klp-link writes to the file.
    let expected = unsafe { (&raw const EXPECTED).read_volatile() };
    let [len, bytes @ ..] = &expected;
    let Some(expected) = bytes.get(..usize::from(*len)).filter(|id| !id.is_empty()) else {
        return Ok(());
    };
    // SAFETY: By the safety requirement it is an object that the core, which calls, has locked
    // (`klp_mutex`).
    let patched = unsafe { (*object).mod_ };
    // SAFETY: The object has its module, which the core does not let go meanwhile: `klp_module_going()`
    // takes `klp_mutex`. Where a module's memory is does not change once it is on the way.
    let memory = unsafe { &(*patched).mem };
    let Some(rodata) = memory.get(bindings::mod_mem_type_MOD_RODATA as usize) else {
        return Ok(());
    };
    let Some(base) = NonNull::new(rodata.base.cast()) else {
        return Ok(());
    };
    // SAFETY: It is read-only from before the module is on the way ("coming") until it is gone.
    let rodata = unsafe { copy(base, rodata.size as usize) };
    let rodata = rodata.map_err(|error| error.to_errno())?;
    if build_ids(&rodata).any(|id| id == expected) {
        return Ok(());
    }
    let found = build_ids(&rodata).next().unwrap_or(&[]);
    pr_err!(
        "kvm.ko is another one than this module was built for: build id {}, not {}\n",
        Hex(found),
        Hex(expected)
    );
    Err(ENOEXEC.to_errno())
}
