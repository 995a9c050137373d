// SPDX-License-Identifier: GPL-2.0
//! Reading KTAP, in which the kernel's tests report.

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Result {
    /// It passed.
    Ok,
    /// It failed.
    NotOk,
    /// It could not be tried, and why.
    Skip(String),
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// As the program names it.
    pub name: String,
    /// What came of it.
    pub result: Result,
    /// The lines since the case before, which say what is wrong.
    pub lines: Vec<String>,
}

/// A program's report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many cases it announced.
    pub planned: Option<usize>,
    /// Why it skipped all of them.
    pub skipped: Option<String>,
    /// The cases that it told of.
    pub cases: Vec<Case>,
    /// Lines after the last case.
    pub rest: Vec<String>,
}

impl Report {
    /// What is wrong with the report itself.
    pub fn fault(&self) -> Option<String> {
        match (self.planned, self.cases.len()) {
            (None, _) => Some("it announced no number of cases".into()),
            (Some(planned), told) if planned != told => {
                Some(format!("it announced {planned} cases and told of {told}"))
            }
            _ => None,
        }
    }
}

/// Reads the output of a program. Cases inside a case are details of it.
pub fn parse<'a>(output: impl IntoIterator<Item = &'a str>) -> Report {
    let mut report = Report::default();
    for line in output {
        let line = line.trim_end();
        if let Some(plan) = line.strip_prefix("1..") {
            let (count, comment) = directive(plan);
            report.planned = count.trim().parse().ok();
            if report.planned == Some(0) {
                report.skipped = Some(comment.unwrap_or("no case can run").into());
            }
        } else if let Some((name, result)) = result_line(line) {
            report.cases.push(Case {
                name,
                result,
                lines: std::mem::take(&mut report.rest),
            });
        } else if !line.starts_with("KTAP version") && !line.starts_with("TAP version") {
            let line = line.strip_prefix("# ").unwrap_or(line);
            if !line.is_empty() {
                report.rest.push(line.to_owned());
            }
        }
    }
    report
}

fn result_line(line: &str) -> Option<(String, Result)> {
    let (ok, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    let rest = rest.strip_prefix(' ')?;
    let (text, skip) = directive(rest);
    let text = text.trim();
    // The number is optional in TAP, as is the dash after it.
    let text = match text.split_once(' ') {
        Some((number, name)) if number.parse::<usize>().is_ok() => name,
        _ => text,
    };
    let name = text.strip_prefix("- ").unwrap_or(text).trim().to_owned();
    let result = match (ok, skip) {
        (true, Some(reason)) => Result::Skip(reason.to_owned()),
        (true, None) => Result::Ok,
        (false, _) => Result::NotOk,
    };
    Some((name, result))
}

/// Splits off "# SKIP reason"; any other comment is dropped.
fn directive(text: &str) -> (&str, Option<&str>) {
    match text.split_once('#') {
        None => (text, None),
        Some((before, comment)) => {
            let comment = comment.trim();
            let is_skip = comment
                .get(..4)
                .is_some_and(|word| word.eq_ignore_ascii_case("skip"));
            (before, is_skip.then(|| comment[4..].trim()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report() {
        let report = parse(
            "KTAP version 1\n1..3\nok 1 long_mode\n# port 4096: expected -EINVAL\n# got 0\n\
             not ok 2 ports_at_the_edge\nok 3 - poll # SKIP no in-kernel APIC\n# took 1.0 s\n"
                .lines(),
        );
        assert_eq!(report.fault(), None);
        assert_eq!(report.rest, ["took 1.0 s"]);
        let [one, two, three] = &report.cases[..] else {
            panic!("{report:?}");
        };
        assert_eq!((one.name.as_str(), &one.result), ("long_mode", &Result::Ok));
        assert_eq!(
            (two.name.as_str(), &two.result),
            ("ports_at_the_edge", &Result::NotOk)
        );
        assert_eq!(two.lines, ["port 4096: expected -EINVAL", "got 0"]);
        assert_eq!(three.name, "poll");
        assert_eq!(three.result, Result::Skip("no in-kernel APIC".into()));
    }

    #[test]
    fn a_report_that_stops_short() {
        let report = parse(["1..2", "ok 1 one"]);
        assert_eq!(
            report.fault().unwrap(),
            "it announced 2 cases and told of 1"
        );
        assert!(parse(["ok 1 one"]).fault().is_some());
    }

    #[test]
    fn all_skipped() {
        let report = parse(["KTAP version 1", "1..0 # SKIP no /dev/kvm"]);
        assert_eq!(report.skipped.as_deref(), Some("no /dev/kvm"));
        assert_eq!(report.fault(), None);
    }

    #[test]
    fn cases_inside_a_case_are_details() {
        let report = parse(["1..1", "    1..1", "    ok 1 inner", "ok 1 outer"]);
        assert_eq!(report.cases.len(), 1);
        assert_eq!(report.cases[0].lines, ["    1..1", "    ok 1 inner"]);
    }

    #[test]
    fn words_that_only_look_like_results() {
        let report = parse(["okay", "not okay", "1..0 # skip all"]);
        assert!(report.cases.is_empty());
        assert_eq!(report.skipped.as_deref(), Some("all"));
    }
}
