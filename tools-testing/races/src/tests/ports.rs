// SPDX-License-Identifier: GPL-2.0

//! What ports a guest has, and which of its vCPUs a number means.

use super::explore;
use crate::{
    abi::WordSize::{Bits32, Bits64},
    evtchn::port::Port,
    kvm::Target,
    kvm::Vm,
    model::{vcpu::id_of, vm::Config},
};

#[test]
fn a_guest_has_the_square_of_its_word_size() {
    for (size, count) in [(Bits32, 1024), (Bits64, 4096)] {
        let last = Port::new(count - 1, size).expect("the last port");
        assert_eq!((last.nr(), last.word_size()), (count - 1, size));
        assert_eq!(last.word(), size.word_of(count - 1));
        assert!(Port::new(count, size).is_none());
        assert!(Port::new(u32::MAX, size).is_none());
    }
}

#[test]
fn index_0_is_known_and_those_below_are_not() {
    let known = Target::new(9, 0);
    assert_eq!(
        (known.id(), known.index(), known.raw_index()),
        (9, Some(0), 0)
    );
    let unknown = Target::by_id(9);
    assert_eq!(
        (unknown.id(), unknown.index(), unknown.raw_index()),
        (9, None, -1)
    );
    assert_eq!(Target::new(9, -2).index(), None);
}

#[test]
fn a_vcpu_is_bound_by_both_numbers() {
    let config = Config {
        vcpus: 3,
        ..Config::default()
    };
    explore(0, config, |state| {
        let vm = Vm::of(&state);
        for index in 0..3 {
            let bound = Target::of(vm.vcpu(index).expect("is there"));
            assert_eq!((bound.id(), bound.index()), (id_of(index), Some(index)));
        }
    });
}
