// SPDX-License-Identifier: GPL-2.0
//! Whether lockdep is there, and on.

use std::fs;
use std::io;
use std::path::Path;

const STATS: &str = "/proc/lockdep_stats";
const CLASSES: &str = "/proc/lockdep";

/// Whether the kernel has lockdep.
pub fn is_there() -> bool {
    Path::new(STATS).exists()
}

/// Whether it has reported nothing yet: it switches itself off when it does.
pub fn is_on() -> io::Result<bool> {
    let missing = || io::Error::other(format!("{STATS} lacks debug_locks"));
    says_on(&fs::read_to_string(STATS)?).ok_or_else(missing)
}

/// Whether a lock of this class was ever taken.
pub fn knows(class: &str) -> io::Result<bool> {
    let classes = fs::read_to_string(CLASSES)?;
    let names = classes.lines().filter_map(|line| line.rsplit_once(": "));
    Ok(names.into_iter().any(|(_, name)| name == class))
}

/// Whether lockdep is on, by what it says of itself.
fn says_on(stats: &str) -> Option<bool> {
    let mut lines = stats.lines();
    let value = lines.find_map(|line| line.trim().strip_prefix("debug_locks:"))?;
    Some(value.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::says_on;

    #[test]
    fn lockdep_says_whether_it_is_on() {
        let stats = " lock-classes:    1024 [max: 8192]\n debug_locks:      1\n";
        assert_eq!(says_on(stats), Some(true));
        assert_eq!(says_on(&stats.replace(" 1\n", " 0\n")), Some(false));
        assert_eq!(says_on(" lock-classes: 3\n"), None);
    }
}
