// SPDX-License-Identifier: GPL-2.0

//! The runstate: how long the vCPU ran, could have run, was blocked, was offline.

use crate::{
    abi::runstate::{in_first_page, Layout, Runstate, State, UPDATE},
    kvm::{
        clock,
        guest_memory::{Split, Whole, Written},
        OwnVcpu,
    },
    prelude::*,
    sync::{
        gpc::{Bytes, Gpa, Gpc, Place, Unmapped},
        Ctx, InSection, MayRefresh, SchedOut, VcpuIoctl,
    },
};

/// Where in the guest the runstate is, for a guest of the present word size.
struct Target<'a> {
    layout: Layout,
    gpa: Gpa,
    len: usize,
    first: Gpc<'a, Bytes>,
    rest: Gpc<'a, Bytes>,
}

impl<'a> Target<'a> {
    /// None when the guest is not told.
    fn of(vcpu: OwnVcpu<'a>) -> Option<Self> {
        let first = vcpu.runstate_info();
        let Some(Place::Guest(gpa)) = first.place() else {
            return None;
        };
        let layout = Layout::of(vcpu.vm().word_size());
        Some(Self {
            layout,
            gpa,
            len: in_first_page(gpa, layout.size),
            first,
            rest: vcpu.runstate_info_rest(),
        })
    }

    /// How many bytes are in the second page.
    fn rest_len(&self) -> usize {
        self.layout.size.saturating_sub(self.len)
    }

    /// Writes the runstate, if the pages are there. Never waits.
    #[inline(always)]
    fn try_write(&self, cx: &mut Ctx<'_, InSection>, vcpu: OwnVcpu<'_>) -> Result<(), Unmapped> {
        if self.rest_len() != 0 {
            return self.try_write_split(cx, vcpu);
        }
        let to = Whole::try_read(cx, (self.first, self.len)).ok_or(Unmapped::First)?;
        self.write(&to, vcpu);
        Ok(())
    }

    /// As [`try_write`](Self::try_write), where it is in two pages.
    #[cold]
    #[inline(never)]
    fn try_write_split(
        &self,
        cx: &mut Ctx<'_, InSection>,
        vcpu: OwnVcpu<'_>,
    ) -> Result<(), Unmapped> {
        let rest = (self.rest, self.rest_len());
        let to = Split::try_read(cx, (self.first, self.len), rest)?;
        self.write(&to, vcpu);
        Ok(())
    }

    /// Writes the runstate to pages that are there.
    #[inline(always)]
    fn write(&self, to: &impl Written, vcpu: OwnVcpu<'_>) {
        let runstate = vcpu.runstate();
        let flag = if vcpu.vm().has_runstate_update_flag() {
            UPDATE
        } else {
            0
        };
        // A guest that sees the flag, before or after what it copies, copies again. The flag is in
        // a byte of its own, which may be in another page than the rest of its word.
        let update_byte = (runstate.entry_time >> 56) as u8;
        if flag != 0 {
            to.write_byte(self.layout.update_byte(), update_byte | 0x80);
            to.publish();
        }
        let [t0, t1, t2, t3] = runstate.times;
        let words = [runstate.entry_time | flag, t0, t1, t2, t3];
        to.write(runstate.state as u32, self.layout.entry_time, &words);
        to.publish();
        if flag != 0 {
            to.write_byte(self.layout.update_byte(), update_byte & 0x7f);
            to.publish();
        }
        to.mark_dirty();
    }

    /// Has the page of a part mapped. May sleep, as long as the page takes to come.
    fn map(&self, cx: &mut Ctx<'_, MayRefresh>, part: Unmapped) -> Result {
        match part {
            Unmapped::First => self.first.refresh_bytes(cx, self.len),
            // It was not set up if the guest was 32-bit, and its structure shorter, at the time.
            Unmapped::Second => {
                let gpa = self.gpa.wrapping_add(self.len as u64);
                self.rest
                    .activate_bytes(cx, Place::Guest(gpa), self.rest_len())
            }
        }
    }
}

/// Ends the present state of the vCPU and begins another; returns whether the guest is to be told, by
/// [`update`] or [`update_preempted`].
///
/// A task that is preempted once it has read the clock finds, when it goes on, that time has been
/// accounted for that is later: see [`Accounts::change`](crate::abi::runstate::Accounts::change).
#[inline(always)]
pub(crate) fn account(vcpu: OwnVcpu<'_>, state: State) -> bool {
    vcpu.change_runstate(clock::kvmclock_ns(vcpu.vm()), state);
    vcpu.runstate_info().is_active()
}

/// Tells the guest the runstate of the vCPU. May sleep.
#[inline(always)]
pub(crate) fn update(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>) {
    if try_update_guest(&mut cx.in_section(), vcpu).is_err() {
        update_guest(cx, vcpu);
    }
}

/// Tells the guest the runstate of the vCPU where nothing can be waited for, if its page is there; if
/// not, it is told with the next change, and finds the older state until then.
#[inline(always)]
fn update_at_once(cx: &mut Ctx<'_, InSection>, vcpu: OwnVcpu<'_>) {
    let _ = try_update_guest(cx, vcpu);
}

/// As [`update`], for a vCPU that is preempted: only if its page is there.
#[cfg(not(CONFIG_PREEMPT_RT))]
#[inline(always)]
pub(crate) fn update_preempted(cx: &mut Ctx<'_, SchedOut>, vcpu: OwnVcpu<'_>) {
    update_at_once(&mut cx.in_section(), vcpu);
}

/// Nothing. Under `PREEMPT_RT` the lock of the guest's page may not even be tried where a vCPU is
/// preempted, so that the guest is told with the next change, when the vCPU runs again, or when a VMM
/// asks.
#[cfg(CONFIG_PREEMPT_RT)]
pub(crate) fn update_preempted(_cx: &mut Ctx<'_, SchedOut>, _vcpu: OwnVcpu<'_>) {}

/// The accounts, for a VMM, which finds the same in guest memory: see [`update_preempted`]. May sleep.
pub(crate) fn get(cx: &mut Ctx<'_, VcpuIoctl>, vcpu: OwnVcpu<'_>) -> Runstate {
    if cfg!(CONFIG_PREEMPT_RT) {
        update_guest(&mut vcpu.vm().srcu().read(cx).cx().may_refresh(), vcpu);
    }
    vcpu.runstate()
}

/// Changes the state of the vCPU for a VMM, and tells the guest as KVM does when it makes the same
/// change itself: without waiting where it would be preempted. May sleep.
#[inline(never)]
pub(crate) fn change(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, state: State) {
    if account(vcpu, state) {
        match state {
            State::Runnable => update_at_once(&mut cx.in_section(), vcpu),
            _ => update(cx, vcpu),
        }
    }
}

/// Writes the runstate to the guest, if it is to be told and the pages are there. Never waits.
#[inline(never)]
fn try_update_guest(cx: &mut Ctx<'_, InSection>, vcpu: OwnVcpu<'_>) -> Result<(), Unmapped> {
    Target::of(vcpu).map_or(Ok(()), |target| target.try_write(cx, vcpu))
}

/// Writes the runstate to the guest. May sleep, as long as the pages take to come; does nothing
/// when there are none.
#[cold]
#[inline(never)]
pub(crate) fn update_guest(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>) {
    while let Err(part) = try_update_guest(&mut cx.in_section(), vcpu) {
        let mapped = Target::of(vcpu).map(|target| target.map(cx, part));
        if !matches!(mapped, Some(Ok(()))) {
            return;
        }
    }
}

/// Puts the runstate somewhere in guest memory, or nowhere. May sleep.
///
/// # Errors
///
/// `EFAULT` where there is no page; the guest then is not told.
pub(crate) fn place(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, gpa: Option<Gpa>) -> Result {
    let (first, rest) = (vcpu.runstate_info(), vcpu.runstate_info_rest());
    let placed = match gpa {
        None => {
            first.deactivate(cx);
            rest.deactivate(cx);
            return Ok(());
        }
        Some(gpa) => activate(cx, vcpu, gpa),
    };
    match placed {
        Ok(()) => update_guest(cx, vcpu),
        Err(_) => {
            first.deactivate(cx);
            rest.deactivate(cx);
        }
    }
    placed
}

/// Maps the pages at `gpa`.
fn activate(cx: &mut Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>, gpa: Gpa) -> Result {
    let size = Layout::of(vcpu.vm().word_size()).size;
    let len = in_first_page(gpa, size);
    // All of the page that is left, for a guest whose word size changes.
    let page_rest = in_first_page(gpa, usize::MAX);
    vcpu.runstate_info()
        .activate_bytes(cx, Place::Guest(gpa), page_rest)?;
    if len < size {
        let rest = gpa.wrapping_add(len as u64);
        vcpu.runstate_info_rest()
            .activate_bytes(cx, Place::Guest(rest), size - len)
    } else {
        vcpu.runstate_info_rest().deactivate(cx);
        Ok(())
    }
}

/// Sets the accounts to what a VMM has saved.
///
/// # Errors
///
/// `EINVAL` when they do not add up, or the state began in the future.
pub(crate) fn set(vcpu: OwnVcpu<'_>, runstate: &Runstate) -> Result {
    if !runstate.adds_up() || clock::kvmclock_ns(vcpu.vm()) < runstate.entry_time {
        return Err(EINVAL);
    }
    vcpu.set_runstate(runstate);
    vcpu.restart_steal();
    Ok(())
}

/// Shifts the accounts, as a VMM does for the time that a migration took, and changes the state if
/// there is one. May sleep.
///
/// # Errors
///
/// `EINVAL` when the shift does not add up, or would begin the state in the future.
pub(crate) fn adjust(
    cx: &mut Ctx<'_, MayRefresh>,
    vcpu: OwnVcpu<'_>,
    by: &Runstate,
    state: Option<State>,
) -> Result {
    let begins = vcpu.runstate().entry_time.wrapping_add(by.entry_time);
    if !by.adds_up() || clock::kvmclock_ns(vcpu.vm()) < begins {
        return Err(EINVAL);
    }
    vcpu.adjust_runstate(by);
    match state {
        Some(state) => change(cx, vcpu, state),
        None => update_guest(cx, vcpu),
    }
    Ok(())
}
