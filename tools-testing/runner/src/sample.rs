// SPDX-License-Identifier: GPL-2.0
//! `sample`: a small VMM and its guest, on C and then on Rust, in one boot.

use crate::accel::Engine;
use crate::boot::{self, Boot};
use crate::cli::Common;
use crate::parts::{pack, Parts, HELLO_LIMIT_S};
use crate::paths::Paths;
use crate::progress::Screen;
use anyhow::Result;
use protocol::{Action, Event, Side, Step};

/// Runs it, and shows what it prints.
pub fn run(common: &Common) -> Result<()> {
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let parts = Parts::build(&paths, common, &["hello-xen"], &screen)?;
    let engine = Engine::choose(common.accel)?;
    screen.line(format!("  Machines run by {}", engine.why));

    let (mut initramfs, mut plan) = parts.machine()?;
    let hello = parts.hello(&mut initramfs)?;
    let sides: &[Side] = match parts.has_module() {
        true => &[Side::C, Side::Rust],
        false => &[Side::C],
    };
    plan.steps = sides
        .iter()
        .map(|&side| Step {
            id: format!("hello-xen on {side}"),
            side: Some(side),
            limit_s: HELLO_LIMIT_S,
            action: Action::Exec(hello.clone()),
        })
        .collect();
    let mut boot = Boot {
        name: "sample",
        engine: &engine,
        accel: engine.accel,
        kernel: &paths.kernel,
        append: "",
        smp: 2,
        memory_mib: 1024,
        initramfs: pack(initramfs, &plan, &screen),
        plan: &plan,
        limit_s: common.timeout,
        terminal: None,
    };
    let mut booting = Some(screen.step(format!("Booting {}", paths.kernel.release)));
    let ended = boot::run(&mut boot, &paths.logs, &mut |event| match event {
        Event::Begin { id } => {
            if let Some(step) = booting.take() {
                step.done("");
            }
            screen.line(format!("\n{id}:"));
        }
        Event::Output { line } => screen.line(format!("  {line}")),
        _ => {}
    })?;
    drop(booting);
    ended.insist()
}
