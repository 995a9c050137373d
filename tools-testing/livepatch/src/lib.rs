// SPDX-License-Identifier: GPL-2.0
//! The switch: `/sys/kernel/livepatch/kvm_xen_rs`.

use anyhow::{bail, Context, Result};
use protocol::{other_functions, Side, MODULE_NAME};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub mod coverage;
pub mod inserted;
pub mod klog;
pub mod kmod;
pub mod kprobes;
mod transition;

/// A transition that takes longer than this is stuck.
const TRANSITION_LIMIT: Duration = Duration::from_secs(60);

/// So is what comes with it, when no task is left: functions are taken from ftrace, one by one.
const FTRACE_LIMIT: Duration = Duration::from_secs(240);

/// What one change took.
#[derive(Debug, Clone, Default)]
pub struct Took {
    /// Inserting the module, until the transition begins: functions are given to ftrace, one by
    /// one. Or removing it.
    pub module: Duration,
    /// Changing over every task.
    pub transition: Duration,
    /// What comes after that: functions are taken from ftrace, one by one.
    pub after: Duration,
    /// The last tasks that were seen waited for.
    pub last: Vec<String>,
}

fn dir() -> PathBuf {
    Path::new("/sys/kernel/livepatch").join(MODULE_NAME)
}

fn flag(path: impl AsRef<Path>) -> Option<bool> {
    let text = fs::read_to_string(dir().join(path)).ok()?;
    Some(text.trim() == "1")
}

/// Whether the livepatch is there.
pub fn is_present() -> bool {
    dir().exists()
}

/// Whether `kvm.ko` is loaded and its functions are replaced.
pub fn is_kvm_patched() -> bool {
    flag("kvm/patched") == Some(true)
}

/// The functions of `kvm.ko` that are replaced, in alphabetical order.
pub fn functions() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir().join("kvm"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| function_of(&entry.file_name().to_string_lossy()))
        .collect();
    names.sort();
    names
}

/// Fails unless all functions that the module replaces are listed, and no others, and ftrace
/// redirects each call of them, whatever the livepatch says.
pub fn check() -> Result<()> {
    if !is_kvm_patched() {
        bail!("the livepatch does not say that kvm.ko is patched");
    }
    let mut functions = functions();
    match other_functions(&functions).as_slice() {
        [] => {}
        others => bail!("the livepatch lists other functions: {}", others.join(", ")),
    }
    let path = "/sys/kernel/tracing/enabled_functions";
    let enabled = fs::read_to_string(path).context(path)?;
    functions.retain(|function| !redirects(&enabled, function));
    match functions.as_slice() {
        [] => Ok(()),
        functions => bail!("ftrace does not redirect {}", functions.join(", ")),
    }
}

/// The same where KVM is loaded.
fn check_if_kvm() -> Result<()> {
    match kmod::is_loaded("kvm") {
        true => check(),
        false => Ok(()),
    }
}

/// A line begins with a function and its module; the flag "I" says that its handler may continue
/// elsewhere, which is what a livepatch does.
fn redirects(enabled: &str, function: &str) -> bool {
    enabled.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(function) && words.any(|word| word == "I")
    })
}

/// The directories are named "function,N", N telling apart those of one name; other entries are
/// attributes.
fn function_of(entry: &str) -> Option<String> {
    let (name, number) = entry.rsplit_once(',')?;
    number.parse::<u32>().ok()?;
    Some(name.to_owned())
}

/// Inserts the module and waits until every task runs its code.
pub fn insert(path: &str) -> Result<Took> {
    insert_with(path, "")
}

/// As [`insert`], with parameters of the module.
pub fn insert_with(path: &str, parameters: &str) -> Result<Took> {
    klog::change_to(Side::Rust);
    let took = watched("1", || {
        kmod::load_with(path, parameters)?;
        wait("the transition to Rust", || {
            flag("enabled") == Some(true) && flag("transition") == Some(false)
        })
    })?;
    klog::in_charge(Side::Rust);
    check_if_kvm()?;
    Ok(took)
}

/// Hands back to C, provided that all was on Rust, waits until no task runs our code, and removes the module.
pub fn remove() -> Result<Took> {
    check_if_kvm()?;
    let enabled = dir().join("enabled");
    klog::change_to(Side::C);
    let took = watched("0", || {
        fs::write(&enabled, "0").with_context(|| format!("writing 0 to {}", enabled.display()))?;
        wait("the transition to C", || !is_present())
    })?;
    coverage::keep()?;
    let begun = Instant::now();
    kmod::unload(MODULE_NAME)?;
    klog::in_charge(Side::C);
    Ok(Took {
        // Where the transition was too short to be seen, all before it is what comes after.
        after: if took.transition.is_zero() {
            took.module
        } else {
            took.after
        },
        module: begun.elapsed(),
        ..took
    })
}

/// How often tasks are looked at, which takes time that they could use.
const LOOK: Duration = Duration::from_millis(50);

/// Does `change`, with an eye on when the transition begins and ends: both may be before the
/// call returns that causes them.
fn watched(target: &str, change: impl FnOnce() -> Result<()>) -> Result<Took> {
    let begun = Instant::now();
    let done = AtomicBool::new(false);
    let log = transition::Log::listen();
    let (result, mut seen) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(target, begun, &done));
        let result = change();
        done.store(true, SeqCst);
        (result, watch.join().unwrap_or_default())
    });
    result?;
    let total = begun.elapsed();
    // A transition that was not seen at all took less than a look at it.
    let from = seen.from.unwrap_or(total);
    let to = match log.and_then(transition::Log::transition) {
        Some(transition) => from + transition,
        None => seen.to.unwrap_or(total),
    };
    Ok(Took {
        module: from,
        transition: to.saturating_sub(from),
        after: total.saturating_sub(to),
        last: std::mem::take(&mut seen.last),
    })
}

/// What was seen of a transition. Livepatch tells of one before it gives functions to ftrace, with
/// every task on its side yet; it says which side is to be enabled when tasks begin to change over.
#[derive(Default)]
struct Seen {
    from: Option<Duration>,
    to: Option<Duration>,
    last: Vec<String>,
}

fn watch(target: &str, begun: Instant, done: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while seen.to.is_none() && !done.load(SeqCst) {
        if flag("transition") == Some(true) && flag("enabled") == Some(target == "1") {
            seen.from.get_or_insert_with(|| begun.elapsed());
            let left = tasks_left(target);
            // Only in a transition does this task have a state.
            let own = fs::read_to_string("/proc/thread-self/patch_state").unwrap_or_default();
            if !left.is_empty() {
                seen.last = left;
            } else if own.trim() == target {
                seen.to = Some(begun.elapsed());
            }
        } else if seen.from.is_some() {
            // Over since the last look.
            seen.to = Some(begun.elapsed());
        }
        sleep(LOOK);
    }
    seen
}

fn wait(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    let mut limit = TRANSITION_LIMIT;
    while !done() {
        if begun.elapsed() > limit {
            let left = tasks_left(match flag("enabled") {
                Some(true) => "1",
                _ => "0",
            });
            if !left.is_empty() || limit == FTRACE_LIMIT {
                bail!(
                    "{what} has not ended after {} s; waiting for {} tasks: {}",
                    limit.as_secs(),
                    left.len(),
                    left.join(", ")
                );
            }
            limit = FTRACE_LIMIT;
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The tasks whose `patch_state` is not `target` yet. It is -1 outside a transition, and all tasks
/// that are done agree.
fn tasks_left(target: &str) -> Vec<String> {
    let mut left = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        for task in fs::read_dir(process.path().join("task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let state = read("patch_state");
            if !matches!(state.trim(), "" | "-1") && state.trim() != target {
                let id = task.file_name();
                left.push(format!(
                    "{} ({})",
                    read("comm").trim(),
                    id.to_string_lossy()
                ));
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::{function_of, redirects};

    #[test]
    fn redirected_functions() {
        let enabled = "kvm_xen_hypercall [kvm] (1) R I     \ttramp: 0xffffffffc0a5b000 \
                       (klp_ftrace_handler+0x0/0x210) ->arch_ftrace_ops_list_func+0x0/0x200\n\
                       evtchn_set_fn [kvm] (1) R       \ttramp: 0xffffffffc0a5d000\n";
        assert!(redirects(enabled, "kvm_xen_hypercall"));
        assert!(!redirects(enabled, "evtchn_set_fn"));
        assert!(!redirects(enabled, "kvm_xen"));
    }

    #[test]
    fn functions_and_attributes() {
        assert_eq!(
            function_of("evtchn_set_fn,1").as_deref(),
            Some("evtchn_set_fn")
        );
        assert_eq!(function_of("patched"), None);
    }
}
