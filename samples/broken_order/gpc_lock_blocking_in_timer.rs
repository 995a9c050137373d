// SPDX-License-Identifier: GPL-2.0

//! To wait for `gpc->lock` in a hard interrupt: what C's timer does to this day.
//!
//! `xen_timer_callback()` delivers the event of a vCPU's timer, which takes the lock of the pfn
//! cache of `shared_info`. Under `PREEMPT_RT` that is a lock to sleep on.
//!
//! Lockdep, with `CONFIG_PROVE_RAW_LOCK_NESTING`: "Invalid wait context". It takes no other half:
//! the context alone is wrong. kvm_xen_rs: `MaySpin`, and the compile-fail test
//! `blocking_gpc_lock_in_hardirq`.

use crate::{bindings, Vm};
use core::ptr::NonNull;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{Arc, ArcBorrow, Completion},
    time::{
        hrtimer::{
            HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerPointer, HrTimerRestart,
            RelativeHardMode,
        },
        Delta, Monotonic,
    },
};

/// A timer that takes a lock.
#[pin_data]
struct Timer {
    #[pin]
    timer: HrTimer<Self>,
    #[pin]
    fired: Completion,
    lock: NonNull<bindings::rwlock_t>,
}

// SAFETY: The lock may be taken by any task, and in any interrupt but under `PREEMPT_RT`.
unsafe impl Send for Timer {}
// SAFETY: As above.
unsafe impl Sync for Timer {}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Timer {
        mode: RelativeHardMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Timer {
    type Pointer<'a> = Arc<Self>;

    #[inline(never)]
    fn run(this: ArcBorrow<'_, Self>, _: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        let lock = this.lock.as_ptr();
        let mut flags = 0;
        // SAFETY: Whoever started the timer keeps the lock until it has fired or is cancelled. It
        // is taken for writing with interrupts off only, so by no one that this has interrupted.
        unsafe {
            // The mistake: this may have to wait.
            bindings::kvm_xen_broken_order_read_lock_irqsave(lock, &mut flags);
            bindings::kvm_xen_broken_order_read_unlock_irqrestore(lock, flags);
        }
        this.fired.complete_all();
        HrTimerRestart::NoRestart
    }
}

pub(crate) fn commit(vm: &Vm) -> Result {
    if cfg!(CONFIG_PREEMPT_RT) {
        // Here it would be no mere mistake on paper.
        return Err(Error::from_errno(-(bindings::EOPNOTSUPP as i32)));
    }
    let vcpu = vm.vcpu()?;
    // SAFETY: `vm` keeps the vCPU, with its pfn caches.
    let lock = unsafe { &raw mut (*vcpu).arch.xen.vcpu_info_cache.lock };
    let lock = NonNull::new(lock).ok_or(EINVAL)?;
    let timer = Arc::pin_init(
        pin_init!(Timer {
            timer <- HrTimer::new(),
            fired <- Completion::new(),
            lock,
        }),
        GFP_KERNEL,
    )?;
    // To drop the handle cancels the timer.
    let _handle = timer.clone().start(Delta::from_millis(1));
    timer.fired.wait_for_completion();
    Ok(())
}
