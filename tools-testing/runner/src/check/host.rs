// SPDX-License-Identifier: GPL-2.0
//! What is tested without a machine: the workspace's unit tests, its format and its lints, and the
//! documents.

use super::catalog::{Catalog, Crate};
use super::context::Context;
use super::names::HTMLDOCS;
use crate::build_steps::{cargo, run, Output};
use crate::patches;
use crate::progress::seconds;
use crate::report::Verdict;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Lines of a tool's output that are shown when it fails.
const TAIL: usize = 40;

/// Runs what is chosen, and adds the results.
pub fn tests(context: &Context, catalog: &Catalog) {
    for lint in &catalog.lint {
        if *lint == HTMLDOCS {
            let source = &context.paths.source;
            let mut htmldocs = Command::new(source.join("tools-testing/htmldocs"));
            htmldocs.arg(source.join("build/htmldocs"));
            whole(context, lint, &mut htmldocs);
            continue;
        }
        let arguments: &[&str] = match *lint {
            "fmt" => &["fmt", "--all", "--check"],
            _ => &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
        };
        whole(context, lint, &mut cargo(context.paths, arguments));
    }
    for check in &catalog.patches {
        let begun = Instant::now();
        let verdict = patches::check(context.paths, check);
        context.report.add(check, verdict, Some(begun.elapsed()));
    }
    for of in &catalog.crates {
        unit_tests(context, of);
    }
}

/// Breaks the module in the ways that are chosen, and adds whether that was noticed.
pub fn alarms(context: &Context, catalog: &Catalog) {
    for defect in &catalog.alarms {
        let step = context.screen.step(defect.test());
        let tried = defect.try_out(context.paths, context.common, |line| step.note(line.trim()));
        let (verdict, took) = match tried {
            Ok(tried) => (tried.verdict(), Some(tried.took)),
            Err(error) => (Verdict::NotOk(format!("{error:#}"), Vec::new()), None),
        };
        context.report.add(&defect.test(), verdict, took);
    }
}

/// Runs a program that is one test; adds its result.
pub fn whole(context: &Context, name: &str, command: &mut Command) {
    silent(context, name, command, |_| false);
}

/// As above, for a program that must not print a line of a kind.
pub fn silent(context: &Context, name: &str, command: &mut Command, bad: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    let verdict = match output(context, name, command) {
        Ok(output) if output.ok && !output.lines.iter().any(|line| bad(line)) => Verdict::Ok,
        Ok(output) => Verdict::NotOk("it complains".into(), output.tail(TAIL)),
        Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
    };
    context.report.add(name, verdict, Some(begun.elapsed()));
}

fn output(context: &Context, name: &str, command: &mut Command) -> anyhow::Result<Output> {
    let step = context.screen.step(name);
    let file = name.replace('/', "-") + ".log";
    let log = context.paths.logs.join("host").join(file);
    run(command, &log, |line| step.note(line.trim()))
}

/// Runs a crate's tests; each of them is a result.
fn unit_tests(context: &Context, Crate { name, directory }: &Crate) {
    let group = format!("host/{name}");
    let begun = Instant::now();
    let arguments = ["test", "--locked", "--no-fail-fast", "-p", name];
    let output = match output(context, &group, &mut cargo(context.paths, &arguments)) {
        Ok(output) => output,
        Err(error) => {
            let verdict = Verdict::NotOk(format!("{error:#}"), Vec::new());
            return context.report.add(&group, verdict, None);
        }
    };
    let took = seconds(begun.elapsed());
    context.screen.line(format!("# {group} took {took}"));
    let tests = parse(&output.lines);
    let a_test_failed = tests
        .iter()
        .any(|test| matches!(test.verdict, Verdict::NotOk(..)));
    let told = tests.len();
    for test in tests {
        let name = format!("{group}/{}", test.name);
        if context.selection.has(&name) || context.selection.has(&group) {
            context.report.add(&name, test.verdict, None);
        }
    }
    let reason = match written(directory) {
        _ if !output.ok && !a_test_failed => "cargo test failed".to_owned(),
        Ok(written) if told < written => format!("{written} tests are written, and {told} told"),
        Ok(_) => return,
        Err(error) => format!("{error:#}"),
    };
    let verdict = Verdict::NotOk(reason, output.tail(TAIL));
    context.report.add(&group, verdict, Some(begun.elapsed()));
}

/// How many tests the files of a crate have. Those of the module that it is made of have more.
fn written(directory: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            count += written(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            count += text.lines().filter(|line| line.trim() == "#[test]").count();
        }
    }
    Ok(count)
}

/// A unit test.
#[derive(Debug, PartialEq, Eq)]
struct Test {
    name: String,
    verdict: Verdict,
}

/// Reads what libtest prints: "test NAME ... ok", and of a failure later "---- NAME stdout ----"
/// and its output.
fn parse(lines: &[String]) -> Vec<Test> {
    let mut tests = Vec::new();
    for line in lines {
        let Some((name, end)) = line
            .strip_prefix("test ")
            .and_then(|l| l.rsplit_once(" ... "))
        else {
            continue;
        };
        // "test NAME - should panic ... ok", "test FILE - ITEM (line N) - compile ... ok"
        let name = name.split(" - should panic").next().unwrap_or(name);
        let shown = match (name.split_once(" - "), name.split_once(" (line ")) {
            (Some((file, _)), Some((_, line))) => {
                format!("doc/{file}:{}", line.split(')').next().unwrap_or(line))
            }
            _ => name.to_owned(),
        };
        let verdict = match end {
            "ok" => Verdict::Ok,
            "FAILED" => Verdict::NotOk("it failed".into(), failure(lines, name)),
            end => match end.strip_prefix("ignored") {
                Some(reason) => {
                    let reason = reason.trim_start_matches([',', ' ']);
                    Verdict::Skip(if reason.is_empty() { "ignored" } else { reason }.to_owned())
                }
                None => continue,
            },
        };
        tests.push(Test {
            name: shown,
            verdict,
        });
    }
    tests
}

fn failure(lines: &[String], name: &str) -> Vec<String> {
    let heading = format!("---- {name} stdout ----");
    let output = lines.iter().skip_while(|line| **line != heading).skip(1);
    output
        .take_while(|line| !line.starts_with("---- ") && *line != "failures:")
        .filter(|line| !line.is_empty() && !line.starts_with("note: run with"))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted() {
        let count = written(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/check/module"));
        assert!(count.unwrap() >= 4);
    }

    #[test]
    fn libtest_is_read() {
        let text = "     Running unittests src/lib.rs (target/debug/deps/pure-1)\n\nrunning 4 tests\n\
            test a::fine ... ok\ntest a::bad ... FAILED\ntest a::slow ... ignored, takes an hour\n\
            test b - should panic ... ok\ntest x/src/lib.rs - (line 9) ... ok\n\
            test x/src/vm.rs - vm::Vm::new (line 25) - compile ... ok\n\nfailures:\n\n---- a::bad stdout ----\n\n\
            thread 'a::bad' panicked at src/lib.rs:3:9:\nassertion failed\n\nfailures:\n    a::bad\n\n\
            test result: FAILED. 2 passed; 1 failed\n";
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let tests = parse(&lines);
        let names: Vec<_> = tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names[..4], ["a::fine", "a::bad", "a::slow", "b"]);
        assert_eq!(names[4..], ["doc/x/src/lib.rs:9", "doc/x/src/vm.rs:25"]);
        assert_eq!(tests[0].verdict, Verdict::Ok);
        let Verdict::NotOk(_, lines) = &tests[1].verdict else {
            panic!("{tests:?}");
        };
        assert_eq!(lines.len(), 2);
        assert_eq!(tests[2].verdict, Verdict::Skip("takes an hour".into()));
        assert_eq!(tests[3].verdict, Verdict::Ok);
    }
}
