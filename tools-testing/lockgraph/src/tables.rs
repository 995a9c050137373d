// SPDX-License-Identifier: GPL-2.0

//! The tables of the document, in reStructuredText.

use crate::{
    besides::BESIDES,
    declared::{row, rows},
    neighbours::NEIGHBOURS,
    reasons::REASONS,
    rules::RULES,
    trusted::TRUSTED,
};
use pure::sync::{
    callers::CALLERS,
    order::{Row, TABLE},
};
use std::fmt::Write;

/// What generates the block of a name.
type Generator = fn() -> String;

/// The blocks that are generated, by name.
pub const BLOCKS: &[(&str, Generator)] = &[
    ("levels", levels),
    ("order", order),
    ("besides", besides),
    ("neighbours", neighbours),
    ("contexts", contexts),
    ("rules", rules),
    ("trusted", trusted),
];

/// Doc comments and the like have literals in single backquotes, reStructuredText in double.
fn rst(text: &str) -> String {
    text.replace("[`", "`")
        .replace("`]", "`")
        .replace('`', "``")
        .replace('*', "\\*")
}

fn literal(text: &str) -> String {
    format!("``{text}``")
}

fn literals(texts: &[&str]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| literal(text)).collect();
    texts.join(", ")
}

/// The lines of a doc comment as one.
fn joined(doc: &[&str]) -> String {
    rst(&doc
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" "))
}

fn table(widths: &[u32], header: &[&str], lines: impl Iterator<Item = Vec<String>>) -> String {
    let widths: Vec<_> = widths.iter().map(u32::to_string).collect();
    let mut text = format!(
        ".. list-table::\n   :header-rows: 1\n   :widths: {}\n\n",
        widths.join(" ")
    );
    let header = header.iter().map(|cell| cell.to_string()).collect();
    for line in std::iter::once(header).chain(lines) {
        assert_eq!(line.len(), widths.len());
        for (i, cell) in line.iter().enumerate() {
            let mark = if i == 0 { "* -" } else { "  -" };
            let cell = if cell.is_empty() { "\\-" } else { cell };
            // A string takes all.
            let _ = writeln!(text, "   {mark} {cell}");
        }
    }
    text
}

fn levels() -> String {
    let lines = rows().map(|row| {
        vec![
            literal(row.name),
            literal(row.level),
            joined(row.doc),
            entered(row).into(),
            allows(row),
        ]
    });
    table(
        &[16, 12, 40, 12, 20],
        &["Level", "Type", "What it is", "Entered", "May do inside"],
        lines,
    )
}

fn entered(row: &Row) -> &'static str {
    match row.entry {
        "Asleep" => "asleep",
        "Spinning" => "spinning; asleep under PREEMPT_RT",
        _ if row.anywhere => "at any time",
        _ => "at once",
    }
}

/// What may be done inside of a level if it may be done outside.
fn allows(row: &Row) -> String {
    let all = [
        ("MaySleep", "sleep"),
        ("MaySpin", "spin"),
        ("MayTryLock", "try a lock"),
        ("MayWaitForSrcu", "wait for readers"),
        ("MayWaitForGuest", "wait for the guest"),
        ("MayWake", "wake"),
    ];
    let may = all.iter().filter_map(|(property, word)| {
        if row.unless_rt.contains(property) {
            return Some(format!("{word} (not under PREEMPT_RT)"));
        }
        row.keeps.contains(property).then(|| word.to_string())
    });
    may.collect::<Vec<_>>().join(", ")
}

fn order() -> String {
    let lines = REASONS.iter().map(|reason| {
        let thread = reason.thread.map(|thread| format!(" ({})", thread.label()));
        vec![
            literal(row(reason.edge.outer).name),
            literal(row(reason.edge.inner).name),
            format!("{}{}", rst(reason.why), thread.unwrap_or_default()),
            rst(reason.place),
        ]
    });
    table(
        &[16, 16, 44, 24],
        &["Outer", "Inner", "Why", "For example"],
        lines,
    )
}

fn besides() -> String {
    let lines = BESIDES.iter().map(|besides| {
        vec![
            literal(row(besides.edge.outer).name),
            literal(row(besides.edge.inner).name),
            rst(besides.why),
            rst(besides.place),
        ]
    });
    table(
        &[16, 16, 44, 24],
        &["Outer", "Inner", "Why it is not declared", "Where"],
        lines,
    )
}

fn neighbours() -> String {
    let names = |levels: &[&str]| {
        let names: Vec<_> = levels
            .iter()
            .map(|level| literal(row(level).name))
            .collect();
        names.join(", ")
    };
    let lines = NEIGHBOURS.iter().map(|neighbour| {
        vec![
            literal(neighbour.class),
            names(neighbour.inside),
            names(neighbour.around),
            rst(neighbour.why),
        ]
    });
    table(
        &[18, 18, 16, 48],
        &["Lock", "Taken inside", "Around", "What it is"],
        lines,
    )
}

fn contexts() -> String {
    let lines = CALLERS.iter().map(|caller| {
        let held = TABLE.into_iter().flatten().enumerate();
        let held = held.filter(|(number, _)| caller.levels & (1 << number) != 0);
        let held: Vec<_> = held.map(|(_, row)| literal(row.name)).collect();
        let functions = caller.functions.iter().map(|name| literal(name));
        vec![
            literal(caller.context),
            if held.is_empty() {
                "nothing".into()
            } else {
                held.join(", ")
            },
            joined(caller.doc),
            functions.collect::<Vec<_>>().join(", "),
        ]
    });
    table(
        &[12, 18, 44, 26],
        &["Context", "Inside of", "Who calls", "What of ours"],
        lines,
    )
}

fn rules() -> String {
    let lines = RULES.iter().map(|rule| {
        vec![
            rst(rule.rule),
            rst(rule.by),
            literals(rule.refused),
            literals(rule.allowed),
        ]
    });
    table(
        &[34, 20, 28, 18],
        &["Rule", "Enforced by", "Does not compile", "Compiles"],
        lines,
    )
}

fn trusted() -> String {
    let lines = TRUSTED.iter().map(|trusted| {
        vec![
            literals(trusted.functions),
            rst(trusted.needs),
            literals(trusted.by),
            literal(trusted.file),
        ]
    });
    table(
        &[30, 32, 24, 14],
        &["C", "Needs", "What sees to it", "In"],
        lines,
    )
}
