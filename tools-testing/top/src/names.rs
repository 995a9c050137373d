// SPDX-License-Identifier: GPL-2.0
//! What VMs are called: as their process, and with a number where that has several.

use std::collections::BTreeMap;

/// The names that were given. They stay as they are.
#[derive(Default)]
pub struct Names(BTreeMap<u64, String>);

impl Names {
    /// The name of the VM at an address, whose process is `pid` if that is known.
    pub fn of(&mut self, vm: u64, pid: Option<i32>) -> String {
        if let Some(name) = self.0.get(&vm) {
            return name.clone();
        }
        let Some(pid) = pid else {
            return "?".into();
        };
        let is_of = |name: &String| name.split('.').next() == Some(&pid.to_string());
        let name = match self.0.values().filter(|name| is_of(name)).count() {
            0 => pid.to_string(),
            others => format!("{pid}.{}", others + 1),
        };
        self.0.insert(vm, name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_of_one_process() {
        let mut names = Names::default();
        assert_eq!(names.of(1, Some(10)), "10");
        assert_eq!(names.of(2, Some(100)), "100");
        assert_eq!(names.of(3, Some(10)), "10.2");
        assert_eq!(names.of(1, None), "10");
        assert_eq!(names.of(4, None), "?");
    }
}
