// SPDX-License-Identifier: GPL-2.0

//! What the lock order forbids does not compile, and says why; what it allows does.

#[test]
fn the_lock_order_is_types() {
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
    tests.pass("tests/ui/pass/*.rs");
}
