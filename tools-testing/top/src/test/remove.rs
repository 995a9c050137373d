// SPDX-License-Identifier: GPL-2.0
//! The module goes while its tracepoints are on, and events are sent.

use super::ftrace::{Trace, TRACEFS};
use super::running::Running;
use harness::abi::Abi;
use harness::check::{check, check_eq};
use harness::machine::Machine;
use harness::outcome::{fail, Outcome, Stop};
use livepatch::{klog, kmod};
use nix::errno::Errno;
use nix::kmod::{delete_module, DeleteModuleFlags};
use protocol::{Side, MODULE_NAME};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// How long a transition may take on a busy host; how long it takes, `takeover/` judges.
const TRANSITION_LIMIT: Duration = Duration::from_secs(60);

/// Runs it; ends on C.
pub fn run(top: &Path, module: &str) -> Outcome {
    if livepatch::is_present() {
        livepatch::remove().map_err(failed)?;
    }
    without_module(top)?;
    let machine = Machine::new(Abi::Bits64)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !stop.load(SeqCst) {
                machine.clear_events();
                machine.vm.send(5, 0)?;
            }
            Ok::<_, Stop>(())
        });
        // A check that panics ends it, too.
        let ends = Ends(&stop);
        let result = comes_and_goes(module).and_then(|()| with_top(top, module));
        drop(ends);
        sender.join().map_err(|_| fail("the sender panicked"))??;
        result
    })
}

/// Has the sender end when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn failed(error: impl std::fmt::Display) -> Stop {
    fail(format!("{error:#}"))
}

/// There is nothing to count: it says so in a line.
fn without_module(top: &Path) -> Outcome {
    let output = Command::new(top).arg("--once").output()?;
    check_eq("status without the module", output.status.code(), Some(1))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    check_eq("lines", said.lines().count(), 1)?;
    check(said.clone(), said.contains("insmod kvm_xen_rs.ko"))
}

/// It goes, comes and goes with all of its tracepoints on.
fn comes_and_goes(module: &str) -> Outcome {
    livepatch::insert(module).map_err(failed)?;
    let trace = Trace::new()?;
    trace.fills()?;
    livepatch::remove().map_err(failed)?;
    let events = Path::new(TRACEFS).join("events/kvm_xen_rs");
    check("no events without the module", !events.exists())?;
    // What was traced has gone with what could print it.
    check_eq("lines without the module", trace.lines()?.len(), 0)?;

    // In an instance that has had them before.
    livepatch::insert(module).map_err(failed)?;
    trace.enable()?;
    trace.fills()?;
    livepatch::remove().map_err(failed)?;
    Ok(())
}

/// Waits until the transition to C has ended, which takes longer where the host is busy.
fn c_serves() -> Outcome {
    let begun = Instant::now();
    while livepatch::is_present() {
        if begun.elapsed() > TRANSITION_LIMIT {
            return Err(fail("the transition to C has not ended"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// It keeps the module from going, but not C from serving.
fn with_top(top: &Path, module: &str) -> Outcome {
    livepatch::insert(module).map_err(failed)?;
    let running = Running::new(top)?;
    klog::change_to(Side::C);
    fs::write(format!("/sys/kernel/livepatch/{MODULE_NAME}/enabled"), "0")?;
    c_serves()?;
    let name = c"kvm_xen_rs";
    for _ in 0..100 {
        match delete_module(name, DeleteModuleFlags::O_NONBLOCK) {
            Err(Errno::EAGAIN | Errno::EBUSY) => {}
            other => return Err(fail(format!("removing it beside kvm-xen-top: {other:?}"))),
        }
        thread::sleep(Duration::from_millis(5));
    }
    let lines = running.stop()?;
    check(
        format!("a line that says that C serves: {lines:?}"),
        lines.first().is_some_and(|line| line.contains(" side=c ")),
    )?;
    kmod::unload(MODULE_NAME).map_err(failed)?;
    klog::in_charge(Side::C);
    Ok(())
}
