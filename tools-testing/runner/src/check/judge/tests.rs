// SPDX-License-Identifier: GPL-2.0
//! Steps that end well, badly, and not at all.

use super::*;
use protocol::Side;

fn step(id: &str, output: Output) -> Step {
    Step {
        id: id.into(),
        side: Some(Side::C),
        limit_s: 1,
        action: Action::Exec(ExecAction {
            argv: vec!["/x".into()],
            output,
            flaws: Vec::new(),
        }),
    }
}

fn record(id: &str, outcome: Option<Outcome>, output: &[&str]) -> StepRecord {
    StepRecord {
        id: id.into(),
        outcome,
        took: Duration::from_secs(1),
        output: output.iter().map(|line| (*line).to_owned()).collect(),
        guest_kernel: Vec::new(),
    }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed {
        reason: reason.into(),
    }
}

fn judge(
    step: &Step,
    record: Option<&StepRecord>,
    fault: Option<&[String]>,
) -> Vec<(String, Verdict)> {
    let results = step_results(step, record, fault);
    results
        .into_iter()
        .map(|result| (result.name, result.verdict))
        .collect()
}

#[test]
fn a_step_that_was_not_reached() {
    let fault = ["the machine died in a".to_owned(), "panic".to_owned()];
    let results = judge(&step("b", Output::Text), None, Some(&fault));
    assert_eq!(
        results,
        [(
            "b".into(),
            Verdict::NotOk("not reached: the machine died in a".into(), vec![])
        )]
    );
}

#[test]
fn a_step_in_which_the_machine_died() {
    let fault = ["the machine died in a".to_owned(), "panic".to_owned()];
    let record = record("a", None, &["last words"]);
    let results = judge(&step("a", Output::Text), Some(&record), Some(&fault));
    let Verdict::NotOk(reason, lines) = &results[0].1 else {
        panic!("{results:?}");
    };
    assert_eq!(reason, "the machine died in a");
    assert_eq!(lines, &["last words", "panic"]);
}

#[test]
fn text_is_judged_as_a_whole() {
    let fine = record("a", Some(Outcome::Ok), &[]);
    assert_eq!(
        judge(&step("a", Output::Text), Some(&fine), None)[0].1,
        Verdict::Ok
    );
    let bad = record("a", Some(failed("ended with status 254")), &["assert"]);
    assert_eq!(
        judge(&step("a", Output::Text), Some(&bad), None)[0].1,
        Verdict::NotOk("ended with status 254".into(), vec!["assert".into()])
    );
}

#[test]
fn cases_are_judged_one_by_one() {
    let output = [
        "1..2",
        "ok 1 one",
        "# expected 0",
        "# got 1",
        "not ok 2 two",
    ];
    let record = record("s", Some(failed("ended with status 1")), &output);
    let results = judge(&step("s", Output::Ktap), Some(&record), None);
    assert_eq!(
        results,
        [
            ("s/one".into(), Verdict::Ok),
            (
                "s/two".into(),
                Verdict::NotOk("expected 0".into(), vec!["got 1".into()])
            )
        ]
    );
}

#[test]
fn a_program_of_cases_that_stops_short() {
    let killed = record(
        "s",
        Some(failed("was killed by SIGSEGV")),
        &["1..2", "ok 1 one"],
    );
    let results = judge(&step("s", Output::Ktap), Some(&killed), None);
    assert_eq!(results.len(), 2);
    assert_eq!(
        results[1].1,
        Verdict::NotOk("was killed by SIGSEGV".into(), vec![])
    );

    let short = record("s", Some(Outcome::Ok), &["1..2", "ok 1 one"]);
    let results = judge(&step("s", Output::Ktap), Some(&short), None);
    assert!(matches!(&results[1].1, Verdict::NotOk(reason, _) if reason.contains("announced 2")));
}

#[test]
fn a_program_that_skips_all() {
    let skip = Outcome::Skip { reason: "x".into() };
    let record = record(
        "s",
        Some(skip),
        &["KTAP version 1", "1..0 # SKIP no /dev/kvm"],
    );
    let results = judge(&step("s", Output::Ktap), Some(&record), None);
    assert_eq!(results, [("s".into(), Verdict::Skip("no /dev/kvm".into()))]);
}

#[test]
fn a_splat_names_its_step() {
    let splats = klog::splats(
        "kvm-xen-init: begin guest/xen-hvm\nkvm-xen-init: change to Rust\n\
         ------------[ cut here ]------------\nWARNING: at a.c:1 f+0x1/0x2\n",
    );
    let splats: Vec<&Splat> = splats.iter().collect();
    let Verdict::NotOk(reason, lines) = verdict(&splats) else {
        panic!("a warning is not fine");
    };
    assert_eq!(reason, "in guest/xen-hvm: WARNING: at a.c:1 f+0x1/0x2");
    assert_eq!(lines.len(), 2);
    assert_eq!(verdict(&[]), Verdict::Ok);
}

#[test]
fn an_expected_report_has_all_words() {
    let log = "kvm-xen-init: begin debug/c\n[ BUG: Invalid wait context ]\n\
        trying to lock (&gpc->lock)\n </TASK>\nkvm-xen-init: end debug/c\n";
    let splats = klog::splats(log);
    let expected = |words| Expected::Report(words);
    let logs = Path::new("/nonexistent");
    let verdict = |id, words| expected(words).verdict(&record(id, None, &["said"]), &splats, logs);
    assert_eq!(
        verdict("debug/c", &["Invalid wait", "&gpc->lock"]),
        Verdict::Ok
    );
    // One word is missing; and another step's report proves nothing.
    for (id, words) in [
        ("debug/c", &["Invalid wait", "xen_timer"][..]),
        ("debug/d", &["Invalid wait"]),
    ] {
        let Verdict::NotOk(reason, lines) = verdict(id, words) else {
            panic!("{id} has no {words:?}");
        };
        assert!(reason.starts_with("the kernel reported nothing with Invalid wait"));
        assert_eq!(lines.last().map(String::as_str), Some("said"));
    }
}

/// Whether a log is taken for good.
fn is_good(log: Log) -> bool {
    let report = Report::new(&crate::progress::Screen::new());
    logs(&report, &[log]);
    report.is_good()
}

const LOG: Log = Log {
    name: String::new(),
    machine: Vec::new(),
    is_debug: false,
    is_heard: true,
    guest: None,
};

#[test]
fn a_debug_kernel_tells_all() {
    let machine = klog::splats(
        "kvm-xen-init: side C\nWARNING: virt/kvm/pfncache.c:267 at __kvm_gpc_refresh+0x1/0x2\n",
    );
    let of = |is_debug| Log {
        machine: machine.clone(),
        is_debug,
        ..LOG
    };
    assert!(is_good(of(false)) && !is_good(of(true)));
}

#[test]
fn a_log_that_would_not_show_a_warning_is_no_good() {
    assert!(is_good(LOG));
    assert!(!is_good(Log {
        is_heard: false,
        ..LOG
    }));
}

#[test]
fn a_warning_in_a_guest_is_a_failure() {
    let guest = |log| Log {
        guest: Some(klog::splats(log)),
        ..LOG
    };
    assert!(is_good(guest("kvm-xen-init: the guest is up\n")));
    assert!(!is_good(guest("WARNING: kernel/a.c:1 at f+0x1/0x2\n")));
}
