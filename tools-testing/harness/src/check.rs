// SPDX-License-Identifier: GPL-2.0
//! Comparisons that name what differs.

use std::fmt::{Debug, Display};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::child::step;
use super::outcome::{fail, Outcome};

/// Time for something that another thread of the kernel does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fails unless `got` equals `expected`.
#[track_caller]
pub fn check_eq<T: PartialEq + Debug>(what: impl Display, got: T, expected: T) -> Outcome {
    if got == expected {
        return Ok(());
    }
    Err(fail(format!("{what}: expected {expected:?}, got {got:?}")))
}

/// Fails unless `got` is this error; gives way to nothing but an error.
#[track_caller]
pub fn check_err<T: Debug>(what: impl Display, got: Result<T, Errno>, expected: Errno) -> Outcome {
    match got {
        Err(error) if error == expected => Ok(()),
        Err(error) => Err(fail(format!(
            "{what}: expected {expected:?}, got {error:?}"
        ))),
        Ok(value) => Err(fail(format!(
            "{what}: expected {expected:?}, got success ({value:?})"
        ))),
    }
}

/// Fails unless `got` is a success, which it returns.
#[track_caller]
pub fn check_ok<T, E: Debug>(what: impl Display, got: Result<T, E>) -> Outcome<T> {
    got.map_err(|error| fail(format!("{what}: expected success, got {error:?}")))
}

/// Fails unless `holds`.
#[track_caller]
pub fn check(what: impl Display, holds: bool) -> Outcome {
    if holds {
        return Ok(());
    }
    Err(fail(format!("expected {what}")))
}

/// Waits until `holds` does, for what the kernel does at its own pace.
#[track_caller]
pub fn eventually(what: impl Display, mut holds: impl FnMut() -> bool) -> Outcome {
    step(format!("waiting for {what}"));
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            return Err(fail(format!(
                "expected {what}; not so after {} s",
                PATIENCE.as_secs()
            )));
        }
        sleep(Duration::from_micros(200));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Stop;
    use super::*;

    fn text(outcome: Outcome) -> String {
        match outcome {
            Err(Stop::Fail(text)) => text,
            other => panic!("no failure: {other:?}"),
        }
    }

    #[test]
    fn differences_are_named() {
        assert_eq!(check_eq("x", 1, 1), Ok(()));
        assert!(text(check_eq("x", 1, 2)).starts_with("x: expected 2, got 1\nat "));
        let ok: Result<u8, Errno> = Ok(3);
        assert!(text(check_err("x", ok, Errno::EINVAL)).contains("expected EINVAL, got success"));
        let perm: Result<u8, Errno> = Err(Errno::EPERM);
        assert!(text(check_err("x", perm, Errno::EINVAL)).contains("expected EINVAL, got EPERM"));
        assert_eq!(check_err("x", perm, Errno::EPERM), Ok(()));
        assert!(text(check_ok("x", perm).map(|_| ())).contains("got EPERM"));
        assert!(text(check("the sun", false)).contains("expected the sun"));
    }
}
