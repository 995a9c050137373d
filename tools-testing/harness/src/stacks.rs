// SPDX-License-Identifier: GPL-2.0
//! Where the threads of a process are in the kernel, to explain a hang.

use std::fs;
use std::path::Path;

use nix::unistd::Pid;

/// Innermost functions to tell of each thread.
const DEPTH: usize = 8;

/// The kernel stacks of all threads of `pid`, as far as they can be read.
pub fn kernel_stacks(pid: Pid) -> String {
    let mut text = String::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return text;
    };
    for task in tasks.flatten() {
        text += &format!(
            "thread {}: {}\n",
            task.file_name().to_string_lossy(),
            innermost(&task.path())
        );
    }
    text
}

/// The innermost functions on a task's kernel stack.
fn innermost(task: &Path) -> String {
    let stack = fs::read_to_string(task.join("stack")).unwrap_or_default();
    let functions: Vec<_> = stack
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter_map(|function| function.split('+').next())
        .take(DEPTH)
        .collect();
    match functions.is_empty() {
        true => "not in the kernel, or unreadable".to_string(),
        false => functions.join(" < "),
    }
}

/// What a thread of this process is doing: R (it waits for a processor, or has one), S (it sleeps)
/// or the like; its side in a transition (`patch_state`); and where it is in the kernel.
pub fn task_state(thread: i32) -> String {
    let task = Path::new("/proc/self/task").join(thread.to_string());
    let read = |name| fs::read_to_string(task.join(name)).unwrap_or_default();
    // The letter comes after the name, in parentheses.
    let stat = read("stat");
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    format!(
        "{} {} {}",
        state.unwrap_or('?'),
        read("patch_state").trim(),
        innermost(&task)
    )
}
