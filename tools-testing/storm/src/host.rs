// SPDX-License-Identifier: GPL-2.0
//! What happens to the host in the middle of a storm: a processor of it goes, or all of it sleeps.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::child::step;
use harness::outcome::{fail, Outcome};
use nix::errno::Errno;

use crate::account;
use crate::book::Book;
use crate::churn::{Change, Churn};
use crate::line::{senders, Pace};
use crate::plan::{self, Plan};
use crate::storms::{blow, end, tell, Setting, Storm};
use crate::world::World;

/// Storms that are run only where they are asked for by name: the host may be in use.
pub const STORMS: &[Storm] = &[
    Storm {
        name: "host-cpu",
        what: "all senders, while a processor of the host goes and comes back",
        run: |setting| blow(Plan::usual(), setting, Churn::HOST_CPU),
    },
    Storm {
        name: "suspend",
        what: "all senders and timers that are set for later, while the host sleeps",
        run: suspend,
    },
];

/// What the host does to sleep, and what wakes it.
const STATE: &str = "/sys/power/state";
const ALARM: &str = "/sys/class/rtc/rtc0/wakealarm";

/// When the alarm comes: by then the host has to sleep, or it does not.
const ALARMS: [&str; 3] = ["+4", "+8", "+16"];

/// How far ahead timers are set, in nanoseconds of the host's clock that stops while it sleeps.
const AHEAD: u64 = 5_000_000_000;

/// A processor of the host that may be offline; it comes back when nobody changes it any more.
struct Cpu {
    offline: bool,
}

impl Cpu {
    fn set(&mut self, offline: bool) -> io::Result<()> {
        let online = if offline { "0" } else { "1" };
        fs::write("/sys/devices/system/cpu/cpu1/online", online)?;
        self.offline = offline;
        Ok(())
    }
}

impl Drop for Cpu {
    fn drop(&mut self) {
        // Where that fails, what is run next has a processor less.
        let _ = self.set(false);
    }
}

/// A processor of the host goes, with the vCPUs and timers that it has, and comes back.
pub fn cpu() -> Box<Change> {
    let mut cpu = Cpu { offline: false };
    Box::new(move |_, _, _| {
        cpu.set(!cpu.offline)?;
        Ok(if cpu.offline {
            "CPU offline"
        } else {
            "CPU online"
        })
    })
}

/// Suspends the host to RAM, with timers set: each of them fires afterwards.
fn suspend(setting: &Setting) -> Outcome {
    let plan = Plan {
        timer_delta: AHEAD,
        ..Plan::usual()
    };
    let mut rng = Rng::with_seed(setting.seed);
    let world = World::new(plan, Book::new()?)?;
    let senders = senders(&world, Pace::Mixed, &mut rng)?;
    let begun = Instant::now();
    sleep(setting.time / 8);
    step("the host to sleep");
    let before = account::sent(&world);
    let slept = sleep_until_alarm()?;
    let set = (0..world.plan.vcpus()).filter(|&vcpu| {
        let port = plan::timer(vcpu);
        world.book.timer(vcpu, port).ok == 1 && world.book.count(port) == 0
    });
    let set = set.count();
    tell(&format!(
        "slept for {:.1} s, after {before} events, with {set} timers set",
        slept.as_secs_f64()
    ));
    if set == 0 {
        return Err(fail("no timer was set when the host woke up"));
    }
    sleep(setting.time / 2);
    end(&world, senders, Vec::new(), begun, false)
}

/// Returns for how long.
fn sleep_until_alarm() -> Outcome<Duration> {
    for alarm in ALARMS {
        let (up, begun) = (uptime()?, Instant::now());
        fs::write(ALARM, "0")?;
        fs::write(ALARM, alarm)?;
        match fs::write(STATE, "mem") {
            // The alarm came before it slept.
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => continue,
            result => result?,
        }
        // This process has no time while the host sleeps, but the host has.
        return Ok((uptime()? - up).saturating_sub(begun.elapsed()));
    }
    Err(fail("each time the alarm came before the host slept"))
}

/// Time since the host was booted.
fn uptime() -> Outcome<Duration> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split(' ').next().unwrap_or_default();
    Ok(Duration::from_secs_f64(seconds.parse()?))
}
