// SPDX-License-Identifier: GPL-2.0

//! `crate::kvm` for the module's files: the model, by the module's names.

#[path = "../../../rust/kvm/target.rs"]
mod target;

pub(crate) use crate::model::{
    vcpu::{OwnVcpu, Vcpu},
    vm::Vm,
};
pub(crate) use target::Target;

pub(crate) mod eventfd {
    pub(crate) use crate::model::table::EventFd;
}

pub(crate) mod params {
    use crate::model::host::Host;

    pub(crate) fn poll_timeout_is_absolute() -> bool {
        Host::current().poll_timeout_is_absolute
    }
}

pub(crate) mod routing {
    pub(crate) use crate::model::table::Route;
}

pub(crate) mod sender {
    pub(crate) use crate::model::table::{Destination, LeadsOut, NewDestination, Owned, Sender};
}

pub(crate) mod uapi {
    pub(crate) use crate::model::table::{EvtchnAttr, PRIO_2LEVEL};
}

pub(crate) mod vcpu {
    pub(crate) use crate::model::vcpu::Polled;
}

pub(crate) mod timers {
    pub(crate) use crate::model::vcpu::TimerState;
}

pub(crate) mod task {
    use super::Vm;
    use crate::sync::{order::KvmSrcu, Anywhere, Ctx, MayDeliver, MayRefresh, Within};

    /// As the module has it.
    pub(crate) type Unknown = Within<KvmSrcu, Anywhere>;

    /// Always.
    pub(crate) fn may_deliver_now<'g>(
        _cx: &'g mut Ctx<'_, Unknown>,
    ) -> Option<Ctx<'g, MayDeliver>> {
        // SAFETY: A thread of the test may.
        Some(unsafe { Ctx::assert() })
    }

    /// Unless the thread has set its state to sleep.
    pub(crate) fn may_refresh_now<'g>(
        vm: Vm<'_>,
        _cx: &'g mut Ctx<'_, Unknown>,
    ) -> Option<Ctx<'g, MayRefresh>> {
        // SAFETY: The section is there; a thread of the test that does not sleep may.
        (!vm.state().asleep.has_current()).then(|| unsafe { Ctx::assert() })
    }
}

/// Clocks that stand still: the tests have timers fire themselves.
pub(crate) mod clock {
    use super::Vm;
    use crate::model::host::Host;

    pub(crate) fn kvmclock_ns(_vm: Vm<'_>) -> u64 {
        Host::current().kvmclock
    }

    pub(crate) fn monotonic_ns() -> i64 {
        Host::current().monotonic
    }

    pub(crate) fn monotonic_and_tsc() -> (i64, u64) {
        let host = Host::current();
        (host.monotonic, host.tsc)
    }
}
