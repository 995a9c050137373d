// SPDX-License-Identifier: GPL-2.0

//! The VM's address space for a kernel thread.

use super::Vm;
use crate::{
    bindings,
    sync::{current::mm_of_current, order::VmMm, Ctx, SetIrq, Within},
};
use kernel::{
    mm::{Mm, MmWithUser, MmWithUserAsync},
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe,
};

/// The VM's address space is the current one, borrowed if need be until this is dropped.
pub(crate) struct MmGuard<'g> {
    outside: Ctx<'g, SetIrq>,
    borrowed: Option<ARef<MmWithUserAsync>>,
    _task: NotThreadSafe,
}

impl<'a> Vm<'a> {
    /// Enters the VM's address space, with nothing held, as borrowing it may sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the address space is gone, or going; `EINVAL` on a thread of another process,
    /// where KVM never calls this.
    pub(crate) fn enter_mm<'g>(self, cx: &'g mut Ctx<'_, SetIrq>) -> Result<MmGuard<'g>>
    where
        'a: 'g,
    {
        let current = mm_of_current();
        let borrowed = if current == self.mm() {
            None
        } else if current.is_null() {
            // SAFETY: The VM holds a reference to the structure; KVM stops its workers before that
            // goes.
            let mm = unsafe { Mm::from_raw(self.mm()) };
            // Kept, too: a page faulted in behind `exit_mmap()` would never be freed.
            let mm = mm.mmget_not_zero().ok_or(EFAULT)?;
            // SAFETY: The address space is kept just above. A task without one is a kernel thread, and
            // the context may sleep.
            unsafe { bindings::kthread_use_mm(mm.as_raw()) };
            Some(MmWithUser::into_mmput_async(mm))
        } else {
            return Err(EINVAL);
        };

        Ok(MmGuard {
            outside: cx.reborrow(),
            borrowed,
            _task: NotThreadSafe,
        })
    }
}

impl MmGuard<'_> {
    /// The context in the VM's address space.
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<VmMm, SetIrq>> {
        // SAFETY: The VM's `mm` is the current one as long as the guard, which is borrowed.
        unsafe { self.outside.enter() }
    }
}

impl Drop for MmGuard<'_> {
    fn drop(&mut self) {
        if let Some(mm) = &self.borrowed {
            // SAFETY: `enter_mm` has borrowed it, on this task.
            unsafe { bindings::kthread_unuse_mm(mm.as_raw()) };
        }
    }
}
