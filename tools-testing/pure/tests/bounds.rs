// SPDX-License-Identifier: GPL-2.0

//! The stand-ins of `tests/ui/support` against the module: a real function has at least the
//! bounds of its stand-in, so what does not compile with the one does not with the other.

use std::{collections::BTreeSet, fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bounds of the context `H` at the beginning of an item, as in `fn name` or `impl`.
fn bounds(source: &str, item: &str) -> BTreeSet<String> {
    let start = source
        .find(&format!("{item}<"))
        .unwrap_or_else(|| panic!("there is no generic {item}"));
    let signature: String = source[start..]
        .split_inclusive('{')
        .next()
        .into_iter()
        .flat_map(|text| text.split_whitespace())
        .collect();
    let mut bounds = BTreeSet::new();
    for list in signature.split("H:").skip(1) {
        let mut depth = 0;
        let end = list.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth < 0 || depth == 0 && ",{(".contains(c)
        });
        let list = &list[..end.unwrap_or(list.len())];
        bounds.extend(list.split('+').map(str::to_owned));
    }
    assert!(!bounds.is_empty(), "{item} asks for nothing");
    bounds
}

#[test]
fn the_module_asks_for_what_its_stand_ins_ask_for() {
    let stand_ins = read("tests/ui/support/mod.rs");
    for (stand_in, level, file, item) in [
        ("enter", "XenLock", "sync/xen_lock.rs", "fn lock"),
        ("enter", "KvmSrcu", "sync/vm_srcu.rs", "fn read"),
        ("enter", "GpcLock", "sync/gpc.rs", "fn lock"),
        ("enter", "GpcLock", "sync/gpc.rs", "fn lock_alone"),
        ("enter", "GpcLock", "sync/gpc.rs", "fn wait_for_readers"),
        ("synchronize", "", "sync/vm_srcu.rs", "fn wait_for_readers"),
        ("try_read", "", "sync/gpc.rs", "fn try_read"),
        ("refresh", "", "sync/gpc.rs", "fn read"),
        ("refresh", "", "sync/gpc.rs", "fn refresh"),
        ("refresh", "", "sync/gpc.rs", "fn activate"),
        ("gfp_kernel", "", "sync/alloc.rs", "impl"),
        ("kick", "", "kvm/vcpu.rs", "fn unblock"),
        ("find", "", "sync/gpc.rs", "fn lock"),
        (
            "halt",
            "",
            "kvm/hypercall.rs",
            "fn as_long_as_the_guest_likes",
        ),
    ] {
        let real = bounds(&read(&format!("../../rust/{file}")), item);
        for bound in bounds(&stand_ins, &format!("fn {stand_in}")) {
            let bound = bound.replace("<L>", &format!("<{level}>"));
            assert!(
                real.contains(&bound),
                "{file}: {item} has {real:?}, not {bound}"
            );
        }
    }
}

#[test]
fn bounds_are_found_inline_and_in_where_clauses() {
    let source = "fn f<'g, H: A<B<C>> + D>(cx: &'g mut Ctx<'_, H>) -> X where 'a: 'g, H: E, {";
    assert_eq!(
        bounds(source, "fn f"),
        ["A<B<C>>", "D", "E"].map(String::from).into()
    );
}
