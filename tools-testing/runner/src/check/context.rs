// SPDX-License-Identifier: GPL-2.0
//! What all parts of a run share.

use crate::cli::Common;
use crate::paths::Paths;
use crate::progress::Screen;
use crate::report::Report;
use crate::select::Selection;

/// That.
pub struct Context<'a> {
    /// Where everything is.
    pub paths: &'a Paths,
    /// What was asked for.
    pub common: &'a Common,
    /// The tests that were asked for.
    pub selection: &'a Selection,
    /// Where results go.
    pub report: &'a Report,
    /// Where progress is shown.
    pub screen: &'a Screen,
}
