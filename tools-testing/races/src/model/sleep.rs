// SPDX-License-Identifier: GPL-2.0

//! Sleep and wake-up of a task.

use loom::{
    sync::atomic::{fence, Ordering::SeqCst},
    thread::{self, Thread, ThreadId},
};
use std::{collections::HashSet, sync::Mutex};

/// Who sleeps, or is about to. It alone can be woken: loom takes a wake-up of who waits for a lock
/// for the lock's. The lock is the model's own bookkeeping: no thread of the test ever waits
/// for it.
#[derive(Default)]
pub(crate) struct Sleeper(Mutex<Option<Thread>>);

impl Sleeper {
    fn set(&self, thread: Option<Thread>) {
        *self.0.lock().expect("never poisoned") = thread;
    }

    /// Sleeps until `awake`, asked again after each wake-up. One between the question and the
    /// sleep is not lost, as the task's state is set before the question.
    pub(crate) fn sleep_until(&self, mut awake: impl FnMut() -> bool) {
        self.set(Some(thread::current()));
        // The barrier of `set_current_state()`.
        fence(SeqCst);
        while !awake() {
            thread::park();
        }
        self.set(None);
    }

    /// Wakes it.
    pub(crate) fn wake(&self) {
        // The barrier of `try_to_wake_up()`.
        fence(SeqCst);
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
