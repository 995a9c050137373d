// SPDX-License-Identifier: GPL-2.0
//! `KVM_EXIT_XEN`: a hypercall for the VMM.

use kvm_bindings::{kvm_run, KVM_EXIT_XEN, KVM_EXIT_XEN_HCALL};

use crate::{Error, Result};

/// A hypercall that KVM leaves to the VMM.
///
/// Source: api.rst, 5, `KVM_EXIT_XEN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenHypercall {
    /// Whether it was made in 64-bit mode, which decides how wide the guest's words are, and the
    /// registers that the rest comes from.
    pub longmode: bool,
    /// The ring that it was made in. KVM handles those of ring 0 alone, so any may come from others.
    pub cpl: u8,
    /// Its number, as `__HYPERVISOR_sched_op` (29).
    pub input: u64,
    /// Its arguments. A hypercall that has fewer of them leaves the rest undefined.
    pub params: [u64; 6],
}

/// The hypercall that the vCPU has come back for, if it has.
pub(crate) fn get(run: &kvm_run) -> Option<XenHypercall> {
    if run.exit_reason != KVM_EXIT_XEN {
        return None;
    }
    // SAFETY: the exit's reason says that this member is in use.
    let xen = unsafe { run.__bindgen_anon_1.xen };
    if xen.type_ != KVM_EXIT_XEN_HCALL {
        return None;
    }
    // SAFETY: its type says that this member is in use.
    let hcall = unsafe { xen.u.hcall };
    Some(XenHypercall {
        longmode: hcall.longmode != 0,
        cpl: hcall.cpl as u8,
        input: hcall.input,
        params: hcall.params,
    })
}

/// Has it return `result` to the guest.
pub(crate) fn set_result(run: &mut kvm_run, result: u64) -> Result<()> {
    if get(run).is_none() {
        return Err(Error::new(libc::EINVAL));
    }
    run.__bindgen_anon_1.xen.u.hcall.result = result;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvm_bindings::KVM_EXIT_HLT;

    fn come_back() -> kvm_run {
        let mut run = kvm_run {
            exit_reason: KVM_EXIT_XEN,
            ..Default::default()
        };
        run.__bindgen_anon_1.xen.type_ = KVM_EXIT_XEN_HCALL;
        // SAFETY: all bytes are initialized, and any are valid.
        let hcall = unsafe { &mut run.__bindgen_anon_1.xen.u.hcall };
        (hcall.longmode, hcall.cpl, hcall.input) = (1, 3, 29);
        hcall.params = [3, 0x2000, 0, 0, 0, 6];
        run
    }

    #[test]
    fn is_read_and_answered() {
        let mut run = come_back();
        let hypercall = get(&run).unwrap();
        assert_eq!((hypercall.longmode, hypercall.cpl), (true, 3));
        assert_eq!((hypercall.input, hypercall.params[5]), (29, 6));
        assert_eq!(set_result(&mut run, u64::MAX), Ok(()));
        // SAFETY: this member was written.
        let result = unsafe { run.__bindgen_anon_1.xen.u.hcall.result };
        assert_eq!(result, u64::MAX);
    }

    #[test]
    fn other_exits_are_none() {
        let mut run = come_back();
        run.exit_reason = KVM_EXIT_HLT;
        assert_eq!(get(&run), None);
        assert!(set_result(&mut run, 0).is_err());
        run = come_back();
        run.__bindgen_anon_1.xen.type_ = 2;
        assert_eq!(get(&run), None);
    }
}
