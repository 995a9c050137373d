// SPDX-License-Identifier: GPL-2.0
//! Telling a person what happens in the machine, step by step, as its events come.

use crate::boot::Ended;
use crate::progress::{Screen, Step};
use crate::table::number;
use protocol::{Event, GuestEvent, Outcome, Side, Transition};

/// Turns events into steps on the screen.
pub struct Narrator<'a> {
    screen: &'a Screen,
    step: Option<Step>,
    /// What is known of the guest while its boot goes on.
    detail: String,
}

impl<'a> Narrator<'a> {
    /// For a machine that has just been started with that kernel.
    pub fn new(screen: &'a Screen, release: &str) -> Self {
        let step = screen.step(format!("Booting Debian's stock kernel {release}"));
        Narrator {
            screen,
            step: Some(step),
            detail: String::new(),
        }
    }

    /// Tells one event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Up { cpus, .. } => {
                self.done(&format!("{cpus} processors"));
                self.begin("loading KVM in it");
            }
            Event::Begin { .. } => self.done(""),
            Event::Note { text } => self.begin(text),
            Event::Changed(change) => self.done(&changed(change)),
            Event::Guest { said, .. } => self.guest(said),
            Event::Booted { .. } => {
                let detail = std::mem::take(&mut self.detail);
                self.done(&detail);
            }
            Event::Phase {
                rounds,
                disk_bytes,
                ipis,
                ..
            } => self.done(&format!(
                "{rounds} rounds, {} KiB of disk, {} IPIs",
                number(disk_bytes >> 10),
                number(*ipis)
            )),
            Event::End { outcome, .. } => match outcome {
                Outcome::Ok | Outcome::Skip { .. } => self.done(""),
                Outcome::Failed { .. } => self.failed(),
            },
            Event::Done => self.begin("powering off"),
            _ => {}
        }
    }

    /// The machine is off. What is not done by now has failed, where it should not be.
    pub fn off(&mut self, ended: &Ended) {
        match ended.fault {
            Some(_) => self.failed(),
            None => self.done(""),
        }
    }

    fn failed(&mut self) {
        if let Some(step) = self.step.take() {
            step.failed();
        }
    }

    fn guest(&mut self, said: &GuestEvent) {
        match said {
            GuestEvent::Up {
                hypervisor,
                version,
                cpus,
                clocksource,
                ..
            } => {
                self.detail = format!(
                    "hypervisor {hypervisor} {version}, {cpus} processors, clock {clocksource}"
                )
            }
            GuestEvent::Round(round) => {
                if let Some(step) = &self.step {
                    step.note(format!("round {}", round.number));
                }
            }
            GuestEvent::Timer(_)
            | GuestEvent::State(_)
            | GuestEvent::Report(_)
            | GuestEvent::Failed { .. } => {}
        }
    }

    fn begin(&mut self, text: &str) {
        let mut chars = text.chars();
        let first = chars.next().map(|c| c.to_uppercase().to_string());
        let text = first.unwrap_or_default() + chars.as_str();
        self.step = Some(self.screen.step(text));
    }

    /// The step that goes on is done.
    pub fn done(&mut self, detail: &str) {
        if let Some(step) = self.step.take() {
            step.done(detail);
        }
    }
}

fn changed(change: &Transition) -> String {
    let Transition {
        module_ms,
        transition_ms,
        functions,
        ..
    } = change;
    match change.to {
        Side::Rust => format!(
            "{} functions of kvm.ko replaced; insmod {module_ms} ms, transition {transition_ms} ms",
            functions.len()
        ),
        Side::C => format!("transition {transition_ms} ms, rmmod {module_ms} ms"),
    }
}
