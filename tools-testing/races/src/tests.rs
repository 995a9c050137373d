// SPDX-License-Identifier: GPL-2.0

//! The rules.

mod delivery;
mod guest;
mod poll;
mod ports;
mod senders;
mod table;
mod timer;
mod together;
mod upcall;
mod vcpu_info;

use crate::model::vm::{Config, VmState};
use std::sync::Arc;

/// Runs a test in all interleavings in which threads are interrupted no more than `preemptions`
/// times; that they wait for each other does not count. With four threads there are too many ways
/// to try three. `LOOM_MAX_PREEMPTIONS` has them be interrupted more often.
fn explore(
    preemptions: usize,
    config: Config<'static>,
    test: impl Fn(Arc<VmState>) + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    let asked_for = builder.preemption_bound.unwrap_or(0);
    builder.preemption_bound = Some(preemptions.max(asked_for));
    builder.check(move || test(VmState::new(&config)));
}
