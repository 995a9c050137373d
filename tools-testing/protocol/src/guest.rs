// SPDX-License-Identifier: GPL-2.0
//! What the Xen guest does and tells.

use serde::{Deserialize, Serialize};

/// The plan of the Xen guest: rounds of disk I/O and inter-processor interrupts until told to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPlan {
    /// Modules to load, in order.
    pub modules: Vec<String>,
    /// The disk's part of a round.
    pub disk: DiskPlan,
    /// Wake-ups to and fro between two processors in a round.
    pub wakes: u32,
    /// Calls of membarrier(2), each an interrupt to every other processor that runs us.
    pub barriers: u32,
    /// Milliseconds of a timer on each processor, which is set again whenever it has come; `None`:
    /// there is none. So there always is one that has been set and has yet to come.
    pub timer_ms: Option<u32>,
    /// Beginnings of the lines of the kernel log to be reported. Each byte that the guest sends is
    /// an exit of its own, so only the telling ones.
    pub telling: Vec<String>,
}

/// What a round does with the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlan {
    /// The block device.
    pub device: String,
    /// Bytes of one request.
    pub block: u32,
    /// Requests in a round.
    pub blocks: u32,
    /// Blocks of the disk that are used, one after the other and then from the start.
    pub span: u32,
}

impl DiskPlan {
    /// The block of the disk that request `index` of `round` (counted from 1) goes to.
    pub fn place(&self, round: u32, index: u32) -> u64 {
        (u64::from(round - 1) * u64::from(self.blocks) + u64::from(index)) % u64::from(self.span)
    }
}

/// One line of the Xen guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "guest", rename_all = "kebab-case")]
pub enum GuestEvent {
    /// Init runs in it.
    Up {
        /// `/sys/hypervisor/type`, or what took its place.
        hypervisor: String,
        /// `/sys/hypervisor/version`, as "4.10".
        version: String,
        /// Processors online.
        cpus: usize,
        /// The clock source in use.
        clocksource: String,
        /// Since its kernel started.
        uptime_ms: u64,
    },
    /// A round is over, and everything in it was right.
    Round(Round),
    /// A timer has come.
    Timer(Timer),
    /// The answer to [`crate::GUEST_STATE`].
    State(GuestState),
    /// The answer to [`crate::GUEST_FINISH`]; the guest powers off.
    Report(GuestReport),
    /// Something is wrong; the guest powers off.
    Failed {
        /// What.
        reason: String,
    },
}

/// One round of the guest's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Counted from 1.
    pub number: u32,
    /// Bytes written, read back and compared.
    pub disk_bytes: u64,
    /// Interrupts that the processors sent each other, from `/proc/interrupts`.
    pub ipis: u64,
    /// How long it took.
    pub ms: u64,
}

/// A timer of one processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// The processor, whose own clock event device it was set on.
    pub cpu: usize,
    /// Counted from 1.
    pub number: u32,
    /// When it should have come, in nanoseconds of the guest's monotonic clock.
    pub due_ns: u64,
    /// When it came.
    pub came_ns: u64,
}

/// How the guest is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestState {
    /// Its monotonic clock.
    pub clock_ns: u64,
    /// Time that was stolen from each processor, by its runstate.
    pub stolen_ms: Vec<u64>,
    /// Lines of `/proc/interrupts`, as in [`GuestReport`].
    pub interrupts: Vec<IrqLine>,
}

/// What the guest saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestReport {
    /// Lines of `/proc/interrupts` that are Xen's, and those in which they are summed up.
    pub interrupts: Vec<IrqLine>,
    /// The telling lines of the kernel log.
    pub dmesg: Vec<String>,
}

/// One line of `/proc/interrupts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IrqLine {
    /// Number or short name.
    pub irq: String,
    /// One count for each processor.
    pub counts: Vec<u64>,
    /// The rest.
    pub what: String,
}

impl IrqLine {
    /// The line of `/proc/interrupts`, given the number of processors; `None` for the heading.
    pub fn parse(line: &str, cpus: usize) -> Option<Self> {
        let (irq, rest) = line.split_once(':')?;
        let mut words = rest.split_whitespace().peekable();
        let mut counts = Vec::new();
        while counts.len() < cpus {
            match words.peek().and_then(|word| word.parse().ok()) {
                Some(count) => counts.push(count),
                None => break,
            }
            words.next();
        }
        if counts.is_empty() {
            return None;
        }
        Some(IrqLine {
            irq: irq.trim().into(),
            counts,
            what: words.collect::<Vec<_>>().join(" "),
        })
    }

    /// Whether this is a port that Xen delivers, or the line that counts their upcalls.
    pub fn is_xen(&self) -> bool {
        self.irq == "HYP" || self.what.contains("xen-")
    }

    /// Whether this is the port of a processor's own timer.
    pub fn is_timer(&self) -> bool {
        self.what.starts_with("xen-percpu -virq timer")
    }

    /// Whether this is a port by which processors interrupt each other.
    pub fn is_ipi(&self) -> bool {
        self.what.starts_with("xen-percpu") && self.what.contains("-ipi")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_are_read() {
        let line = " 25:   37    4  xen-percpu           -ipi       resched0";
        let irq = IrqLine::parse(line, 2).unwrap();
        assert_eq!(irq.irq, "25");
        assert_eq!(irq.counts, [37, 4]);
        assert_eq!(irq.what, "xen-percpu -ipi resched0");
        assert!(irq.is_xen() && irq.is_ipi());

        let hyp = IrqLine::parse(" HYP: 2028 2108  Hypervisor callback interrupts", 2).unwrap();
        assert!(hyp.is_xen() && !hyp.is_ipi());
        let timer = IrqLine::parse("  0:  131  0  IO-APIC   2-edge      timer", 2).unwrap();
        assert!(!timer.is_xen());
        let pci = IrqLine::parse(" 10: 7 0 IO-APIC 10-fasteoi xen-platform-pci", 2).unwrap();
        assert!(pci.is_xen() && !pci.is_ipi());
        let virq = IrqLine::parse(" 24: 1548 0 xen-percpu -virq timer0", 2).unwrap();
        assert!(virq.is_xen() && virq.is_timer() && !virq.is_ipi());
    }

    #[test]
    fn lines_with_fewer_counts_and_the_heading() {
        assert_eq!(IrqLine::parse("           CPU0       CPU1", 2), None);
        let err = IrqLine::parse(" ERR:          3", 2).unwrap();
        assert_eq!((err.counts, err.what), (vec![3], String::new()));
    }

    #[test]
    fn blocks_go_round_the_disk() {
        let plan = DiskPlan {
            device: "/dev/xvda".into(),
            block: 4096,
            blocks: 3,
            span: 5,
        };
        let places: Vec<_> = (0..3).map(|i| plan.place(2, i)).collect();
        assert_eq!(places, [3, 4, 0]);
    }
}
