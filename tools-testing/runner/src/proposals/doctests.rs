// SPDX-License-Identifier: GPL-2.0
//! The doctests of the kernel crate: which there have to be, and what KUnit says of them at boot.

use crate::ktap::{self, Case, Report};

/// What has KUnit run these alone, and shows what it says.
pub const APPEND: &str = "loglevel=7 kunit.filter_glob=rust_doctests_kernel";

/// The files that have them.
const CRATE: &str = "rust/kernel/";

/// What KUnit has told, in a kernel's log.
pub fn report(log: &str) -> Report {
    // The cases of a suite are indented; what else the kernel says between them is not.
    let of_suite = log.lines().filter_map(|line| {
        let (_time, message) = line.strip_prefix('[')?.split_once("] ")?;
        message.strip_prefix("    ")
    });
    ktap::parse(of_suite)
}

/// How many examples in the text of a source file are run: those of blocks without a word.
pub fn written(text: &str) -> usize {
    let comments = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))
    });
    let fences = comments.filter_map(|line| line.trim().strip_prefix("```"));
    // Every other one ends a block.
    fences.step_by(2).filter(|words| words.is_empty()).count()
}

/// The cases of a source file of the kernel crate: `sync/srcu.rs` is `sync_srcu_rs` in their names.
pub fn of_file<'a>(report: &'a Report, file: &str) -> Vec<&'a Case> {
    let Some(file) = file.strip_prefix(CRATE) else {
        return Vec::new();
    };
    let name = file.replace(['/', '.'], "_");
    let prefix = format!("rust_doctest_kernel_{name}");
    let is_of_it = |case: &&Case| {
        let number = case.name.rsplit_once('_');
        number.is_some_and(|(of, _)| of == prefix)
    };
    report.cases.iter().filter(is_of_it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "[    1.000000] KTAP version 1\n[    1.000001] 1..1\n\
        [    1.000002]     KTAP version 1\n[    1.000003]     # Subtest: rust_doctests_kernel\n\
        [    1.000004]     1..3\n[    1.000005] lib: foo() called\n\
        [    1.000006]     ok 1 rust_doctest_kernel_sync_srcu_rs_0\n\
        [    1.000007]     # rust_doctest_kernel_sync_srcu_rs_1: ASSERTION FAILED at x:1\n\
        [    1.000008]     not ok 2 rust_doctest_kernel_sync_srcu_rs_1\n\
        [    1.000009]     ok 3 rust_doctest_kernel_sync_rs_0\n\
        [    1.000010] not ok 1 rust_doctests_kernel\n";

    #[test]
    fn what_kunit_says_at_boot() {
        let report = report(LOG);
        assert_eq!(report.fault(), None);
        let cases = of_file(&report, "rust/kernel/sync/srcu.rs");
        let results: Vec<_> = cases.iter().map(|case| &case.result).collect();
        assert_eq!(results, [&ktap::Result::Ok, &ktap::Result::NotOk]);
        assert!(cases[1].lines[0].contains("ASSERTION FAILED"));
        assert_eq!(of_file(&report, "rust/kernel/sync.rs").len(), 1);
        assert!(of_file(&report, "rust/helpers/srcu.c").is_empty());
    }

    #[test]
    fn a_boot_that_ends_early_is_no_report() {
        let (early, _) = LOG.split_at(LOG.find("not ok 2").unwrap());
        assert!(report(early).fault().is_some());
        assert!(report("[    1.000000] Linux version 7.3.4\n")
            .fault()
            .is_some());
    }

    #[test]
    fn examples_that_run_are_counted() {
        let text =
            "//! ```\n//! a\n//! ```\n    /// ```ignore,compile_fail\n    /// b\n    /// ```\n\
            /// ```\n/// c\n/// ```\nlet x = \"```\";\n";
        assert_eq!(written(text), 2);
        assert_eq!(written("fn x() {}\n"), 0);
    }
}
