// SPDX-License-Identifier: GPL-2.0
//! A watchdog for each thread: whoever makes no progress is told by name.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::child::abandon;
use harness::outcome::fail;
use harness::stacks::kernel_stacks;

/// Nothing that a storm waits for takes so long, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(500);

/// The progress of one thread.
pub struct Beat {
    name: String,
    at: AtomicU64,
    doing: Mutex<&'static str>,
    start: Instant,
}

impl Beat {
    /// Goes on, with `doing`.
    pub fn doing(&self, doing: &'static str) {
        self.at
            .store(self.start.elapsed().as_millis() as u64, SeqCst);
        *self.doing.lock().expect("nobody panics with it") = doing;
    }
}

/// Looks after the threads of a storm.
#[derive(Clone)]
pub struct Watch {
    beats: Arc<Mutex<Vec<Arc<Beat>>>>,
    start: Instant,
}

impl Watch {
    /// Starts the watchdog. `explain` says more when it barks.
    pub fn start(explain: impl Fn() -> String + Send + 'static) -> Self {
        let watch = Self {
            beats: Arc::default(),
            start: Instant::now(),
        };
        let (beats, start) = (Arc::downgrade(&watch.beats), watch.start);
        // It ends with the storm.
        thread::spawn(move || loop {
            thread::sleep(LOOK);
            let Some(beats) = beats.upgrade() else {
                return;
            };
            if let Some(hang) = (Self { beats, start }).hang() {
                let stacks = kernel_stacks(nix::unistd::Pid::this());
                abandon(fail(format!("{hang}\n{}\n{stacks}", explain())));
            }
        });
        watch
    }

    /// A new thread to look after; it is as long as somebody has its beat.
    pub fn thread(&self, name: String) -> Arc<Beat> {
        let beat = Arc::new(Beat {
            name,
            at: AtomicU64::new(self.start.elapsed().as_millis() as u64),
            doing: Mutex::new("begins"),
            start: self.start,
        });
        let mut beats = self.beats.lock().expect("nobody panics with it");
        beats.push(beat.clone());
        beat
    }

    fn hang(&self) -> Option<String> {
        let mut beats = self.beats.lock().expect("nobody panics with it");
        beats.retain(|beat| Arc::strong_count(beat) > 1);
        let now = self.start.elapsed().as_millis() as u64;
        let stuck = |beat: &&Arc<Beat>| {
            now.saturating_sub(beat.at.load(SeqCst)) > PATIENCE.as_millis() as u64
        };
        beats.iter().find(stuck).map(|beat| {
            format!(
                "{} hangs: it {}, for more than {} s",
                beat.name,
                beat.doing.lock().expect("nobody panics with it"),
                PATIENCE.as_secs()
            )
        })
    }
}
