// SPDX-License-Identifier: GPL-2.0
//! Where the threads of a process are in the kernel, to explain a hang.

use std::fs;

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
        let stack = fs::read_to_string(task.path().join("stack")).unwrap_or_default();
        let functions: Vec<_> = stack
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .filter_map(|function| function.split('+').next())
            .take(DEPTH)
            .collect();
        let functions = if functions.is_empty() {
            "not in the kernel, or unreadable".to_string()
        } else {
            functions.join(" < ")
        };
        text += &format!(
            "thread {}: {functions}\n",
            task.file_name().to_string_lossy()
        );
    }
    text
}
