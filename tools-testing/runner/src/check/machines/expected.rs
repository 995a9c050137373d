// SPDX-License-Identifier: GPL-2.0
//! What is expected of a step besides that it ends well.

/// What must have come of a step when its boot is over.
pub enum Expected {
    /// The kernel has reported something in it, and the report has all these words.
    Report(&'static [&'static str]),
    /// The kernel reports something, which the step itself judges by its end.
    ReportItTells,
    /// What lockdep has seen, which is the step's output, is in the declared order.
    LockOrder,
}
