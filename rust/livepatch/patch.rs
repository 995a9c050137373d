// SPDX-License-Identifier: GPL-2.0

//! A safe builder for `struct klp_patch`.
//!
//! [`livepatch!`](crate::livepatch!) makes a patch of one object from a list of functions, each
//! replaced by one of the same type: the types are those of the kernel's headers, so that a
//! replacement with another signature does not compile.
//!
//! C header: `include/linux/livepatch.h`; Documentation/livepatch/livepatch.rst.

use super::transition;
use crate::bindings;
use core::cell::UnsafeCell;
use kernel::{
    error::to_result,
    ffi::{c_char, c_void},
    prelude::*,
    str::CStr,
    sync::atomic::{Atomic, Relaxed},
};
use pin_init::zeroed;

/// One function replaced by another.
pub(crate) struct Replacement {
    old_name: &'static CStr,
    new_func: *mut c_void,
}

impl Replacement {
    /// Replaces the function `old_name` of the patched object.
    ///
    /// # Safety
    ///
    /// `new_func` is a function that may be called wherever the kernel calls `old_name`: of the
    /// same signature, with the same contract.
    pub(crate) const unsafe fn new(old_name: &'static CStr, new_func: *const ()) -> Self {
        Self {
            old_name,
            new_func: new_func.cast_mut().cast(),
        }
    }
}

/// A patch of one object, with room for `N` entries: the functions and the empty one that ends
/// them.
pub(crate) struct Patch<const N: usize> {
    /// How often it was to be enabled.
    calls: Atomic<i32>,
    patch: UnsafeCell<bindings::klp_patch>,
    objects: UnsafeCell<[bindings::klp_object; 2]>,
    funcs: UnsafeCell<[bindings::klp_func; N]>,
}

// SAFETY: After `new` the contents belong to the livepatch core, which has locks of its own.
unsafe impl<const N: usize> Sync for Patch<N> {}

/// A string as C has it.
const fn c_string(s: &'static CStr) -> *const c_char {
    s.to_bytes_with_nul().as_ptr().cast()
}

impl<const N: usize> Patch<N> {
    /// A patch of the module `object`, which need not be loaded yet. There have to be `N - 1`
    /// replacements.
    pub(crate) const fn new(object: &'static CStr, replacements: &[Replacement]) -> Self {
        assert!(replacements.len() + 1 == N);

        // Zero is what the empty entries and the core's own fields have to be.
        let mut funcs = [const { zeroed::<bindings::klp_func>() }; N];
        let mut i = 0;
        while i < replacements.len() {
            funcs[i].old_name = c_string(replacements[i].old_name);
            funcs[i].new_func = replacements[i].new_func;
            i += 1;
        }
        let mut objects = [const { zeroed::<bindings::klp_object>() }; 2];
        objects[0].name = c_string(object);
        objects[0].callbacks.pre_patch = Some(transition::pre_patch);
        objects[0].callbacks.post_patch = Some(transition::post_patch);
        objects[0].callbacks.pre_unpatch = Some(transition::pre_unpatch);
        objects[0].callbacks.post_unpatch = Some(transition::post_unpatch);

        Self {
            calls: Atomic::new(0),
            patch: UnsafeCell::new(zeroed()),
            objects: UnsafeCell::new(objects),
            funcs: UnsafeCell::new(funcs),
        }
    }

    /// Registers the patch and starts the transition to it.
    ///
    /// From here on the module can't be removed until somebody writes 0 to `enabled` below
    /// `/sys/kernel/livepatch/` and the transition back has ended. Call this once, last in the
    /// module's initialization. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` when a function to replace is not in the object; `EBUSY` while another livepatch is in
    /// transition, of which livepatch itself says nothing, and when called again, as livepatch would
    /// begin to initialize anew what it has in its lists.
    pub(crate) fn enable(&'static self, module: &'static ThisModule) -> Result {
        if self.calls.fetch_add(1, Relaxed) != 0 {
            return Err(EBUSY);
        }
        let patch = self.patch.get();
        let objects = self.objects.get().cast::<bindings::klp_object>();

        // SAFETY: The pointer is that of a static. Nobody else has it: this is the first call, and
        // livepatch gets it below.
        unsafe { (*objects).funcs = self.funcs.get().cast() };
        // SAFETY: As above.
        let to = unsafe { &mut *patch };
        to.mod_ = module.as_ptr();
        to.objs = objects;
        // SAFETY: The patch is complete, in memory that lasts as long as the module, and each
        // replacement may be called for the original by `Replacement::new`.
        let result = to_result(unsafe { bindings::klp_enable_patch(patch) });
        if result == Err(EBUSY) {
            pr_err!("another livepatch is in transition: /sys/kernel/livepatch/*/transition\n");
        }
        result
    }
}

/// Makes a [`Patch`] of the functions listed.
///
/// A function `as declared` has a prototype in a header, one `as` a type is static in C, where
/// the type stands for its prototype.
///
/// # Examples
///
/// ```
/// use crate::{entry, livepatch, prelude::*};
/// use kernel::ThisModule;
///
/// livepatch! {
///     // SAFETY: They may be called wherever KVM calls its own.
///     unsafe static TIMERS = c"kvm" {
///         kvm_xen_inject_timer_irqs => entry::kvm_xen_inject_timer_irqs, as declared;
///         xen_timer_callback => entry::xen_timer_callback, as HrtimerFn;
///     }
/// }
///
/// fn init(module: &'static ThisModule) -> Result {
///     TIMERS.enable(module)
/// }
/// ```
///
/// # Safety
///
/// Each function may be called wherever the kernel calls the one it replaces. That it has the same
/// signature is checked.
#[macro_export]
macro_rules! livepatch {
    ($(#[$doc:meta])* unsafe static $patch:ident = $object:literal {
        $($old:ident => $new:path, as $how:tt;)*
    }) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "replaces functions")]
        static $patch: $crate::livepatch::patch::Patch<{ 1 $(+ $crate::livepatch!(@one $old))* }> =
            $crate::livepatch::patch::Patch::new($object, &[$({
                $crate::livepatch!(@same $how, $old, $new);
                // SAFETY: The signature is that of the original, as the line above has the
                // compiler check; the rest is the user's.
                unsafe {
                    $crate::livepatch::patch::Replacement::new(
                        kernel::c_str!(stringify!($old)),
                        $new as *const (),
                    )
                }
            }),*]);
    };
    (@one $old:ident) => { 1 };
    (@same declared, $old:ident, $new:path) => { let _ = [$crate::bindings::$old, $new]; };
    (@same $type:ident, $old:ident, $new:path) => { let _: $crate::entry::$type = $new; };
}
