// SPDX-License-Identifier: GPL-2.0

//! The rules.

mod guest;
mod poll;
mod senders;
mod vcpu_info;

use crate::model::vm::{Config, VmState};
use std::sync::Arc;

/// Runs a test in all interleavings in which threads are interrupted no more than `preemptions`
/// times; that they wait for each other does not count. With four threads there are too many ways
/// to try three.
fn explore(
    preemptions: usize,
    config: Config<'static>,
    test: impl Fn(Arc<VmState>) + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || test(VmState::new(&config)));
}
