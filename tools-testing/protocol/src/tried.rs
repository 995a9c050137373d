// SPDX-License-Identifier: GPL-2.0
//! How much a test has tried, as a line of its output.

use std::fmt;
use std::str::FromStr;

/// That so many of something were tried, of which some failed. What several lines name alike is
/// added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// How many.
    pub count: u64,
    /// Of what; its plural.
    pub what: String,
    /// How many of them failed.
    pub failed: u64,
}

const TAG: &str = "# tried: ";

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{TAG}{} {}, {} failed",
            self.count, self.what, self.failed
        )
    }
}

/// Another line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTried;

impl FromStr for Tried {
    type Err = NotTried;

    fn from_str(line: &str) -> Result<Self, NotTried> {
        let parse = || {
            let text = line.trim().strip_prefix(TAG)?;
            let (count, text) = text.split_once(' ')?;
            let (what, failed) = text.rsplit_once(", ")?;
            Some(Tried {
                count: count.parse().ok()?,
                what: what.to_owned(),
                failed: failed.strip_suffix(" failed")?.parse().ok()?,
            })
        };
        parse().ok_or(NotTried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives() {
        let tried = Tried {
            count: 3,
            what: "VMs killed, each in a storm".into(),
            failed: 1,
        };
        let line = tried.to_string();
        assert_eq!(line, "# tried: 3 VMs killed, each in a storm, 1 failed");
        assert_eq!(format!("{line}\r").parse(), Ok(tried));
    }

    #[test]
    fn other_lines() {
        for line in [
            "# tried: 20",
            "tried: 2 x, 0 failed",
            "# tried: x y, 0 failed",
        ] {
            assert_eq!(line.parse::<Tried>(), Err(NotTried), "{line}");
        }
    }
}
