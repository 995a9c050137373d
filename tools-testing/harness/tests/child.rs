// SPDX-License-Identifier: GPL-2.0
//! The watchdog of cases. It forks, which a test harness with threads must not
//! do, so this has a main function of its own.

// Not all of these modules is used here.
#![allow(dead_code)]

use std::thread::sleep;
use std::time::{Duration, Instant};

use child::{abandon, run, step, Verdict};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use outcome::{fail, Outcome, Stop};

#[path = "../src/child.rs"]
mod child;
#[path = "../src/outcome.rs"]
mod outcome;
#[path = "../src/stacks.rs"]
mod stacks;

const LIMIT: Duration = Duration::from_secs(20);

fn failure(case: fn() -> Outcome, limit: Duration) -> String {
    match run(&case, limit) {
        Verdict::Fail(text) => text,
        other => panic!("no failure: {other:?}"),
    }
}

#[track_caller]
fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in {text:?}");
}

fn hang() -> Outcome {
    step("the end of days");
    loop {
        sleep(LIMIT);
    }
}

fn main() {
    let pass: fn() -> Outcome = || Ok(());
    assert_eq!(run(&pass, LIMIT), Verdict::Pass);

    let skip: fn() -> Outcome = || Err(Stop::Skip("no luck".into()));
    assert_eq!(run(&skip, LIMIT), Verdict::Skip("no luck".into()));

    let text = failure(|| Err(fail("x: expected 1, got 2")), LIMIT);
    assert_contains(&text, "x: expected 1, got 2\nat ");

    let text = failure(|| panic!("alas"), LIMIT);
    assert_contains(&text, "alas");

    let text = failure(|| std::process::abort(), LIMIT);
    assert_contains(&text, "SIGABRT");

    let text = failure(
        || {
            std::thread::spawn(hang);
            abandon(fail("given up"))
        },
        LIMIT,
    );
    assert_contains(&text, "given up");

    let text = failure(|| std::process::exit(0), LIMIT);
    assert_contains(&text, "without a verdict");

    let start = Instant::now();
    let text = failure(hang, Duration::from_millis(200));
    assert_contains(&text, "not done within 0.2 s, last the end of days");
    assert!(start.elapsed() < LIMIT, "the hang was not ended in time");

    // A stopped process does not answer, but can be killed.
    let stopped = || {
        kill(Pid::this(), Signal::SIGSTOP)?;
        Ok(())
    };
    let text = failure(stopped, Duration::from_millis(200));
    assert_contains(&text, "not done within 0.2 s");
    assert!(!text.contains("can't be killed"));

    // What has to fail fails by what it checks.
    let fails = || Err(fail("lost"));
    assert_eq!(run(&fails, LIMIT).turned(), Verdict::Pass);
    assert!(matches!(run(&pass, LIMIT).turned(), Verdict::Fail(_)));
    assert!(matches!(run(&skip, LIMIT).turned(), Verdict::Skip(_)));
    let hangs = run(&hang, Duration::from_millis(200));
    assert!(matches!(hangs.turned(), Verdict::Fail(_)));
    let crashes = run(&|| std::process::abort(), LIMIT);
    assert!(matches!(crashes.turned(), Verdict::Fail(_)));

    println!("child: all as expected");
}
