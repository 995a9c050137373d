// SPDX-License-Identifier: GPL-2.0

//! Rights that safe code gives itself.

use crate::{
    abi::{
        layout::{Field, Structure},
        shared_info::SharedInfo,
    },
    kvm::{OwnVcpu, Vm},
    sync::{
        callers::*,
        context::*,
        gpc::{Mapping, Place},
        order::*,
        MayRefresh,
    },
};

/// A context of one's own, that may do anything.
fn context_of_ones_own() {
    struct Mine;
    impl Held for Mine {
        //~ requires an `unsafe impl` declaration
        const LEVELS: u32 = 0;
        const SLEEPS: bool = true;
    }
    impl MayTryLock for Mine {} //~ requires an `unsafe impl` declaration
    impl MaySpin for Mine {} //~ requires an `unsafe impl` declaration
    impl MaySleep for Mine {} //~ requires an `unsafe impl` declaration
    impl MayWake for Mine {} //~ requires an `unsafe impl` declaration
    impl MayWaitForGuest for Mine {} //~ requires an `unsafe impl` declaration
    impl MayWaitForSrcu for Mine {} //~ requires an `unsafe impl` declaration
    impl InKvmSrcu for Mine {} //~ requires an `unsafe impl` declaration
    impl InVmMm for Mine {} //~ requires an `unsafe impl` declaration
    impl<L> MayEnter<L> for Mine {} //~ requires an `unsafe impl` declaration
}

/// A read section where there is none. The compiler goes on as if it were so: no other case can be
/// about this context.
fn section_made_up() {
    impl InKvmSrcu for TimerSoftirq {} //~ requires an `unsafe impl` declaration
}

/// The other way round in the order.
fn order_reversed() {
    impl Before<VmMm> for KvmSrcu {} //~ requires an `unsafe impl` declaration
}

/// `unsafe` is forbidden in all rooms of the logic.
fn unsafe_where_it_is_forbidden() {
    unsafe impl InKvmSrcu for Within<RunQueue, Nothing> {} //~ implementation of an `unsafe` trait
}

/// A context is asserted by unsafe code alone.
fn context_made_from_nothing() {
    let _cx: Ctx<'_, InKvmRun> = Ctx::assert(); //~ is unsafe and requires unsafe
}

/// To leave a section, or to enter a level without its lock.
fn section_left_by_safe_code(mut cx: Ctx<'_, InKvmRun>) {
    let _ = cx.leave(); //~ is unsafe and requires unsafe
    let _ = cx.enter::<XenLock>(); //~ is unsafe and requires unsafe
}

/// A structure of another size than the one that is mapped.
fn structure_of_ones_own() {
    struct Larger;
    impl Structure for Larger {
        //~ the trait bound `Larger: Declared` is not satisfied
        const SIZE: usize = 8192;
        const ALIGN: usize = 8;
    }
}

/// Nor is a structure mapped in part, of which others take it that it is all there.
fn structure_in_part(mut cx: Ctx<'_, MayRefresh>, vcpu: OwnVcpu<'_>) {
    let _ = vcpu.vcpu_info().activate_bytes(&mut cx, Place::Guest(0), 1); //~ no method named `activate_bytes`
}

/// A byte of the guest's need not be a `bool`.
fn guests_byte_as_bool(page: &Mapping<'_, SharedInfo>) -> bool {
    const FLAG: Field<SharedInfo, bool> = Field::at(0);
    page.load(&FLAG) //~ FromBytes` is not satisfied
}
