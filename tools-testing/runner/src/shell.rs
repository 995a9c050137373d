// SPDX-License-Identifier: GPL-2.0
//! `shell` and `demo --shell`: a prompt in the machine.

use crate::accel::Engine;
use crate::boot::{self, Boot};
use crate::cli::Common;
use crate::narrate::Narrator;
use crate::parts::{pack, Parts};
use crate::paths::Paths;
use crate::progress::Screen;
use crate::terminal::{self, Raw};
use anyhow::{Context, Result};
use protocol::{Action, Event, Phase, Side, Step};
use std::os::unix::net::UnixStream;

const ALONE: &str = "
This machine has KVM; insmod /kvm_xen_rs.ko puts Rust in charge of its Xen guests.
  /sys/kernel/livepatch/kvm_xen_rs/           the switch: echo 0 > enabled hands back to C
  /tests/                                     upstream's tests and ours
  /tests/kvm-xen-top                          what Rust delivers, live
exit ends it.
";

const WITH_GUEST: &str = "
A Xen guest runs beside this prompt; Rust serves it.
  cat /run/xen-guest.events                   what the guest does, round by round
  ls /sys/kernel/livepatch/kvm_xen_rs/kvm/    the functions of kvm.ko that are replaced
  /tests/kvm-xen-top                          what Rust delivers to it, live
  echo 0 > /sys/kernel/livepatch/kvm_xen_rs/enabled; until rmmod kvm_xen_rs 2>&-; do sleep 1; done
                                              hands back to C, and the guest goes on
  insmod /kvm_xen_rs.ko                       takes over again
exit ends it.
";

/// Gives a prompt, with a Xen guest beside it or without.
pub fn run(common: &Common, guest: bool) -> Result<()> {
    terminal::check()?;
    let screen = Screen::new();
    let paths = Paths::new(common)?;
    let crates: &[&str] = if guest {
        &["top"]
    } else {
        &["selftests", "top"]
    };
    let parts = Parts::build(&paths, common, crates, &screen)?;
    let engine = Engine::choose(common.accel)?;
    screen.line(format!("  Machines run by {}", engine.why));

    let (mut initramfs, mut plan) = parts.machine()?;
    let mut shell = parts.shell(&mut initramfs, if guest { WITH_GUEST } else { ALONE })?;
    parts.top(&mut initramfs, &[])?;
    let side = if parts.has_module() {
        Side::Rust
    } else {
        Side::C
    };
    if guest {
        let phases = vec![Phase { side, rounds: 1 }];
        shell.guest = Some(parts.xen_guest(&mut initramfs, 2, phases, false)?);
    } else {
        for test in ["xen_shinfo_test", "xen_vmcall_test"] {
            // Without them, too, it is a machine to try things in.
            let _ = parts.upstream(&mut initramfs, test);
        }
        parts.selftests(&mut initramfs, &[], &[])?;
    }
    plan.steps = vec![Step {
        id: "shell".into(),
        side: guest.then_some(side),
        limit_s: 120,
        action: Action::Shell(shell),
    }];
    let initramfs = pack(initramfs, &plan, &screen);

    let (here, there) = UnixStream::pair().context("a pair of sockets")?;
    let mut boot = Boot {
        name: "shell",
        engine: &engine,
        accel: engine.accel,
        kernel: &paths.kernel,
        append: "",
        smp: 2,
        memory_mib: 1536,
        initramfs,
        plan: &plan,
        limit_s: None,
        terminal: Some(there),
    };
    let mut narrator = Narrator::new(&screen, &paths.kernel.release);
    let mut at_prompt = AtPrompt::new(here);
    let ended = boot::run(&mut boot, &paths.logs, &mut |event| {
        match event {
            Event::Prompt => {
                narrator.done("");
                at_prompt.begin();
            }
            Event::End { .. } => at_prompt.end(),
            _ => {}
        }
        if !at_prompt.is_now() {
            narrator.event(event);
        }
    })?;
    at_prompt.end();
    narrator.off(&ended);
    ended.insist()
}

/// The time that the person is at the prompt.
struct AtPrompt {
    machine: Option<UnixStream>,
    raw: Option<Raw>,
}

impl AtPrompt {
    fn new(machine: UnixStream) -> Self {
        AtPrompt {
            machine: Some(machine),
            raw: None,
        }
    }

    fn begin(&mut self) {
        if let Some(machine) = self.machine.take() {
            match Raw::new().and_then(|raw| terminal::join(machine).map(|()| raw)) {
                Ok(raw) => self.raw = Some(raw),
                Err(error) => eprintln!("kvm-xen-run: {error:#}"),
            }
        }
    }

    fn end(&mut self) {
        self.raw = None;
    }

    fn is_now(&self) -> bool {
        self.raw.is_some()
    }
}
