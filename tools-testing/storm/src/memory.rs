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

/// So many caches that grew are told.
const TOLD: usize = 6;

/// One look at it.
pub struct Sample {
    total: i64,
    available: i64,
    unreclaimable: i64,
    /// Caches; none if the kernel does not tell.
    caches: BTreeMap<String, Cache>,
}

/// A cache of the slab allocator.
struct Cache {
    /// Objects in use.
    active: i64,
    /// Bytes of each.
    size: i64,
}

impl Cache {
    fn kib(&self) -> i64 {
        self.active * self.size / 1024
    }
}

/// Whether a cache is KVM's or kmalloc's.
fn is_ours(name: &str) -> bool {
    name.starts_with("kmalloc-") || name.starts_with("kvm_")
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
            let active = words.next()?.parse().ok()?;
            let size = words.nth(1)?.parse().ok()?;
            Some((name.to_owned(), Cache { active, size }))
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
        let mut most = Vec::new();
        for (name, cache) in &last.caches {
            let before = first.caches.get(name);
            let (active, kib) = before.map_or((0, 0), |cache| (cache.active, cache.kib()));
            let limit = OBJECTS_PER_ROUND * rounds.max(1);
            if is_ours(name) && cache.active - active > limit && quarantine == 0 {
                grown.push(format!("{name}: {active} objects, then {}", cache.active));
            }
            most.push((cache.kib() - kib, name));
        }
        most.sort_by(|a, b| b.cmp(a));
        let most: Vec<_> = most
            .iter()
            .take(TOLD)
            .map(|(kib, name)| format!("{name} by {kib} KiB"))
            .collect();
        let text = format!(
            "in {rounds} rounds SUnreclaim grew by {slab} KiB ({} allowed), MemAvailable shrank by \
             {lost} KiB ({} allowed), {} caches of KVM's and kmalloc's by more than {} objects a \
             round; what grew most: {}",
            SLAB_KIB + quarantine,
            AVAILABLE_KIB + quarantine,
            grown.len(),
            OBJECTS_PER_ROUND,
            most.join(", "),
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
        let ours = || self.caches.iter().filter(|(name, _)| is_ours(name));
        let objects: i64 = ours().map(|(_, cache)| cache.active).sum();
        write!(
            f,
            "MemAvailable {} KiB, SUnreclaim {} KiB, {objects} objects in {} caches of KVM's and \
             kmalloc's",
            self.available,
            self.unreclaimable,
            ours().count()
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
        assert_eq!(sample.caches["kmalloc-64"].active, 7);
    }
}
