// SPDX-License-Identifier: GPL-2.0

//! Whether a kvm.ko is the one that the module was built for.
//!
//! The module reads and writes structures that kvm.ko keeps to itself, so another build of it will
//! not do. Where the build had kvm.ko at hand, the post-link step has put its build id into
//! [`EXPECTED`]. The other one is looked for in the memory of the module that is loaded: the note
//! is in its read-only data, also while it is being loaded, when sysfs has nothing of it yet.

use super::notes::build_ids;
use crate::bindings;
use core::slice;
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Checks the module that is about to be patched.
///
/// # Safety
///
/// `object` is that of a patch of a module, as the livepatch core gives it to a callback before it
/// patches.
///
/// # Errors
///
/// The negative of `ENOEXEC`, as a number, when it is another build than was expected.
pub(super) unsafe fn check(object: *const bindings::klp_object) -> Result<(), c_int> {
    // SAFETY: The array is there. Volatile, as the compiler has another value in mind than is in
    // the file that comes of it.
    let expected = unsafe { (&raw const EXPECTED).read_volatile() };
    let [len, bytes @ ..] = &expected;
    let Some(expected) = bytes.get(..usize::from(*len)).filter(|id| !id.is_empty()) else {
        return Ok(());
    };
    // SAFETY: By the safety requirement the object has its module, which the core does not let go
    // meanwhile: it holds `klp_mutex`, which `klp_module_going()` takes.
    let memory = unsafe { &(*(*object).mod_).mem };
    let Some(rodata) = memory.get(bindings::mod_mem_type_MOD_RODATA as usize) else {
        return Ok(());
    };
    // SAFETY: It is read-only from before the module is on the way ("coming") until it is gone.
    let rodata = unsafe { slice::from_raw_parts(rodata.base.cast::<u8>(), rodata.size as usize) };
    if build_ids(rodata).any(|id| id == expected) {
        return Ok(());
    }
    let found = build_ids(rodata).next().unwrap_or(&[]);
    pr_err!(
        "kvm.ko is another one than this module was built for: build id {}, not {}\n",
        Hex(found),
        Hex(expected)
    );
    Err(ENOEXEC.to_errno())
}
