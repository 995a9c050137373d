// SPDX-License-Identifier: GPL-2.0
//! What the kernel's memory is used for, while no VM is there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::thread::sleep;
use std::time::Duration;

/// Time for what is freed after grace periods.
const SETTLE: Duration = Duration::from_secs(2);
/// By how much slabs may grow from the first sample to the last: caches fill up.
const SLAB_KIB: i64 = 3 * 1024;
/// By how much available memory may shrink.
const AVAILABLE_KIB: i64 = 12 * 1024;
/// A sanitizer keeps what was freed in quarantine, up to this part of all memory.
const QUARANTINE: i64 = 32;
/// By how many objects a cache of kmalloc's or KVM's may grow per round.
const OBJECTS_PER_ROUND: i64 = 40;

/// One look at it.
pub struct Sample {
    total: i64,
    available: i64,
    unreclaimable: i64,
    /// Objects in use, in caches of KVM's and of kmalloc's; none if the kernel
    /// does not tell.
    caches: BTreeMap<String, i64>,
}

impl Sample {
    /// Lets the kernel drop what it can, and looks.
    pub fn take() -> io::Result<Self> {
        // Page cache and dentries say nothing about KVM.
        fs::write("/proc/sys/vm/drop_caches", "3")?;
        sleep(SETTLE);
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let slabinfo = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        Ok(Self::parse(&meminfo, &slabinfo))
    }

    fn parse(meminfo: &str, slabinfo: &str) -> Self {
        let field = |name: &str| {
            let line = meminfo
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = line.and_then(|rest| rest.split_whitespace().next());
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let caches = slabinfo.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            let ours = name.starts_with("kmalloc-") || name.starts_with("kvm_");
            let active = words.next()?.parse().ok()?;
            ours.then(|| (name.to_owned(), active))
        });
        Self {
            total: field("MemTotal"),
            available: field("MemAvailable"),
            unreclaimable: field("SUnreclaim"),
            caches: caches.collect(),
        }
    }

    /// Whether memory is flat from the first sample to the last, in words.
    pub fn growth(samples: &[Self]) -> Result<String, String> {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
            return Err("no samples".into());
        };
        let rounds = samples.len() as i64 - 1;
        // Kernels with a sanitizer have kmemleak, too.
        let sanitized = fs::exists("/sys/kernel/debug/kmemleak").unwrap_or(false);
        let quarantine = if sanitized {
            first.total / QUARANTINE
        } else {
            0
        };
        let slab = last.unreclaimable - first.unreclaimable;
        let lost = first.available - last.available;
        let mut grown = Vec::new();
        for (name, active) in &last.caches {
            let before = first.caches.get(name).copied().unwrap_or(0);
            let limit = OBJECTS_PER_ROUND * rounds.max(1);
            if active - before > limit && quarantine == 0 {
                grown.push(format!("{name}: {before} objects, then {active}"));
            }
        }
        let text = format!(
            "in {rounds} rounds SUnreclaim grew by {slab} KiB ({} allowed), MemAvailable shrank by \
             {lost} KiB ({} allowed), {} caches of KVM's and kmalloc's by at most {} objects a \
             round but for {}",
            SLAB_KIB + quarantine,
            AVAILABLE_KIB + quarantine,
            last.caches.len(),
            OBJECTS_PER_ROUND,
            grown.len(),
        );
        let flat =
            slab <= SLAB_KIB + quarantine && lost <= AVAILABLE_KIB + quarantine && grown.is_empty();
        if flat {
            return Ok(text);
        }
        Err(format!("memory is not flat: {text}\n{}", grown.join("\n")))
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects: i64 = self.caches.values().sum();
        write!(
            f,
            "MemAvailable {} KiB, SUnreclaim {} KiB, {objects} objects in {} caches of KVM's and \
             kmalloc's",
            self.available,
            self.unreclaimable,
            self.caches.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(available: i64, slab: i64, objects: i64) -> Sample {
        let meminfo =
            format!("MemTotal: 1000000 kB\nMemAvailable: {available} kB\nSUnreclaim: {slab} kB\n");
        let slabinfo = format!("slabinfo - version: 2.1\nkmalloc-64 {objects} 999 64\n");
        Sample::parse(&meminfo, &slabinfo)
    }

    #[test]
    fn flat_and_not() {
        let first = || sample(500_000, 10_000, 100);
        assert!(Sample::growth(&[first(), first(), sample(499_000, 10_500, 120)]).is_ok());
        assert!(Sample::growth(&[first(), first(), sample(400_000, 10_000, 100)]).is_err());
        assert!(Sample::growth(&[first(), first(), sample(500_000, 90_000, 100)]).is_err());
        assert!(Sample::growth(&[first(), first(), sample(500_000, 10_000, 900)]).is_err());
        assert!(Sample::growth(&[]).is_err());
    }

    #[test]
    fn fields() {
        let sample = sample(5, 6, 7);
        assert_eq!((sample.total, sample.available), (1_000_000, 5));
        assert_eq!(sample.unreclaimable, 6);
        assert_eq!(sample.caches["kmalloc-64"], 7);
    }
}
