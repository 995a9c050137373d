// SPDX-License-Identifier: GPL-2.0
//! What a guest tells before it is moved and afterwards, and what must hold of the two together.

use anyhow::{bail, Context, Result};
use protocol::{GuestEvent, GuestState, IrqLine, Timer};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A timer may be that late where the machine is emulated and its host is busy.
const LATE_LIMIT: Duration = Duration::from_secs(8);

/// How long a state may take to reach us.
const TOLD_LIMIT: Duration = Duration::from_secs(5);

/// The guest's account of itself, which goes on when it is moved.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The last round.
    pub round: u32,
    /// The number of the last timer of each processor.
    pub timers: BTreeMap<usize, u32>,
    /// Its last state, and when it came.
    pub state: Option<(Instant, GuestState)>,
}

impl Account {
    /// Takes what the guest has said. No round and no timer is left out, and none comes twice.
    pub fn take(&mut self, said: GuestEvent) -> Result<()> {
        match said {
            GuestEvent::Round(round) => {
                if round.number != self.round + 1 {
                    bail!("round {} came after round {}", round.number, self.round);
                }
                self.round = round.number;
            }
            GuestEvent::Timer(timer) => self.timer(&timer)?,
            GuestEvent::State(state) => self.state = Some((Instant::now(), state)),
            GuestEvent::Failed { reason } => bail!("in the guest: {reason}"),
            other => bail!("amid its work the guest told {other:?}"),
        }
        Ok(())
    }

    /// The number of the last timer of a processor.
    pub fn last_timer(&self, cpu: usize) -> u32 {
        self.timers.get(&cpu).copied().unwrap_or(0)
    }

    fn timer(&mut self, timer: &Timer) -> Result<()> {
        let (cpu, number) = (timer.cpu, timer.number);
        let last = self.last_timer(cpu);
        if number != last + 1 {
            bail!("timer {number} of processor {cpu} came after its timer {last}");
        }
        let Some(late) = timer.came_ns.checked_sub(timer.due_ns) else {
            bail!("timer {number} of processor {cpu} came before it was due");
        };
        let late = Duration::from_nanos(late);
        if late > LATE_LIMIT {
            bail!("timer {number} of processor {cpu} came {late:.1?} late");
        }
        self.timers.insert(cpu, number);
        Ok(())
    }
}

/// The guest was moved between the two states, and `elapsed` passed for us, in some of which it
/// stood still.
pub fn moved(before: &GuestState, after: &GuestState, elapsed: Duration) -> Result<()> {
    let passed = clock(before, after)?;
    if passed > elapsed + TOLD_LIMIT {
        bail!("its clock went on by {passed:.1?} in the {elapsed:.1?} of its migration");
    }
    same_channels(before, after)?;
    stolen(before, after).map(drop)
}

/// The guest has worked between the two states for `elapsed`.
pub fn worked(before: &GuestState, after: &GuestState, elapsed: Duration) -> Result<()> {
    let passed = clock(before, after)?;
    if passed.abs_diff(elapsed) > TOLD_LIMIT {
        bail!("its clock went on by {passed:.1?} in {elapsed:.1?} of work");
    }
    same_channels(before, after)?;
    for (cpu, stolen) in stolen(before, after)?.into_iter().enumerate() {
        let grew = |is: fn(&IrqLine) -> bool| count(after, cpu, is) > count(before, cpu, is);
        for (what, has_grown) in [
            ("upcall", grew(|line| line.irq == "HYP")),
            ("interrupt by its timer", grew(IrqLine::is_timer)),
            ("interrupt by the other processor", grew(IrqLine::is_ipi)),
        ] {
            if !has_grown {
                bail!("processor {cpu} has had no {what} since the migration");
            }
        }
        if Duration::from_millis(stolen) > elapsed + TOLD_LIMIT {
            bail!("{stolen} ms were stolen from processor {cpu} in {elapsed:.1?} of work");
        }
    }
    Ok(())
}

/// By how much the clock has gone on.
fn clock(before: &GuestState, after: &GuestState) -> Result<Duration> {
    match after.clock_ns.checked_sub(before.clock_ns) {
        Some(passed) => Ok(Duration::from_nanos(passed)),
        None => bail!(
            "its clock went back by {:.1?}",
            Duration::from_nanos(before.clock_ns - after.clock_ns)
        ),
    }
}

/// How many milliseconds were stolen from each processor, by its runstate. QEMU leaves what KVM has
/// counted behind, so there may be a leap when the guest is moved, but never a way back.
fn stolen(before: &GuestState, after: &GuestState) -> Result<Vec<u64>> {
    let processors = before.stolen_ms.iter().zip(&after.stolen_ms);
    let stolen = processors.map(|(before, after)| after.checked_sub(*before));
    let stolen: Option<Vec<u64>> = stolen.collect();
    stolen.with_context(|| {
        let (before, after) = (&before.stolen_ms, &after.stolen_ms);
        format!("{before:?} ms were stolen from its processors, then {after:?}")
    })
}

/// Each event channel is where it was, and has had no fewer events than before.
fn same_channels(before: &GuestState, after: &GuestState) -> Result<()> {
    let names = |state: &GuestState| -> Vec<String> {
        let lines = state.interrupts.iter();
        lines
            .map(|line| format!("{} {}", line.irq, line.what))
            .collect()
    };
    if names(before) != names(after) {
        bail!(
            "its interrupts were {:?} and are {:?}",
            names(before),
            names(after)
        );
    }
    for (old, new) in before.interrupts.iter().zip(&after.interrupts) {
        if old
            .counts
            .iter()
            .zip(&new.counts)
            .any(|(old, new)| old > new)
        {
            bail!(
                "{} was counted {:?} times, then {:?}",
                old.what,
                old.counts,
                new.counts
            );
        }
    }
    Ok(())
}

fn count(state: &GuestState, cpu: usize, is: fn(&IrqLine) -> bool) -> u64 {
    let lines = state.interrupts.iter().filter(|line| is(line));
    lines.filter_map(|line| line.counts.get(cpu)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Round;

    const SECOND: Duration = Duration::from_secs(1);

    fn round(number: u32) -> GuestEvent {
        GuestEvent::Round(Round {
            number,
            disk_bytes: 0,
            ipis: 0,
            ms: 1,
        })
    }

    fn timer(cpu: usize, number: u32, late: Duration) -> GuestEvent {
        GuestEvent::Timer(Timer {
            cpu,
            number,
            due_ns: 1 << 40,
            came_ns: (1 << 40) + late.as_nanos() as u64,
        })
    }

    /// A processor `clock` after its boot, with that many events of each kind.
    fn state(clock: Duration, events: u64) -> GuestState {
        let lines = [
            "24: N xen-percpu -virq timer0",
            "25: N xen-percpu -ipi resched0",
            "HYP: N x",
        ];
        let parse = |line: &str| IrqLine::parse(&line.replace('N', &events.to_string()), 1);
        GuestState {
            clock_ns: clock.as_nanos() as u64,
            stolen_ms: vec![events],
            interrupts: lines.iter().filter_map(|line| parse(line)).collect(),
        }
    }

    fn told(result: Result<()>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_left_out_and_nothing_comes_twice() {
        let mut account = Account::default();
        for event in [round(1), timer(1, 1, SECOND), timer(0, 1, SECOND), round(2)] {
            account.take(event).unwrap();
        }
        assert_eq!(told(account.take(round(4))), "round 4 came after round 2");
        let twice = told(account.take(timer(1, 1, SECOND)));
        assert_eq!(twice, "timer 1 of processor 1 came after its timer 1");
        let left_out = told(account.take(timer(0, 3, SECOND)));
        assert_eq!(left_out, "timer 3 of processor 0 came after its timer 1");
        let late = told(account.take(timer(0, 2, 20 * SECOND)));
        assert_eq!(late, "timer 2 of processor 0 came 20.0s late");
        assert_eq!((account.round, account.last_timer(0)), (2, 1));
    }

    #[test]
    fn a_clock_may_stand_still_but_not_go_back_or_leap() {
        let before = state(100 * SECOND, 5);
        moved(&before, &state(100 * SECOND, 5), 40 * SECOND).unwrap();
        let back = moved(&before, &state(90 * SECOND, 5), 40 * SECOND);
        assert_eq!(told(back), "its clock went back by 10.0s");
        let leap = moved(&before, &state(150 * SECOND, 5), 40 * SECOND);
        assert!(told(leap).contains("50.0s in the 40.0s"));
        // At work it may not even stand still.
        worked(&before, &state(140 * SECOND, 6), 40 * SECOND).unwrap();
        assert!(worked(&before, &state(110 * SECOND, 6), 40 * SECOND).is_err());
    }

    #[test]
    fn event_channels_go_on() {
        let before = state(100 * SECOND, 5);
        let silent = worked(&before, &state(110 * SECOND, 5), 10 * SECOND);
        assert!(told(silent).contains("no upcall since"));
        let fewer = moved(&before, &state(110 * SECOND, 4), 10 * SECOND);
        assert!(told(fewer).contains("counted [5] times, then [4]"));
        let mut another = state(110 * SECOND, 6);
        another.interrupts[1].irq = "26".into();
        assert!(told(moved(&before, &another, 10 * SECOND)).contains("26 xen-percpu"));
    }

    #[test]
    fn no_more_time_is_stolen_than_there_was() {
        let (before, mut after) = (state(100 * SECOND, 5), state(110 * SECOND, 6));
        after.stolen_ms = vec![9000];
        worked(&before, &after, 10 * SECOND).unwrap();
        after.stolen_ms = vec![60_000];
        assert!(told(worked(&before, &after, 10 * SECOND)).starts_with("59995 ms"));
        after.stolen_ms = vec![0];
        let back = told(moved(&before, &after, 10 * SECOND));
        assert_eq!(back, "[5] ms were stolen from its processors, then [0]");
    }
}
