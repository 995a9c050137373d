// SPDX-License-Identifier: GPL-2.0

//! The current task, and whether it runs in an address space.
//!
//! C header: `arch/x86/include/asm/current.h`.

use crate::bindings;
use core::arch::asm;

/// The current task. It stays while it is that.
pub(crate) fn current() -> *mut bindings::task_struct {
    let task;
    // SAFETY: A variable of the CPU's, which is the task's own as long as that runs.
    unsafe {
        asm!("mov {}, qword ptr gs:[rip + current_task]", out(reg) task,
            options(pure, nomem, nostack, preserves_flags));
    }
    task
}

/// Whether `mm` is the address space of the current task, which stays in it, and not one that a
/// kernel thread has borrowed.
pub(crate) fn is_in(mm: *mut bindings::mm_struct) -> bool {
    // SAFETY: The task is the current one, which alone changes its flags.
    mm_of_current() == mm && unsafe { (*current()).flags } & bindings::PF_KTHREAD == 0
}

/// The address space of the current task, or one that a kernel thread has borrowed, or none.
pub(crate) fn mm_of_current() -> *mut bindings::mm_struct {
    // SAFETY: The task is the current one, which alone changes the field.
    unsafe { (*current()).mm }
}
