// SPDX-License-Identifier: GPL-2.0
//! What lockdep is to say to each mistake.

use anyhow::{ensure, Context, Result};

use crate::report::{Kind, Report};
use crate::requests::Mistake;

/// What lockdep is to say.
pub struct Expected {
    mistake: Mistake,
    kind: Kind,
    /// The right order, outer to inner: the mistake is to have the first inside the last. Of one
    /// lock where its context is wrong.
    order: &'static [&'static str],
}

impl Expected {
    pub fn of(mistake: Mistake) -> Self {
        let (kind, order): (_, &[_]) = match mistake {
            Mistake::KvmLockInsideSrcu => (
                Kind::Circle,
                &["&kvm->lock", "&kvm->slots_lock", "&kvm->srcu"],
            ),
            Mistake::KvmLockInsideVcpuMutex => (Kind::Circle, &["&kvm->lock", "&vcpu->mutex"]),
            Mistake::SynchronizeUnderXenLock => {
                (Kind::Circle, &["&kvm->srcu", "&kvm->arch.xen.xen_lock"])
            }
            Mistake::SlotsLockInsideSrcu => (Kind::Circle, &["&kvm->slots_lock", "&kvm->srcu"]),
            Mistake::GpcLockBlockingInTimer => (Kind::Context, &["&gpc->lock"]),
        };
        Self {
            mistake,
            kind,
            order,
        }
    }

    /// Looks for it in a log, and returns it in a line.
    pub fn recognize(&self, log: &[String]) -> Result<String> {
        let name = self.mistake.name();
        let report = Report::find(log)
            .with_context(|| format!("{name} is committed, and lockdep reports nothing"))?;

        ensure!(
            report.kind == self.kind,
            "lockdep reports \"{}\", not \"{}\"",
            report.kind.words(),
            self.kind.words()
        );
        let (outer, inner) = (self.order[0], self.order[self.order.len() - 1]);
        ensure!(
            report.wanted == outer,
            "lockdep reports {}, not {outer}",
            report.wanted
        );
        if self.kind == Kind::Circle {
            let held = report.held.as_deref().unwrap_or("nothing");
            ensure!(
                held == inner,
                "lockdep reports {held} to be held, not {inner}"
            );
            ensure!(
                report.order == self.order,
                "lockdep reports the order {}, not {}",
                report.order.join(" > "),
                self.order.join(" > ")
            );
        }
        ensure!(
            report
                .stack
                .iter()
                .any(|frame| frame.contains(name) && frame.ends_with(" [kvm_xen_broken_order]")),
            "lockdep's report is not of {name}: {}",
            report.stack.join(", ")
        );

        let what = match self.kind {
            Kind::Circle => format!("{outer} inside {inner}, against {}", self.order.join(" > ")),
            Kind::Context => format!("{outer} in a hard interrupt"),
        };
        Ok(format!("lockdep reports \"{}\": {what}", self.kind.words()))
    }
}
