// SPDX-License-Identifier: GPL-2.0
//! `check-proposals`: patches of the kernel crate, in a debug kernel that runs the crate's doctests
//! when it boots, and our module on that kernel.

mod doctests;

use crate::accel::Engine;
use crate::build_steps;
use crate::cli::Common;
use crate::klog::Splat;
use crate::ktap;
use crate::parts::Parts;
use crate::patches::machine::{self, Seen, Shown, Wanted, UPSTREAM};
use crate::patches::patch::{self, Patch};
use crate::patches::tree::Tree;
use crate::patches::{style, PROPOSALS};
use crate::paths::{Kernel, Kind, Paths};
use crate::progress::Screen;
use crate::report::Verdict;
use anyhow::{Context, Result};
use protocol::Side;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Where its config differs from the debug kernel's. Without KASAN it is built sooner.
const CONFIG: [&str; 3] = [
    "CONFIG_KUNIT=y",
    "CONFIG_RUST_KERNEL_DOCTESTS=y",
    "# CONFIG_KASAN is not set",
];

/// What the build of our module finds in a kernel with that patch (`rust/kernels/differences`).
const FOUND: (&str, &str) = ("srcu", "kernel_call_srcu");

/// A reproducer that has our module hand payloads to `call_srcu()`, beside a reader.
const REPRODUCER: &str = "deassign-beside-poller";

/// What 7.3's own examples of timers on the stack (`time/hrtimer.rs`) have `DEBUG_OBJECTS` report.
const OF_TIMERS: [&str; 2] = ["debug_object_is_on_stack", "is on stack"];

/// Tries these patches, or all, together; whether all is as it should be.
pub fn run(common: &Common, names: &[String]) -> Result<bool> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let patches = patch::named(patch::all(&paths.source, PROPOSALS)?, names)?;
    let of_source = paths.of_kind(Kind::Debug)?;

    let kernels = style::kernels(&paths)?;
    let mut wrong = Vec::new();
    for patch in &patches {
        let applies = style::applies(patch, &kernels);
        for verdict in [applies, style::checkpatch(&paths, patch, &kernels)] {
            if let Verdict::NotOk(why, _) = verdict {
                wrong.push(format!("{}: {why}", patch.name));
            }
        }
    }

    let step = screen.step("Building the programs of the machine");
    let programs = build_steps::programs(&paths, &["init", "selftests"], |what| step.note(what))?;
    step.done("");
    let step = screen.step("Copying the kernel's source (once, two and a half gigabytes)");
    let tree = Tree::new(&paths, &of_source, "proposals")?;
    step.done("");
    tree.apply(&patches.iter().collect::<Vec<_>>())?;
    let step = screen.step("Building the kernel with the patches and its doctests");
    tree.configure(&CONFIG)?;
    let all = ["bzImage", "modules"];
    tree.make(&all, "proposals", |line| step.note(line.trim()))?;
    step.done("");
    let kernel = install(&paths, &tree, &of_source)?;

    let mut modules = Vec::new();
    for of in [&of_source, &kernel] {
        let step = screen.step(format!("Building kvm_xen_rs.ko for {}", of.label));
        modules.push(build_steps::module(&paths, of, |line| {
            step.note(line.trim());
        })?);
        step.done("");
    }
    let found = build_steps::differences(&paths, &kernel)?;
    let has_it = patches.iter().any(|patch| patch.name == FOUND.0);
    if found.iter().any(|name| name == FOUND.1) != has_it {
        wrong.push(format!(
            "the module is not built by {} as it should",
            FOUND.1
        ));
    }

    let module = modules.pop();
    let parts = Parts::new(&paths, common, kernel, &Arc::new(programs), module)?;
    let wanted = Wanted {
        name: "proposals",
        parts: &parts,
        side: Side::Rust,
        reproducers: &[REPRODUCER.to_owned()],
        upstream: true,
        append: doctests::APPEND,
    };
    let engine = Engine::choose(common.accel)?;
    screen.line(format!("  The machine is run by {}", engine.why));
    let shown = machine::run(&wanted, &engine, &screen, common.timeout)?;
    wrong.extend(of_module(&shown));
    wrong.extend(of_doctests(
        &screen,
        &patches,
        tree.directory(),
        &shown.log,
    )?);
    wrong.iter().for_each(|line| screen.line(line));
    println!("{} proposals, {} wrong", patches.len(), wrong.len());
    Ok(wrong.is_empty())
}

/// The kernel that was built, laid out as provisioning does.
fn install(paths: &Paths, tree: &Tree, of_source: &Kernel) -> Result<Kernel> {
    let name = of_source.label.replace("-debug", "-proposals-debug");
    let directory = paths.source.join("build/proposals").join(name);
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let to = format!("INSTALL_MOD_PATH={}", directory.display());
    tree.make(&[&to, "modules_install"], "proposals-install", |_| {})?;
    let copies = [
        ("arch/x86/boot/bzImage", "vmlinuz"),
        ("include/config/kernel.release", "release"),
    ];
    for (from, to) in copies {
        let from = tree.directory().join(from);
        fs::copy(&from, directory.join(to)).with_context(|| from.display().to_string())?;
    }
    let source = directory.join("source");
    if source.exists() {
        fs::remove_file(&source).with_context(|| source.display().to_string())?;
    }
    std::os::unix::fs::symlink(tree.directory(), &source)?;
    Kernel::open(&directory)
}

/// What is wrong with our module on that kernel.
fn of_module(shown: &Shown) -> Vec<String> {
    let mut wrong = Vec::new();
    for program in UPSTREAM.iter().copied().chain([REPRODUCER]) {
        match shown.of(program) {
            Seen::Right => {}
            seen => wrong.push(format!("{program} on our module: {seen}")),
        }
    }
    let is_known = |splat: &&Splat| {
        let is_of_timers = |line: &String| OF_TIMERS.iter().any(|words| line.contains(words));
        splat.step.is_none() && splat.lines.iter().any(is_of_timers)
    };
    for splat in shown.splats.iter().filter(|splat| !is_known(splat)) {
        wrong.push("the kernel reports:".to_owned());
        wrong.extend(splat.lines.iter().map(|line| format!("  {line}")));
    }
    wrong
}

/// What is wrong with the doctests: each must pass, and of the files that are patched each must
/// have been run.
fn of_doctests(screen: &Screen, patches: &[Patch], tree: &Path, log: &str) -> Result<Vec<String>> {
    let report = doctests::report(log);
    let mut wrong: Vec<String> = report.fault().into_iter().collect();
    for case in &report.cases {
        if case.result == ktap::Result::NotOk {
            wrong.push(format!("{} fails:", case.name));
            wrong.extend(case.lines.iter().map(|line| format!("  {line}")));
        }
    }
    screen.line(format!("  {} doctests have run", report.cases.len()));
    for patch in patches {
        let mut ran = Vec::new();
        for file in patch.files.iter().filter(|file| file.ends_with(".rs")) {
            let text = fs::read_to_string(tree.join(file)).with_context(|| file.clone())?;
            let (written, told) = (doctests::written(&text), doctests::of_file(&report, file));
            if written != told.len() {
                let told = told.len();
                wrong.push(format!("{file} has {written} examples, and {told} ran"));
            }
            ran.extend(told);
        }
        if ran.is_empty() {
            wrong.push(format!("{}: no example of it was run", patch.name));
        }
        screen.line(format!("  {}: {} in its files", patch.name, ran.len()));
    }
    Ok(wrong)
}
