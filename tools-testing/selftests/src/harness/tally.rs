// SPDX-License-Identifier: GPL-2.0
//! How much a case has tried, for who sums it up over many.

/// Prints that `count` of something were tried, of which `failed` failed. `what` is their plural.
///
/// A case may say so several times: what it names alike is added up.
pub fn tried(count: u64, what: &str, failed: u64) {
    println!("{}", line(count, what, failed));
}

fn line(count: u64, what: &str, failed: u64) -> String {
    format!("# tried: {count} {what}, {failed} failed")
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn as_the_runner_reads_it() {
        assert_eq!(line(20, "things", 1), "# tried: 20 things, 1 failed");
    }
}
