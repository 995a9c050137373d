// SPDX-License-Identifier: GPL-2.0
//! What is expected of tests: one verdict of each, and that they pass, but for what is listed here.
//!
//! What C gets wrong is listed with our selftests: there it has to fail on C.

use crate::report::Verdict;
use std::collections::BTreeMap;

/// Why tests are left out that have timers, or pages that come and go, under `PREEMPT_RT`.
pub const HANGS_UNDER_RT: &str = "under PREEMPT_RT C hangs the machine (c-bugs.rst)";

/// What a test may come to that is not of Rust's making.
struct Known {
    /// Its name, or the end of it after a slash.
    test: &'static str,
    /// A part of the reason that it gives.
    says: &'static str,
    /// Why a failure is so, which then counts as a skip; none where it is skipped.
    fails: Option<&'static str>,
}

/// All of that.
const KNOWN: [Known; 6] = [
    Known {
        test: "upstream/c/xen_shinfo_test",
        says: "has not ended within",
        fails: Some("C loses a wake-up now and then"),
    },
    Known {
        test: "fixes/compatibility_mode_has_no_upper_halves",
        says: "this CPU clears the upper halves",
        fails: None,
    },
    Known {
        test: "selftests/c",
        says: HANGS_UNDER_RT,
        fails: None,
    },
    Known {
        test: "guest/migration",
        says: HANGS_UNDER_RT,
        fails: None,
    },
    Known {
        test: "takeover/xen-hvm",
        says: HANGS_UNDER_RT,
        fails: None,
    },
    // Of those beside the one that everything is run on (check/machines/beside.rs).
    Known {
        test: "all",
        says: "the archive has no such kernel",
        fails: None,
    },
];

fn find(name: &str, reason: &str, is_skip: bool) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        let before = name.strip_suffix(known.test);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
            && reason.contains(known.says)
            && known.fails.is_none() == is_skip
    })
}

/// The verdict as it counts: a failure that is known is a skip, and a skip that is not, a failure.
pub fn counted(name: &str, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Skip(reason) if find(name, &reason, true).is_none() => {
            Verdict::NotOk(format!("it was skipped: {reason}"), Vec::new())
        }
        Verdict::NotOk(reason, lines) => {
            match find(name, &reason, false).and_then(|known| known.fails) {
                Some(why) => Verdict::Skip(format!("{why}: {reason}")),
                None => Verdict::NotOk(reason, lines),
            }
        }
        verdict => verdict,
    }
}

/// Whether each of the chosen tests has told once how it went, given how often each test has. Of a
/// crate's tests only the crate is known.
pub fn each_once(chosen: &[String], told: &BTreeMap<String, u32>) -> Verdict {
    let of = |name: &String| match name.starts_with("host/") {
        true => u32::from(told.range(name.clone()..).next().is_some_and(|(test, _)| {
            test == name
                || test
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        })),
        false => told.get(name).copied().unwrap_or(0),
    };
    let others = chosen.iter().map(|name| (name, of(name)));
    let others: Vec<_> = others
        .filter(|(_, times)| *times != 1)
        .map(|(name, times)| format!("{name}: {times} times"))
        .collect();
    match others.is_empty() {
        true => Verdict::Ok,
        false => Verdict::NotOk("not each test has told once how it went".into(), others),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANGS: &str = "has not ended within its 60 s";

    fn failed(reason: &str) -> Verdict {
        Verdict::NotOk(reason.into(), Vec::new())
    }

    #[test]
    fn what_c_fails_is_known_by_name_and_reason() {
        let is_skip =
            |name: &str, reason| matches!(counted(name, failed(reason)), Verdict::Skip(_));
        assert!(is_skip("upstream/c/xen_shinfo_test", HANGS));
        assert!(is_skip("7.2/upstream/c/xen_shinfo_test", HANGS));
        assert!(!is_skip(
            "upstream/c/xen_shinfo_test",
            "ended with status 254"
        ));
        assert!(!is_skip("upstream/rust/xen_shinfo_test", HANGS));
        assert!(!is_skip("selftests/c/ports/send", HANGS));
    }

    #[test]
    fn a_skip_is_known_or_a_failure() {
        let name = "selftests/rust/fixes/compatibility_mode_has_no_upper_halves";
        let skip = |reason: &str| Verdict::Skip(reason.into());
        let known = skip("this CPU clears the upper halves in compatibility mode");
        assert_eq!(counted(name, known.clone()), known);
        for (name, reason) in [
            (name, "no luck"),
            ("guest/migration/c-to-c", "QEMU declines"),
        ] {
            assert!(matches!(counted(name, skip(reason)), Verdict::NotOk(..)));
        }
        assert_eq!(counted(name, Verdict::Ok), Verdict::Ok);
    }

    #[test]
    fn each_chosen_test_tells_once() {
        let chosen = ["a/b", "host/pure"].map(str::to_owned);
        let of = |told: &[(&str, u32)]| {
            let told = told
                .iter()
                .map(|(name, times)| ((*name).to_owned(), *times));
            each_once(&chosen, &told.collect())
        };
        assert_eq!(
            of(&[("a/b", 1), ("host/pure/x", 1), ("klog/c", 1)]),
            Verdict::Ok
        );
        for told in [
            &[("a/b", 1)][..],
            &[("a/b", 1), ("host/purely/x", 1)],
            &[("host/pure/x", 1)],
            &[("a/b", 2), ("host/pure", 1)],
        ] {
            assert!(matches!(of(told), Verdict::NotOk(..)), "{told:?}");
        }
    }
}
