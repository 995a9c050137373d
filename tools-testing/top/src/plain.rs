// SPDX-License-Identifier: GPL-2.0
//! Counts as lines for scripts.

use crate::counts::{quantile, Counts};
use crate::events::QUANTILES;
use crate::names::Names;
use crate::side::Side;
use std::time::Duration;

/// A line on the whole, and one for each vCPU, and VM, of which there is something; in them words
/// of the form `name=value`, without those that would be 0.
pub fn lines(counts: &Counts, names: &mut Names, side: Side, span: Duration) -> Vec<String> {
    let mut lines = vec![format!(
        "seconds={:.3} side={} dropped={}",
        span.as_secs_f64(),
        side.name(),
        counts.dropped
    )];
    for (who, row) in &counts.rows {
        let mut line = format!("vm={}", names.of(who.vm, counts.pids.get(&who.vm).copied()));
        if let Some(vcpu) = who.vcpu {
            line += &format!(" vcpu={vcpu}");
        }
        for (name, times) in row {
            line += &format!(" {name}={times}");
        }
        for ((_, name), spans) in counts.spans.iter().filter(|((of, _), _)| of == who) {
            for (quantile_name, percent) in QUANTILES {
                line += &format!(" {name}-{quantile_name}={}", quantile(spans, percent));
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{Row, Spans, Who};

    #[test]
    fn words_of_a_sample() {
        let mut counts = Counts::default();
        let whole = Who { vm: 7, vcpu: None };
        let vcpu = Who {
            vcpu: Some(3),
            ..whole
        };
        counts.pids.insert(7, 99);
        counts.rows.insert(whole, Row::from([("refreshed", 1)]));
        counts
            .rows
            .insert(vcpu, Row::from([("kick", 5), ("masked", 2)]));
        counts
            .spans
            .insert((vcpu, "late-ns"), Spans::from([(1, 9), (3, 1)]));
        let span = Duration::from_millis(1500);
        let lines = lines(&counts, &mut Names::default(), Side::Rust, span);
        assert_eq!(
            lines,
            [
                "seconds=1.500 side=rust dropped=0",
                "vm=99 refreshed=1",
                "vm=99 vcpu=3 kick=5 masked=2 late-ns-median=2 late-ns-99=8",
            ]
        );
    }
}
