// SPDX-License-Identifier: GPL-2.0
//! The counters of Documentation/tracing.rst: each trigger of the table there, against what was
//! sent.

use super::ftrace::Trace;
use harness::abi::sched::SCHED_OP;
use harness::check::{check, check_eq};
use harness::host::preempt_rt;
use harness::outcome::{fail, Outcome};
use std::collections::BTreeMap;
use top::hist::parse;

/// How often each value of a key was counted; 0 for all of them where there is no key.
type Counts = BTreeMap<i128, i128>;

const DOCUMENT: &str = include_str!("../../../../Documentation/tracing.rst");

/// A hypercall that KVM has to leave to the VMM, with a place in the hypercall page.
pub const UNKNOWN_HYPERCALL: u64 = 60;

/// A row of the table: an event, and a trigger of it.
pub struct Counter {
    event: &'static str,
    trigger: &'static str,
}

/// What is between backquotes in a cell that has nothing else.
fn literal(cell: &str) -> Option<&str> {
    cell.strip_prefix("     - ``")?.strip_suffix("``")
}

/// Begins to count as the document says.
pub fn begin(trace: &Trace) -> Outcome<Vec<Counter>> {
    let mut counters = Vec::new();
    for (event, trigger) in DOCUMENT.lines().zip(DOCUMENT.lines().skip(1)) {
        let (Some(event), Some(trigger)) = (literal(event), literal(trigger)) else {
            continue;
        };
        if event.contains('/') && trigger.starts_with("hist:") {
            trace.trigger(event, trigger)?;
            counters.push(Counter { event, trigger });
        }
    }
    check("counters in the document", counters.len() >= 8)?;
    Ok(counters)
}

/// Compares all of them with what was sent.
pub fn compare(trace: &Trace, counters: &[Counter]) -> Outcome {
    for counter in counters {
        let Counter { event, trigger } = counter;
        let (field, expected) = expected(counter)?;
        let got = counted(&trace.hist(event)?, trigger, field)?;
        println!("{event} {trigger}: {got:?}");
        check_eq(
            format!("{event} {trigger}"),
            got,
            expected.into_iter().collect(),
        )?;
    }
    Ok(())
}

/// How often each value of a key was counted, or, without a key, all.
fn counted(hist: &str, trigger: &str, field: Option<&str>) -> Outcome<Counts> {
    let (keys, filter) = match trigger.split_once(" if ") {
        Some((keys, filter)) => (keys, format!(" if {filter} [")),
        None => (trigger, " [".to_owned()),
    };
    // As the kernel tells of it, with what is the default.
    let is_it = |section: &&str| {
        let info = section
            .lines()
            .find_map(|line| line.strip_prefix("# trigger info: "));
        // As 7.3 has it.
        let info = info.map(|info| info.replace("common_cpucommon_cpu", "common_cpu"));
        info.is_some_and(|info| {
            info.starts_with(&format!("{keys}:vals"))
                && info.contains(&filter)
                && info.contains(" if ") == trigger.contains(" if ")
        })
    };
    let mut sections = hist.split("# event histogram");
    let section = sections.find(is_it);
    let section = section.ok_or_else(|| fail(format!("no {trigger} in:\n{hist}")))?;
    let hist = parse(section);
    check_eq("what was not counted", hist.dropped, 0)?;
    let mut counts = Counts::new();
    for entry in hist.entries {
        // The kernel shows numbers below 0 as if they were none.
        let of = field.and_then(|field| entry.get(field)).unwrap_or(0) as i64;
        *counts.entry(of.into()).or_default() += entry.get("hitcount").unwrap_or(0);
    }
    Ok(counts)
}

/// What the test has sent, by values of a key, or all in one.
fn expected(counter: &Counter) -> Outcome<(Option<&'static str>, Counts)> {
    // Under PREEMPT_RT there is one timer less.
    let third = if preempt_rt() { 0 } else { 1 };
    let kicks = 34 + third;
    let name = counter.event.rsplit('/').next();
    Ok(match (name.unwrap_or_default(), counter.trigger) {
        ("kvm_xen_deliver", "hist:keys=vm,vcpu_id,outcome" | "hist:keys=common_cpu,outcome") => (
            Some("outcome"),
            Counts::from([(0, 20), (1, 11), (2, 7), (3, kicks), (4, 6), (5, 5), (6, 4)]),
        ),
        ("kvm_xen_deliver", "hist:keys=vm,vcpu_id if waited == 1 && outcome < 5") => {
            (None, Counts::from([(0, 3)]))
        }
        ("kvm_xen_deliver", "hist:keys=vm,vcpu_id if waited == 0 && outcome < 5") => {
            (None, Counts::from([(0, 20 + 11 + 7 + kicks + 6 - 3)]))
        }
        ("kvm_xen_poll", "hist:keys=vm,vcpu_id,what") => {
            (Some("what"), Counts::from([(0, 3), (1, 1), (2, 1), (3, 1)]))
        }
        ("kvm_xen_timer", "hist:keys=vm,vcpu_id,what") => {
            (Some("what"), Counts::from([(0, 1 + third), (1, 1), (2, 1)]))
        }
        ("kvm_xen_refresh", "hist:keys=vm,shared_info,error") => {
            (Some("error"), Counts::from([(-14, 1), (0, 3)]))
        }
        ("kvm_xen_hypercall", "hist:keys=common_pid,nr") => (
            Some("nr"),
            Counts::from([(SCHED_OP.into(), 3), (UNKNOWN_HYPERCALL.into(), 1)]),
        ),
        ("kvm_userspace_exit", "hist:keys=common_pid if reason == 34") => {
            (None, Counts::from([(0, 1)]))
        }
        (name, trigger) => return Err(fail(format!("nothing is known of {name} {trigger}"))),
    })
}
