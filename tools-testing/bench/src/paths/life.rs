// SPDX-License-Identifier: GPL-2.0
//! The beginning and the end of VMs, and the beginning of vCPUs.

use harness::outcome::Outcome;
use harness::vm::Vm;

use super::Path;
use crate::sample::{Samples, FEW};

fn create_vms() -> Outcome<Samples> {
    let mut vms = Vec::new();
    let call = || {
        vms.push(Vm::without_irqchip()?);
        Ok(())
    };
    Samples::of(FEW, || Ok(()), call)
}

fn destroy_vms() -> Outcome<Samples> {
    let mut samples = Samples::default();
    for _ in 0..FEW {
        let vm = Vm::without_irqchip()?;
        vm.intercept_hypercalls()?;
        samples.time(|| {
            drop(vm);
            Ok(())
        })?;
    }
    Ok(samples)
}

fn create_vcpus() -> Outcome<Samples> {
    let vm = Vm::new()?;
    let mut vcpus = Vec::new();
    let call = || {
        vcpus.push(vm.add_vcpu(vcpus.len() as u32)?);
        Ok(())
    };
    Samples::of(FEW, || Ok(()), call)
}

/// What is done for Xen is a small part of each, and nothing does the rest alone.
pub fn paths() -> Vec<Path> {
    vec![
        Path::floor("life/vm-created", create_vms),
        Path::floor("life/vm-destroyed", destroy_vms),
        Path::floor("life/vcpu-created", create_vcpus),
    ]
}
