// SPDX-License-Identifier: GPL-2.0
//! `demo`: a Xen guest at work while Rust, C and Rust again serve it.

use crate::accel::Engine;
use crate::boot::{self, Boot};
use crate::cli::Common;
use crate::parts::{pack, Parts, GUEST_LIMIT_S};
use crate::paths::Paths;
use crate::progress::Screen;
use crate::{klog, narrate, summary};
use anyhow::{bail, Result};
use protocol::{Action, Phase, Side, Step};
use std::time::Instant;

/// Seconds that a round may take, on average.
const ROUND_LIMIT_S: u64 = 5;

/// Runs the demo, with that many rounds of the guest's work in each phase.
pub fn run(common: &Common, rounds: u32) -> Result<()> {
    let begun = Instant::now();
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let parts = Parts::build(&paths, common, &[], &screen)?;
    let step = screen.step("Choosing how to run machines");
    let engine = Engine::choose(common.accel)?;
    step.done(&engine.accel.to_string());

    let (mut initramfs, mut plan) = parts.machine()?;
    let sides: &[Side] = match common.no_module {
        true => &[Side::C],
        false => &[Side::Rust, Side::C, Side::Rust],
    };
    let phases = sides.iter().map(|&side| Phase { side, rounds });
    let guest = parts.xen_guest(&mut initramfs, 2, phases.collect(), true)?;
    plan.steps = vec![Step {
        id: "demo".into(),
        side: None,
        limit_s: GUEST_LIMIT_S + u64::from(rounds) * sides.len() as u64 * ROUND_LIMIT_S,
        action: Action::Guest(guest),
    }];
    let initramfs = pack(initramfs, &plan, &screen);

    let mut narrator = narrate::Narrator::new(&screen, &paths.kernel.release);
    let mut boot = Boot {
        name: "demo",
        engine: &engine,
        accel: engine.accel,
        kernel: &paths.kernel,
        append: "",
        smp: 2,
        memory_mib: 1536,
        initramfs,
        plan: &plan,
        limit_s: common.timeout,
        terminal: None,
    };
    let ended = boot::run(&mut boot, &paths.logs, &mut |event| narrator.event(event))?;
    narrator.off(&ended);
    ended.insist()?;
    let splats = klog::splats(&ended.kernel_log);
    if let Some(splat) = splats.iter().find(|splat| !splat.is_known_of_c()) {
        bail!("the kernel complained:\n{}", splat.lines.join("\n"));
    }
    for line in summary::lines(&ended.events) {
        screen.line(line);
    }
    let took = begun.elapsed().as_secs_f64();
    screen.line(format!(
        "\nDone in {took:.1} s. Logs: {}",
        ended.logs.display()
    ));
    Ok(())
}
