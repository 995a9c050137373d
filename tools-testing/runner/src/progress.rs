// SPDX-License-Identifier: GPL-2.0
//! What a person sees while they wait: spinners on a terminal, plain lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{stdout, IsTerminal};
use std::time::{Duration, Instant};

/// Where everything is shown. Clones show on the same screen.
#[derive(Clone)]
pub struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    /// On a terminal with spinners.
    pub fn new() -> Self {
        let bars = stdout().is_terminal().then(MultiProgress::new);
        Screen { bars }
    }

    /// A line that stays.
    pub fn line(&self, text: impl AsRef<str>) {
        match &self.bars {
            // Drawing fails where the terminal is gone, and then nobody reads it.
            Some(bars) => drop(bars.println(text)),
            None => println!("{}", text.as_ref()),
        }
    }

    /// Announces a step; it lasts until it is told to be done, or dropped.
    pub fn step(&self, what: impl Into<String>) -> Step {
        let what = what.into();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style =
                ProgressStyle::with_template("{spinner} {prefix} {msg:.dim} {elapsed:.dim}");
            bar.set_style(style.expect("the template is constant"));
            bar.set_prefix(what.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step {
            screen: self.clone(),
            what,
            bar,
            begun: Instant::now(),
        }
    }
}

/// A step that runs.
pub struct Step {
    screen: Screen,
    what: String,
    bar: Option<ProgressBar>,
    begun: Instant,
}

impl Step {
    /// What is being done right now.
    pub fn note(&self, text: impl Into<String>) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.into());
        }
    }

    /// It is done; `detail` says what came of it, and may be empty.
    pub fn done(self, detail: &str) {
        self.end("✓", detail, self.begun.elapsed());
    }

    /// It went wrong.
    pub fn failed(self) {
        self.end("✗", "", self.begun.elapsed());
    }

    fn end(&self, mark: &str, detail: &str, took: Duration) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let mut text = self.what.clone();
        if !detail.is_empty() {
            text = format!("{text}: {detail}");
        }
        self.screen
            .line(format!("{mark} {text:<72} {:>6}", seconds(took)));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration for people.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
