// SPDX-License-Identifier: GPL-2.0
//! What a sequence is known to have done, as far as the rules need it.

use crate::op::*;
use crate::trace::{Item, Kind};

/// Where shared_info is, as the VMM has put it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SharedInfo {
    Nowhere,
    Guest(Gpa),
    Vmm(Hva),
}

/// Follows a sequence.
pub struct Model {
    shared_info: SharedInfo,
    /// Whether a slot has the area where it is at first, and elsewhere, to write to.
    slots: [bool; 2],
    /// Pages of the area that can't be written to.
    away: [bool; PAGES as usize],
    second: bool,
}

impl Model {
    fn new() -> Self {
        Self {
            shared_info: SharedInfo::Nowhere,
            slots: [true, false],
            away: [false; PAGES as usize],
            second: false,
        }
    }

    /// Whether an event can't be put into shared_info.
    fn shared_info_is_away(&self) -> bool {
        let page_is_away = |page: u8| self.away.get(usize::from(page)).is_some_and(|away| *away);
        match self.shared_info {
            SharedInfo::Nowhere => true,
            SharedInfo::Guest(Gpa::Area(page, _)) => !self.slots[0] || page_is_away(page),
            SharedInfo::Guest(Gpa::Elsewhere(page, _)) => !self.slots[1] || page_is_away(page),
            SharedInfo::Guest(Gpa::Ram(_)) => false,
            SharedInfo::Guest(_) => true,
            SharedInfo::Vmm(Hva::Area(page, _)) => page_is_away(page),
            SharedInfo::Vmm(Hva::Raw(_)) => true,
        }
    }

    fn done(&mut self, op: &Op) {
        const READONLY: u32 = kvm_bindings::KVM_MEM_READONLY;
        match *op {
            Op::SetVm(VmAttr::SharedInfo(gpa)) => self.shared_info = SharedInfo::Guest(gpa),
            Op::SetVm(VmAttr::SharedInfoGfn(_)) => self.shared_info = SharedInfo::Nowhere,
            Op::SetVm(VmAttr::SharedInfoHva(Hva::Raw(0))) => self.shared_info = SharedInfo::Nowhere,
            Op::SetVm(VmAttr::SharedInfoHva(hva)) => self.shared_info = SharedInfo::Vmm(hva),
            Op::Slot(Slot::Remove) => self.slots = [false, self.second],
            Op::Slot(Slot::Add(flags)) => self.slots = [flags & READONLY == 0, self.second],
            Op::Slot(Slot::Move(flags)) => self.slots = [false, flags & READONLY == 0],
            Op::Slot(Slot::AddSecond(flags)) => {
                self.second = flags & READONLY == 0;
                self.slots[1] |= self.second;
            }
            Op::Slot(Slot::RemoveSecond) => {
                self.second = false;
                self.slots[1] = false;
            }
            Op::Page(page, how) => {
                if let Some(away) = self.away.get_mut(usize::from(page)) {
                    match how {
                        Page::Unmap | Page::Forbid | Page::WriteProtect => *away = true,
                        Page::Map | Page::Permit => *away = false,
                        Page::Discard => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// For each operation, whether shared_info was away before or after it.
pub fn shared_info_away(ops: &[Op], trace: &[Item]) -> Vec<bool> {
    let mut model = Model::new();
    let failed = |number: usize| {
        let mut items = trace.iter().filter(|item| usize::from(item.op) == number);
        items.any(|item| item.kind == Kind::Result && (item.value as i64) < 0)
    };
    let mut before = model.shared_info_is_away();
    ops.iter()
        .enumerate()
        .map(|(number, op)| {
            // A place that KVM could not map is no place either, but it is one from then on.
            let places = matches!(
                op,
                Op::SetVm(
                    VmAttr::SharedInfo(_) | VmAttr::SharedInfoGfn(_) | VmAttr::SharedInfoHva(_)
                )
            );
            match (failed(number), places) {
                (false, _) => model.done(op),
                (true, true) => model.shared_info = SharedInfo::Nowhere,
                (true, false) => {}
            }
            let after = model.shared_info_is_away();
            std::mem::replace(&mut before, after) | after
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_info_comes_and_goes() {
        let ops = [
            Op::GetVm(0),
            Op::SetVm(VmAttr::SharedInfo(Gpa::Area(1, 0))),
            Op::GetVm(0),
            Op::Page(0, Page::Unmap),
            Op::Page(1, Page::Forbid),
            Op::GetVm(0),
            Op::Page(1, Page::Permit),
            Op::GetVm(0),
            Op::Slot(Slot::Remove),
            Op::SetVm(VmAttr::SharedInfoHva(Hva::Area(1, 0))),
            Op::GetVm(0),
        ];
        let away = shared_info_away(&ops, &[]);
        let expected = [
            true, true, false, false, true, true, true, false, true, true, false,
        ];
        assert_eq!(away, expected);
    }

    #[test]
    fn what_failed_was_not_done() {
        let ops = [Op::SetVm(VmAttr::SharedInfo(Gpa::Area(1, 0))), Op::GetVm(0)];
        let failed = Item::new(0, Kind::Result, 0, -14_i64 as u64);
        assert_eq!(shared_info_away(&ops, &[failed]), [true, true]);
        assert_eq!(shared_info_away(&ops, &[]), [true, false]);
    }
}
