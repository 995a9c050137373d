// SPDX-License-Identifier: GPL-2.0
//! What a case expects: what C showed.

use harness::guest_code::{PORT_DONE, PORT_VECTOR};
use kvm_bindings::{KVM_EXIT_IO, KVM_EXIT_XEN};
use nix::errno::Errno;

use super::values::hex;
use super::Source;
use crate::trace::Kind;

impl Source<'_> {
    /// What C returned, as the harness has it.
    pub(super) fn expected(&self, number: u16) -> String {
        let result = self
            .c
            .iter()
            .find(|item| item.op == number && item.kind == Kind::Result);
        match result.map(|item| item.value as i64) {
            Some(error @ ..0) => format!("Err(Errno::{:?})", Errno::from_raw(-error as i32)),
            Some(0) | None => "Ok(())".into(),
            Some(value) => format!("Ok({value})"),
        }
    }

    pub(super) fn value(&self, number: u16, kind: Kind, at: u32) -> Option<u64> {
        let mut items = self.c.iter();
        let item = items.find(|item| (item.op, item.kind, item.at) == (number, kind, at))?;
        Some(item.value)
    }

    /// How KVM_RUN came back on C, where the harness has a name for it.
    pub(super) fn exit(&self, number: u16) -> Option<String> {
        if self.value(number, Kind::Result, 0).is_some() {
            return None;
        }
        let word = |at| self.value(number, Kind::ExitWord, at);
        match (self.value(number, Kind::Exit, 0)? as u32, word(0)?) {
            (KVM_EXIT_IO, port) if port == u64::from(PORT_DONE) => Some("Exit::Done".into()),
            (KVM_EXIT_IO, port) if port == u64::from(PORT_VECTOR) => Some(match word(1)? {
                vector @ 0..32 => format!("Exit::Exception({vector})"),
                vector => format!("Exit::Interrupt({vector})"),
            }),
            (KVM_EXIT_XEN, _) => {
                let (longmode, cpl, input) = (word(1)?, word(2)?, hex(word(3)?));
                let params: Option<Vec<_>> = (4..10).map(|at| Some(hex(word(at)?))).collect();
                let params = params?.join(", ");
                Some(format!(
                    "Exit::Hypercall(Hypercall {{ longmode: {longmode}, cpl: {cpl}, \
                     input: {input}, params: [{params}] }})"
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Item;

    fn source(words: &[u64], c: &mut Vec<Item>, reason: u32) {
        let mut see = |kind, at, value| {
            c.push(Item {
                op: 4,
                kind,
                at,
                value,
            })
        };
        see(Kind::Exit, 0, reason.into());
        for (at, word) in words.iter().enumerate() {
            see(Kind::ExitWord, at as u32, *word);
        }
    }

    fn exit(words: &[u64], reason: u32) -> Option<String> {
        let mut c = Vec::new();
        source(words, &mut c, reason);
        let source = Source {
            text: String::new(),
            vcpus: 0,
            c: &c,
        };
        source.exit(4)
    }

    #[test]
    fn exits_have_the_names_of_the_harness() {
        let io = |port: u16, byte| exit(&[port.into(), byte], KVM_EXIT_IO);
        assert_eq!(io(PORT_DONE, 0).as_deref(), Some("Exit::Done"));
        assert_eq!(io(PORT_VECTOR, 13).as_deref(), Some("Exit::Exception(13)"));
        assert_eq!(io(PORT_VECTOR, 99).as_deref(), Some("Exit::Interrupt(99)"));
        let xen = exit(&[1, 0, 3, 17, 1, 2, 3, 4, 5, 16], KVM_EXIT_XEN);
        let expected = "Exit::Hypercall(Hypercall { longmode: 0, cpl: 3, input: 0x11, \
                        params: [1, 2, 3, 4, 5, 0x10] })";
        assert_eq!(xen.as_deref(), Some(expected));
        assert_eq!(exit(&[], 5), None);
    }
}
