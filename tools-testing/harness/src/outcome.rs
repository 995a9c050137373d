// SPDX-License-Identifier: GPL-2.0
//! How a case ends, when it does not reach its end.

use std::panic::Location;

/// Why a case stopped early.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// This machine lacks what the case needs; the text names it.
    Skip(String),
    /// Something is wrong; the text tells what.
    Fail(String),
}

/// What cases and the harness return.
pub type Outcome<T = ()> = Result<T, Stop>;

/// Anything unexpected fails the case, with the place where it was met.
impl<E: std::error::Error> From<E> for Stop {
    #[track_caller]
    fn from(error: E) -> Self {
        fail(error)
    }
}

/// A failure with the place of the caller.
#[track_caller]
pub fn fail(text: impl std::fmt::Display) -> Stop {
    let at = Location::caller();
    Stop::Fail(format!("{text}\nat {}:{}", at.file(), at.line()))
}
