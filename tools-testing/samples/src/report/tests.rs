// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::expected::Expected;
use crate::requests::Mistake;

/// Of `slots_lock_inside_srcu`.
const CIRCLE: &str = include_str!("circle.txt");
/// Of `gpc_lock_blocking_in_timer`.
const CONTEXT: &str = include_str!("context.txt");

fn log(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_circle_is_read() {
    let report = Report::find(&log(CIRCLE)).unwrap();
    assert_eq!(report.kind, Kind::Circle);
    assert_eq!(report.wanted, "&kvm->slots_lock");
    assert_eq!(report.held.as_deref(), Some("&kvm->srcu"));
    assert_eq!(report.order, ["&kvm->slots_lock", "&kvm->srcu"]);
    assert!(report.stack[0].starts_with("__lock_acquire+"));
    assert!(report.stack[3].contains("slots_lock_inside_srcu6commit"));
}

#[test]
fn a_wrong_context_is_read() {
    let report = Report::find(&log(CONTEXT)).unwrap();
    assert_eq!(report.kind, Kind::Context);
    assert_eq!(report.wanted, "&gpc->lock");
    assert_eq!(report.held, None);
    assert!(report.order.is_empty());
    let functions: Vec<_> = report.stack.iter().map(|f| f.split('+').next()).collect();
    assert_eq!(functions[0], Some("dump_stack_lvl"));
    assert_eq!(
        functions[functions.len() - 1],
        Some("sysvec_apic_timer_interrupt")
    );
}

#[test]
fn a_log_without_a_report_has_none() {
    assert_eq!(Report::find(&[]), None);
    assert_eq!(Report::find(&log("WARNING: something else\n")), None);
}

#[test]
fn each_report_is_recognized_as_that_of_its_mistake_alone() {
    for (text, its) in [
        (CIRCLE, Mistake::SlotsLockInsideSrcu),
        (CONTEXT, Mistake::GpcLockBlockingInTimer),
    ] {
        for mistake in Mistake::ALL {
            let recognized = Expected::of(mistake).recognize(&log(text));
            assert_eq!(recognized.is_ok(), mistake == its, "{recognized:?}");
        }
    }
}

#[test]
fn a_report_of_the_same_locks_elsewhere_is_not_recognized() {
    let elsewhere = CIRCLE.replace("slots_lock_inside_srcu", "elsewhere");
    let error = Expected::of(Mistake::SlotsLockInsideSrcu).recognize(&log(&elsewhere));
    assert!(error.unwrap_err().to_string().contains("is not of"));
}
