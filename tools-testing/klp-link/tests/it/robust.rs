// SPDX-License-Identifier: GPL-2.0
//! Whatever the file is like: an answer, no panic, and a linked module only if it holds together.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::ko::sample;

/// Links, and checks that what comes out would be left as it is.
fn check(module: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(Some(linked)) = klp_link::link(module) {
        let again = klp_link::link(&linked.module);
        prop_assert!(again.is_ok_and(|again| again.is_none()));
    }
    Ok(())
}

#[test]
fn every_truncation_is_an_error() {
    let module = sample().build();
    for len in 0..module.len() {
        assert!(klp_link::link(&module[..len]).is_err(), "{len} bytes");
    }
    assert!(klp_link::link(&module).is_ok());
}

#[test]
fn every_byte_may_be_anything_extreme() {
    let module = sample().build();
    for at in 0..module.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut module = module.clone();
            module[at] = value;
            check(&module).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Numbers where numbers are: sizes, offsets and indices that are large, or just off.
    #[test]
    fn changed_words(edits in vec((any::<Index>(), word()), 1..4), cut in any::<Option<Index>>()) {
        let mut module = sample().build();
        for (at, value) in edits {
            let at = at.index(module.len() / 4 - 1) * 4;
            module[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(cut) = cut {
            module.truncate(cut.index(module.len()));
        }
        check(&module)?;
    }
}

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..256_u64,
        0..8192_u64,
        (0..64_u32).prop_map(|bit| 1 << bit),
        (0..64_u32).prop_map(|bit| u64::MAX << bit),
        any::<u64>(),
    ]
}
