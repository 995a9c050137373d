// SPDX-License-Identifier: GPL-2.0
//! Output in KTAP, version 1.

use std::io::{self, Write};

use super::child::Verdict;

/// Writes results and counts them.
pub struct Ktap<W: Write> {
    out: W,
    ran: usize,
    failed: usize,
    skipped: usize,
}

impl<W: Write> Ktap<W> {
    /// Writes the header for `planned` cases.
    pub fn start(mut out: W, planned: usize) -> io::Result<Self> {
        writeln!(out, "KTAP version 1\n1..{planned}")?;
        out.flush()?;
        Ok(Self {
            out,
            ran: 0,
            failed: 0,
            skipped: 0,
        })
    }

    /// Writes what the whole run would have been but for `reason`.
    pub fn skip_all(mut out: W, reason: &str) -> io::Result<()> {
        writeln!(out, "KTAP version 1\n1..0 # SKIP {reason}")
    }

    /// Writes a line for the reader.
    pub fn diagnostic(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "# {line}")?;
        }
        self.out.flush()
    }

    /// Writes the result of the next case, what explains it first.
    pub fn result(&mut self, name: &str, verdict: &Verdict) -> io::Result<()> {
        self.ran += 1;
        let number = self.ran;
        match verdict {
            Verdict::Pass => writeln!(self.out, "ok {number} {name}")?,
            Verdict::Skip(reason) => {
                self.skipped += 1;
                let reason = reason.replace('\n', " ");
                writeln!(self.out, "ok {number} {name} # SKIP {reason}")?;
            }
            Verdict::Fail(text) => {
                self.failed += 1;
                self.diagnostic(text)?;
                writeln!(self.out, "not ok {number} {name}")?;
            }
        }
        self.out.flush()
    }

    /// Writes the totals; true if nothing failed.
    pub fn finish(mut self) -> io::Result<bool> {
        let passed = self.ran - self.failed - self.skipped;
        writeln!(
            self.out,
            "# Totals: pass:{passed} fail:{} xfail:0 xpass:0 skip:{} error:0",
            self.failed, self.skipped
        )?;
        self.out.flush()?;
        Ok(self.failed == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_run() {
        let mut out = Vec::new();
        let mut ktap = Ktap::start(&mut out, 3).unwrap();
        ktap.result("a/b", &Verdict::Pass).unwrap();
        ktap.result("a/c", &Verdict::Fail("x: expected 1, got 2\nat y".into()))
            .unwrap();
        ktap.result("a/d", &Verdict::Skip("no\nluck".into()))
            .unwrap();
        assert!(!ktap.finish().unwrap());
        let expected = "KTAP version 1\n1..3\nok 1 a/b\n# x: expected 1, got 2\n# at y\n\
                        not ok 2 a/c\nok 3 a/d # SKIP no luck\n\
                        # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
