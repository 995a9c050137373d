// SPDX-License-Identifier: GPL-2.0

//! The `shared_info` page: where it is, and the wall clock in it.

use crate::{
    abi::shared_info::{version_while_written, wall_clock, WallTime},
    kvm::Vm,
    prelude::*,
    sync::{barrier::smp_wmb, gpc::Place, Ctx, MayRefresh, VmIoctl},
};

/// Puts `shared_info` into a page, or nowhere. May sleep.
///
/// # Errors
///
/// `EINVAL` for an address that is no user's, `EFAULT` where there is no page.
pub(crate) fn place(cx: &mut Ctx<'_, VmIoctl>, vm: Vm<'_>, place: Option<Place>) -> Result {
    let Some(place) = place else {
        vm.shared_info().deactivate(&mut vm.lock_xen(cx).cx());
        return Ok(());
    };
    let mut section = vm.srcu().read(cx);
    let mut inside = section.cx();
    let mut xen = vm.lock_xen(&mut inside);
    vm.shared_info().activate(&mut xen.cx(), place)?;
    write_wall_clock(&mut xen.cx().may_refresh(), vm)
}

/// Writes the wall clock to where a guest of the present word size looks for it, if there is a
/// `shared_info`. May sleep.
///
/// To be called with the leaf mutex held, so that the word size does not change.
///
/// # Errors
///
/// `EFAULT` when there is no page.
pub(crate) fn write_wall_clock(cx: &mut Ctx<'_, MayRefresh>, vm: Vm<'_>) -> Result {
    if !vm.shared_info().is_active() {
        return Ok(());
    }
    let time = WallTime::from_nsec(vm.wall_clock_epoch());
    {
        let page = vm.shared_info().read(cx)?;
        let clock = wall_clock(vm.word_size());
        // The guest takes what it reads between two equal, even versions.
        let version = version_while_written(page.load(&clock.version));
        page.store(&clock.version, version);
        smp_wmb();
        page.store(&clock.nsec, time.nsec);
        page.store(&clock.sec, time.sec as u32);
        page.store(&clock.sec_hi, (time.sec >> 32) as u32);
        smp_wmb();
        page.store(&clock.version, version.wrapping_add(1));
    }
    Ok(())
}
