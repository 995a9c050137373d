// SPDX-License-Identifier: GPL-2.0
//! Storms of events, each with an account of them; and Rust taking over in the middle of one.

use super::{debug_memory_mib, Chosen, Facts, Machine, Test, Wanted, Which};
use crate::parts::Parts;
use crate::paths::Kind;
use anyhow::Result;
use protocol::{Action, Side};

/// The storms, as the program names them.
const STORMS: [&str; 14] = [
    "senders",
    "memslots",
    "pages",
    "word-size-32",
    "copy-on-write",
    "long-mode",
    "ports",
    "one-by-one",
    "polls",
    "ring",
    "timers",
    "hot-plug",
    "everything",
    "destruction",
];

/// That which takes what the debug kernels are built without: a host that sleeps.
const SUSPEND: &str = "suspend";

/// What only a long run can tell.
const MEMORY: &str = "memory";

/// Memory of a machine, but for what debug kernels have in addition.
const MACHINE_MIB: u32 = 1024;

/// Seconds of each storm.
const SECONDS: usize = 6;

/// Seconds for all of them, where an emulator has a processor to share.
const LIMIT_S: u64 = 600;

/// Storms on Rust.
pub struct Storms {
    /// The machine's kernel.
    pub kind: Kind,
}

impl Storms {
    fn group(&self) -> &'static str {
        match self.kind {
            Kind::Stock => "storm",
            Kind::Debug => "debug/storm",
            Kind::DebugRt => "debug-rt/storm",
        }
    }

    /// Adds the chosen ones.
    fn add(&self, wanted: &mut Wanted, chosen: &Chosen, parts: &Parts) -> Result<()> {
        let names = chosen.in_group(self.group());
        if names.is_empty() {
            return Ok(());
        }
        let mut arguments = match parts.random.minutes {
            Some(minutes) => vec!["soak".to_owned(), format!("--minutes={minutes}")],
            None => vec![format!("--seconds={}", SECONDS * names.len())],
        };
        arguments.push(format!("--seed={}", parts.random.seed));
        let storms = names.iter().filter(|name| *name != MEMORY);
        arguments.extend(storms.map(|name| format!("--only={name}")));
        let exec = parts.storm(&mut wanted.initramfs, &arguments)?;
        let limit_s = LIMIT_S * parts.kernel.patience() + parts.random.minutes.unwrap_or(0) * 60;
        wanted.step(self.group(), Some(Side::Rust), limit_s, Action::Exec(exec));
        Ok(())
    }
}

impl Machine for Storms {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Stock => "storm",
            Kind::Debug => "storm-debug",
            Kind::DebugRt => "storm-debug-rt",
        }
    }

    fn kernel(&self) -> Which {
        Which::Main(self.kind)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        if !facts.module {
            return Vec::new();
        }
        let suspend = (self.kind == Kind::Stock).then_some(&SUSPEND);
        let memory = facts.long.then_some(&MEMORY);
        let names = STORMS.iter().chain(suspend).chain(memory);
        names
            .map(|name| Test::on(Side::Rust, format!("{}/{name}", self.group())))
            .collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, MACHINE_MIB + debug_memory_mib(parts))?;
        self.add(&mut wanted, chosen, parts)?;
        Ok(wanted)
    }
}

/// Rust takes over and hands back, again and again, in the middle of a storm.
pub struct Takeover {
    /// The machine's kernel.
    pub kind: Kind,
}

const TAKEOVER: [&str; 3] = ["page-withheld", "stragglers", "under-load"];

/// That of 255 vCPUs, too many for debug kernels, which has been tried on the main kernel alone.
pub const MANY_VCPUS: &str = "many-vcpus";

/// Whether anything is left of it in memory, on the debug kernel.
const KMEMLEAK: &str = "kmemleak";

/// Seconds for a look through all memory.
const SCAN_LIMIT_S: u64 = 240;

/// Seconds after which it is enough, unless a number of times was asked for.
const TAKEOVER_SECONDS: u64 = 90;

/// Seconds that one time there and back may take, with an emulator under load.
const SWITCH_LIMIT_S: u64 = 60;

impl Takeover {
    fn group(&self) -> &'static str {
        match self.kind {
            Kind::Stock => "takeover",
            Kind::Debug => "debug/takeover",
            Kind::DebugRt => "debug-rt/takeover",
        }
    }

    /// Adds the chosen ones.
    fn add(&self, wanted: &mut Wanted, chosen: &Chosen, parts: &Parts) -> Result<()> {
        let patience = parts.kernel.patience();
        let transition_limit_s = parts.kernel.transition_limit_s();
        let mut arguments = vec![
            "takeover".to_owned(),
            format!("--module={}", parts.module_path()),
            format!("--seed={}", parts.random.seed),
            format!("--limit={transition_limit_s}"),
        ];
        // What lockdep reports of C's timers would be the last thing that it reports. Under
        // `PREEMPT_RT` C takes locks that sleep in a timer's hard interrupt, and releases them with
        // the run queue locked: with timers, or with pages that are taken away, the machine hangs
        // whenever C is in charge for long enough, inserted module or not (c-bugs.rst).
        let is_rt = parts.kernel.is_rt();
        if is_rt || parts.kernel.is_debug() {
            arguments.push("--no-timers".to_owned());
        }
        if is_rt {
            arguments.push("--keep-pages".to_owned());
        }
        let (memory, names): (Vec<_>, Vec<_>) = chosen
            .in_group(self.group())
            .into_iter()
            .partition(|name| name == KMEMLEAK);
        arguments.extend(names.iter().map(|name| format!("--only={name}")));
        let times_s = match parts.random.times {
            Some(times) => {
                arguments.push(format!("--times={times}"));
                u64::from(times) * SWITCH_LIMIT_S
            }
            None => {
                arguments.push(format!("--seconds={TAKEOVER_SECONDS}"));
                0
            }
        };
        let exec = parts.storm(&mut wanted.initramfs, &arguments)?;
        let limit_s = (LIMIT_S + times_s) * patience;
        if !names.is_empty() {
            // It begins and ends with C.
            wanted.step(self.group(), Some(Side::C), limit_s, Action::Exec(exec));
        }
        for name in memory {
            let id = format!("{}/{name}", self.group());
            wanted.step(id, None, SCAN_LIMIT_S, Action::Kmemleak);
        }
        Ok(())
    }
}

impl Machine for Takeover {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Stock => "takeover",
            Kind::Debug => "takeover-debug",
            Kind::DebugRt => "takeover-debug-rt",
        }
    }

    fn kernel(&self) -> Which {
        Which::Main(self.kind)
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        if !facts.module {
            return Vec::new();
        }
        let more: &[&str] = match self.kind {
            Kind::Stock => &[MANY_VCPUS],
            _ => &[KMEMLEAK],
        };
        TAKEOVER
            .iter()
            .chain(more)
            .map(|name| Test::on(Side::Rust, format!("{}/{name}", self.group())))
            .collect()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, MACHINE_MIB + debug_memory_mib(parts))?;
        self.add(&mut wanted, chosen, parts)?;
        Ok(wanted)
    }
}

/// A processor of the host goes and comes back, in a storm and in a takeover. The debug kernels are
/// built without what that takes.
pub struct HostCpu;

impl HostCpu {
    const STORMS: Storms = Storms { kind: Kind::Stock };
    const TAKEOVER: Takeover = Takeover { kind: Kind::Stock };
}

impl Machine for HostCpu {
    fn name(&self) -> &str {
        "host-cpu"
    }

    /// A tick that is periodic. QEMU may leave the processor halted whose timer's interrupt is pending,
    /// and where that is the only one, no other interrupt comes that it would wake up by.
    fn append(&self) -> &'static str {
        "nohz=off highres=off"
    }

    fn tests(&self, facts: &Facts) -> Vec<Test> {
        if !facts.module {
            return Vec::new();
        }
        [Self::STORMS.group(), Self::TAKEOVER.group()]
            .map(|group| Test::on(Side::Rust, format!("{group}/host-cpu")))
            .into()
    }

    fn prepare(&self, chosen: &Chosen, parts: &Parts) -> Result<Wanted> {
        let mut wanted = Wanted::new(parts, MACHINE_MIB)?;
        Self::STORMS.add(&mut wanted, chosen, parts)?;
        Self::TAKEOVER.add(&mut wanted, chosen, parts)?;
        Ok(wanted)
    }
}
