// SPDX-License-Identifier: GPL-2.0

//! Sleep and wake-up of a task.

use loom::thread::{self, Thread, ThreadId};
use std::{collections::HashSet, sync::Mutex};

/// Who is to be woken. The lock is the model's own bookkeeping: no thread of the test ever waits
/// for it.
#[derive(Default)]
pub(crate) struct Sleeper(Mutex<Option<Thread>>);

impl Sleeper {
    /// It is this thread from now on, or nobody.
    pub(crate) fn set(&self, thread: Option<Thread>) {
        *self.0.lock().expect("never poisoned") = thread;
    }

    /// Sleeps until `awake`, asked again after each wake-up. One between the question and the
    /// sleep is not lost, as the task's state is set before the question.
    pub(crate) fn sleep_until(&self, mut awake: impl FnMut() -> bool) {
        while !awake() {
            thread::park();
        }
    }

    /// Wakes it.
    pub(crate) fn wake(&self) {
        let thread = self.0.lock().expect("never poisoned").clone();
        if let Some(thread) = thread {
            thread.unpark();
        }
    }
}

/// Threads whose state is set to sleep.
#[derive(Default)]
pub(crate) struct Asleep(Mutex<HashSet<ThreadId>>);

impl Asleep {
    /// Whether the calling thread is one.
    pub(crate) fn has_current(&self) -> bool {
        let threads = self.0.lock().expect("never poisoned");
        threads.contains(&thread::current().id())
    }

    /// Has the calling thread be one for the time of `f`.
    pub(crate) fn while_in<R>(&self, f: impl FnOnce() -> R) -> R {
        let current = thread::current().id();
        self.0.lock().expect("never poisoned").insert(current);
        let result = f();
        self.0.lock().expect("never poisoned").remove(&current);
        result
    }
}
