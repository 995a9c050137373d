// SPDX-License-Identifier: GPL-2.0

//! The vCPU's side of an upcall: its `vcpu_info`.

use crate::{
    abi::{
        vcpu_info::{self, EVTCHN_UPCALL_PENDING},
        WordSize,
    },
    kvm::{
        task::{self, Asked, Unknown},
        OwnVcpu,
    },
    sync::{Anywhere, Ctx, InKvmRun},
};

/// Whether there are events for the vCPU to look at, so that its upcall is to be made.
///
/// KVM asks from any context: on the way into the guest, where the page may be waited for; and,
/// with the task's state set to sleep, whether to sleep at all. There it is told to come back when
/// the page is away, as it can't be waited for. Where the guest has executed `HLT` it asks first
/// with interrupts off, and may be told under `PREEMPT_RT` that there is nothing, as it asks again
/// before it sleeps.
#[inline(always)]
pub(crate) fn has_interrupt(cx: &mut Ctx<'_, Anywhere>, vcpu: Asked<'_>) -> bool {
    let mut section = vcpu.vm().srcu().read(cx);
    let mut cx = section.cx();
    let Some(mut may_try) = task::may_deliver_now(&mut cx) else {
        return false;
    };
    match vcpu.vcpu_info().peek(&mut may_try, &EVTCHN_UPCALL_PENDING) {
        Some(pending) => pending != 0,
        None => has_interrupt_elsewhere(&mut cx, &vcpu),
    }
}

/// As [`has_interrupt`], where the page is away.
#[cold]
#[inline(never)]
fn has_interrupt_elsewhere(cx: &mut Ctx<'_, Unknown>, vcpu: &Asked<'_>) -> bool {
    let Some(mut cx) = vcpu.may_refresh_now(cx) else {
        return true;
    };
    let info = vcpu.vcpu_info().read(&mut cx);
    // Where the VMM has taken the page away, there are no events for this guest.
    info.is_ok_and(|info| info.load(&EVTCHN_UPCALL_PENDING) != 0)
}

/// Writes the events that were noted in the kernel, while `vcpu_info` was away, to it.
pub(crate) fn inject_pending_events(cx: &mut Ctx<'_, InKvmRun>, vcpu: OwnVcpu<'_>) {
    let noted = vcpu.pending_sel();
    if noted == 0 {
        return;
    }
    let size = vcpu.vm().word_size();
    // The words that a guest has which is 32-bit now: what was noted for others when it had them
    // means nothing any more, and would keep the vCPU from sleeping for ever.
    let words = match size {
        WordSize::Bits32 => noted & u64::from(u32::MAX),
        WordSize::Bits64 => noted,
    };
    if words != 0 {
        let Ok(info) = vcpu.vcpu_info().read(cx) else {
            return;
        };
        let sel = vcpu_info::evtchn_pending_sel(size);
        for_each_bit(words, |word| {
            info.test_and_set(&sel, word);
        });
        info.store(&EVTCHN_UPCALL_PENDING, 1);
        info.mark_dirty();
    }
    vcpu.clear_pending_sel(noted);

    if words != 0 && vcpu.upcall_vector() != 0 {
        vcpu.inject_upcall_vector(cx);
    }
}

/// Calls `f` with the number of each bit that is set.
fn for_each_bit(mut bits: u64, mut f: impl FnMut(u32)) {
    while bits != 0 {
        f(bits.trailing_zeros());
        bits &= bits - 1;
    }
}
