// SPDX-License-Identifier: GPL-2.0

//! `crate::kvm` for the module's files: the model, by the module's names.

#[path = "../../../rust/kvm/pollers.rs"]
#[allow(dead_code, reason = "the model's table is another")]
pub(crate) mod pollers;
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
    pub(crate) use crate::model::table::{Destination, NewDestination, Owned, Sender};
}

pub(crate) mod senders {
    pub(crate) use crate::model::table::Destinations;
}

pub(crate) mod uapi {
    pub(crate) use crate::model::table::{EvtchnAttr, PRIO_2LEVEL};
}

pub(crate) mod timers {
    pub(crate) use crate::model::vcpu::TimerState;
}

pub(crate) mod task {
    use super::Vcpu;
    use crate::sync::{order::KvmSrcu, Anywhere, Ctx, MayDeliver, MayRefresh, Within};
    use std::ops::Deref;

    /// As the module has it.
    pub(crate) type Unknown = Within<KvmSrcu, Anywhere>;

    /// Always.
    pub(crate) fn may_deliver_now<'g>(
        _cx: &'g mut Ctx<'_, Unknown>,
    ) -> Option<Ctx<'g, MayDeliver>> {
        // SAFETY: A thread of the test may.
        Some(unsafe { Ctx::assert() })
    }

    /// As the module has it.
    pub(crate) struct Asked<'a>(pub(crate) Vcpu<'a>);

    impl Asked<'_> {
        /// Unless the thread has set its state to sleep.
        pub(crate) fn may_refresh_now<'g>(
            &self,
            _cx: &'g mut Ctx<'_, Unknown>,
        ) -> Option<Ctx<'g, MayRefresh>> {
            let sleeps = self.vm().state().asleep.has_current();
            // SAFETY: The section is there; a thread of the test that does not sleep may.
            (!sleeps).then(|| unsafe { Ctx::assert() })
        }
    }

    impl<'a> Deref for Asked<'a> {
        type Target = Vcpu<'a>;

        fn deref(&self) -> &Vcpu<'a> {
            &self.0
        }
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
