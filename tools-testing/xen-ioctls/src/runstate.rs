// SPDX-License-Identifier: GPL-2.0
//! Runstates: how a vCPU spends its time.

use kvm_bindings::kvm_xen_vcpu_attr__bindgen_ty_1__bindgen_ty_1;

use crate::{Error, Result};

type Encoded = kvm_xen_vcpu_attr__bindgen_ty_1__bindgen_ty_1;

/// The state of an adjustment that leaves it as it is.
const SAME_STATE: u64 = u64::MAX;

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum XenRunstate {
    /// It runs.
    Running = 0,
    /// It would run, had it a CPU: time that others steal from it.
    Runnable = 1,
    /// It waits for an event.
    Blocked = 2,
    /// It is not up.
    Offline = 3,
}

impl XenRunstate {
    /// From KVM's number; `EPROTO` if there is none of this number.
    pub(crate) fn decode(number: u64) -> Result<Self> {
        Ok(match number {
            0 => Self::Running,
            1 => Self::Runnable,
            2 => Self::Blocked,
            3 => Self::Offline,
            _ => return Err(Error::new(libc::EPROTO)),
        })
    }

    /// As KVM has it when nothing else is said.
    pub(crate) fn encode(self) -> Encoded {
        Encoded {
            state: self as u64,
            ..Default::default()
        }
    }
}

/// A vCPU's runstate, and the time it has spent in each.
///
/// All in nanoseconds, by the guest's clock (`KVM_GET_CLOCK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenRunstateData {
    /// What it does now.
    pub state: XenRunstate,
    /// Since when. When set, it has to be the sum of the times below, and not to lie in the future:
    /// else `EINVAL`.
    pub entry_time_ns: u64,
    /// Time in each state up to then, in the order of [`XenRunstate`].
    pub times_ns: [u64; 4],
}

impl XenRunstateData {
    /// A runstate whose entry time is what the times come to.
    ///
    /// # Examples
    ///
    /// ```
    /// use kvm_xen_ioctls::{XenRunstate, XenRunstateData};
    ///
    /// let data = XenRunstateData::new(XenRunstate::Blocked, [40, 2, 300, 0]);
    /// assert_eq!(data.entry_time_ns, 342);
    /// ```
    pub fn new(state: XenRunstate, times_ns: [u64; 4]) -> Self {
        Self {
            state,
            entry_time_ns: times_ns.iter().fold(0, |sum, time| sum.wrapping_add(*time)),
            times_ns,
        }
    }

    pub(crate) fn decode(data: &Encoded) -> Result<Self> {
        Ok(Self {
            state: XenRunstate::decode(data.state)?,
            entry_time_ns: data.state_entry_time,
            times_ns: [
                data.time_running,
                data.time_runnable,
                data.time_blocked,
                data.time_offline,
            ],
        })
    }

    pub(crate) fn encode(&self) -> Encoded {
        encode(self.state as u64, self.entry_time_ns, self.times_ns)
    }
}

/// What is added to a vCPU's runstate, in one step: for time that has passed while the VM was not
/// there, as in a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenRunstateAdjust {
    /// What it is afterwards; `None` leaves it as it is.
    pub state: Option<XenRunstate>,
    /// Nanoseconds more in each state, in the order of [`XenRunstate`]. The entry time grows by
    /// their sum, which must not get it into the future: else `EINVAL`.
    pub times_ns: [i64; 4],
}

impl XenRunstateAdjust {
    pub(crate) fn encode(&self) -> Encoded {
        // KVM adds modulo 2^64.
        let times = self.times_ns.map(|time| time as u64);
        let sum = times
            .iter()
            .fold(0, |sum: u64, time| sum.wrapping_add(*time));
        encode(
            self.state.map_or(SAME_STATE, |state| state as u64),
            sum,
            times,
        )
    }
}

fn encode(state: u64, entry_time: u64, times: [u64; 4]) -> Encoded {
    let [time_running, time_runnable, time_blocked, time_offline] = times;
    Encoded {
        state,
        state_entry_time: entry_time,
        time_running,
        time_runnable,
        time_blocked,
        time_offline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_comes_back() {
        for number in 0..4 {
            let state = XenRunstate::decode(number).unwrap();
            assert_eq!(state as u64, number);
            assert_eq!(state.encode().state, number);
            let data = XenRunstateData::new(state, [1, 20, 300, 4000]);
            assert_eq!(data.encode().state_entry_time, 4321);
            assert_eq!(XenRunstateData::decode(&data.encode()), Ok(data));
        }
        assert!(XenRunstate::decode(4).is_err());
    }

    #[test]
    fn adjustments_may_be_negative() {
        let adjust = XenRunstateAdjust {
            state: None,
            times_ns: [-5, 0, 3, 0],
        };
        let encoded = adjust.encode();
        assert_eq!(encoded.state, u64::MAX);
        assert_eq!(encoded.state_entry_time, -2_i64 as u64);
        assert_eq!(encoded.time_running, -5_i64 as u64);
        let offline = XenRunstateAdjust {
            state: Some(XenRunstate::Offline),
            ..adjust
        };
        assert_eq!(offline.encode().state, 3);
    }
}
