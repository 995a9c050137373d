// SPDX-License-Identifier: GPL-2.0
//! The module file, and its source.

mod locks;
mod tail_calls;
pub mod types;

use super::catalog::Catalog;
use super::context::Context;
use super::host;
use super::names::TYPES;
use crate::build_steps::{make, stdout};
use crate::report::Verdict;
use anyhow::{Context as _, Result};
use object::{Object, ObjectSymbol};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What the module uses of the kernel's Rust, without the hashes of crates. Nothing of it panics;
/// of `core`, all that is not inlined may.
const OF_RUST: [&str; 9] = [
    "_RNvMNtC6kernel5errorNtB2_5Error10from_errno",
    "_RNvNtC6kernel5error9to_result",
    "_RNvMs0_NtC6kernel7uaccessNtB5_15UserSliceReader8read_raw",
    "_RNvNtC6kernel12module_param12PARAM_OPS_U8",
    "_RNvXsh_NtC8bindings12bindings_rawNtB5_13callback_headNtNtC4core7default7Default7default",
    // pr_err!(), with numbers in hexadecimal. What can't be written is an error.
    "_RNvNtC6kernel5print11call_printk",
    "_RNvNtNtC6kernel5print14format_strings3ERR",
    "_RNvNtC4core3fmt5write",
    "_RNvXsG_NtNtC4core3fmt3numhNtB7_8LowerHex3fmt",
];

/// Looks at the module file.
pub fn file(context: &Context, catalog: &Catalog, module: &Path) {
    let info = modinfo(module);
    for (field, wanted) in &catalog.modinfo {
        let verdict = match &info {
            Ok(info) => field_verdict(info.get(*field).map(String::as_str), *wanted),
            Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
        };
        context
            .report
            .add(&format!("modinfo/{field}"), verdict, None);
    }
    if catalog.module.contains(&"no-panic") {
        let verdict = match foreign(module) {
            Ok(found) if found.is_empty() => Verdict::Ok,
            Ok(found) => Verdict::NotOk("it uses Rust that may panic".into(), found),
            Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
        };
        context.report.add("module/no-panic", verdict, None);
    }
    if catalog.module.contains(&"atomic-bits") {
        let verdict = match locks::find(module) {
            Ok(found) if found.all == 0 => Verdict::NotOk("it changes no bits".into(), Vec::new()),
            Ok(found) if found.plain.is_empty() => Verdict::Ok,
            Ok(found) => Verdict::NotOk("bits are changed without `lock`".into(), found.plain),
            Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
        };
        context.report.add("module/atomic-bits", verdict, None);
    }
    if catalog.module.contains(&"no-tail-calls") {
        let verdict = match tail_calls::find(module) {
            Ok(found) if !found.jumps.is_empty() => {
                let reason = "functions that replace KVM's leave by a jump".to_owned();
                Verdict::NotOk(reason, found.jumps)
            }
            Ok(found) => match protocol::other_functions(&found.functions) {
                others if others.is_empty() => Verdict::Ok,
                others => Verdict::NotOk("not the functions that it should have".into(), others),
            },
            Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
        };
        context.report.add("module/no-tail-calls", verdict, None);
    }
    if catalog.module.contains(&"built-once") {
        built_once(context, module);
    }
}

/// Whether `make modules` finds all that it made before, and makes nothing anew.
fn built_once(context: &Context, module: &Path) {
    let objects = module.parent().unwrap_or(Path::new("."));
    let objects = format!("MO={}", objects.display());
    let mut again = make(context.paths, &context.paths.kernel, &["modules", &objects]);
    // kbuild has a line for each file that it makes: "  LD [M]  kvm_xen_rs.ko".
    host::silent(context, "module/built-once", &mut again, |line| {
        line.starts_with("  ")
    });
}

/// Checks the module's source. Clippy builds it once more, elsewhere.
pub fn source(context: &Context, catalog: &Catalog) {
    if catalog.module.contains(&"rustfmt") {
        let root = context.paths.source.join("rust/kvm_xen_rs.rs");
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.args(["--check", "--edition", "2021"]).arg(root);
        host::whole(context, "module/rustfmt", &mut rustfmt);
    }
    for name in TYPES {
        if catalog.module.contains(&name) {
            let begun = Instant::now();
            let verdict = types::verdict(context, name);
            let took = Some(begun.elapsed());
            context.report.add(&format!("module/{name}"), verdict, took);
        }
    }
    if catalog.module.contains(&"clippy") {
        let objects = context.paths.source.join("build/clippy");
        let objects = format!("MO={}", objects.display());
        let mut clippy = make(
            context.paths,
            &context.paths.kernel,
            &["modules", "CLIPPY=1", &objects],
        );
        // A lint that only warns fails nothing, so its words count.
        host::silent(context, "module/clippy", &mut clippy, |line| {
            line.starts_with("warning:") || line.starts_with("error")
        });
    }
}

fn field_verdict(value: Option<&str>, wanted: Option<&str>) -> Verdict {
    match (value, wanted) {
        (None | Some(""), _) => Verdict::NotOk("it is missing".into(), Vec::new()),
        (Some(value), Some(wanted)) if value != wanted => {
            Verdict::NotOk(format!("it is {value}, and should be {wanted}"), Vec::new())
        }
        _ => Verdict::Ok,
    }
}

fn modinfo(module: &Path) -> Result<HashMap<String, String>> {
    let text = stdout(Command::new("modinfo").arg(module))?;
    Ok(parse_modinfo(&text))
}

fn parse_modinfo(text: &str) -> HashMap<String, String> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// What the module wants of Rust in the kernel beside [`OF_RUST`]. A panic ends in `core`, which is
/// there, whatever of it is generic and so in the module.
fn foreign(module: &Path) -> Result<Vec<String>> {
    let data = fs::read(module).with_context(|| module.display().to_string())?;
    let file = object::File::parse(&*data).with_context(|| module.display().to_string())?;
    let wanted = file.symbols().filter(|symbol| symbol.is_undefined());
    let names = wanted.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    Ok(names.filter(|name| is_foreign(name)).collect())
}

/// Whether a symbol is Rust's, in either of rustc's schemes, and none of [`OF_RUST`].
fn is_foreign(symbol: &str) -> bool {
    let is_rust = ["_R", "_ZN", "rust_"].iter().any(|s| symbol.starts_with(s));
    let is_c = symbol.starts_with("rust_helper_");
    is_rust && !is_c && !OF_RUST.contains(&without_hashes(symbol).as_str())
}

/// The symbol with "Cs…_", the hash of a crate before its name, as "C".
fn without_hashes(symbol: &str) -> String {
    let mut parts = symbol.split("Cs");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('C');
        out.push_str(part.split_once('_').map_or(part, |(_, name)| name));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_by_any_name() {
        for panic in [
            "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE",
            "_RNvNtCs1234_4core9panicking5panic",
            "_RNvNtCs2lKf6AS60Zg_4core6option13unwrap_failed",
            "_RNvNtNtCs2lKf6AS60Zg_4core5slice5index16slice_index_fail",
            "_RNvCs1234_7___rustc17rust_begin_unwind",
            "rust_begin_unwind",
        ] {
            assert!(is_foreign(panic), "{panic}");
        }
        assert!(!is_foreign("panic") && !is_foreign("rust_helper_smp_mb"));
        assert!(!is_foreign("_RNvNtCsb5MLIFMWygY_6kernel5error9to_result"));
    }

    #[test]
    fn fields_of_modinfo() {
        let info =
            parse_modinfo("license:        GPL\ndescription:    KVM: Xen in Rust\nversion:  \n");
        let field = |name: &str| info.get(name).map(String::as_str);
        assert_eq!(field_verdict(field("license"), Some("GPL")), Verdict::Ok);
        assert_eq!(field("description"), Some("KVM: Xen in Rust"));
        assert!(matches!(
            field_verdict(field("version"), None),
            Verdict::NotOk(..)
        ));
        assert!(matches!(
            field_verdict(field("name"), None),
            Verdict::NotOk(..)
        ));
        assert!(matches!(
            field_verdict(Some("N"), Some("Y")),
            Verdict::NotOk(..)
        ));
    }
}
