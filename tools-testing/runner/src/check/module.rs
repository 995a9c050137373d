// SPDX-License-Identifier: GPL-2.0
//! The module file, and its source.

mod tail_calls;

use super::catalog::Catalog;
use super::{host, Context};
use crate::build_steps::make;
use crate::report::Verdict;
use anyhow::{bail, Context as _, Result};
use object::{Object, ObjectSymbol};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the symbols of a linked panic have in their names.
const PANIC: &str = "core9panicking";

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
        let verdict = match panics(module) {
            Ok(found) if found.is_empty() => Verdict::Ok,
            Ok(found) => Verdict::NotOk("panics are linked".into(), found),
            Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
        };
        context.report.add("module/no-panic", verdict, None);
    }
    if catalog.module.contains(&"no-tail-calls") {
        let verdict = match tail_calls::find(module) {
            Ok(found) if !found.jumps.is_empty() => {
                let reason = "functions that replace KVM's leave by a jump".to_owned();
                Verdict::NotOk(reason, found.jumps)
            }
            Ok(found) if found.functions == 0 => {
                Verdict::NotOk("it has no functions".into(), Vec::new())
            }
            Ok(_) => Verdict::Ok,
            Err(error) => Verdict::NotOk(format!("{error:#}"), Vec::new()),
        };
        context.report.add("module/no-tail-calls", verdict, None);
    }
}

/// Checks the module's source. Clippy builds it once more, elsewhere.
pub fn source(context: &Context, catalog: &Catalog) {
    if catalog.module.contains(&"rustfmt") {
        let root = context.paths.source.join("rust/kvm_xen_rs.rs");
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.args(["--check", "--edition", "2021"]).arg(root);
        host::whole(context, "module/rustfmt", &mut rustfmt);
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
    let output = Command::new("modinfo")
        .arg(module)
        .output()
        .context("starting modinfo")?;
    if !output.status.success() {
        bail!(
            "modinfo: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(parse_modinfo(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_modinfo(text: &str) -> HashMap<String, String> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Symbols of the module by which it could panic, whether it has them or wants them.
fn panics(module: &Path) -> Result<Vec<String>> {
    let data = fs::read(module).with_context(|| module.display().to_string())?;
    let file = object::File::parse(&*data).with_context(|| module.display().to_string())?;
    let names = file
        .symbols()
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    Ok(names.filter(|name| is_panic(name)).collect())
}

/// Mangled, so in either of rustc's schemes: a length before each part of the path.
fn is_panic(symbol: &str) -> bool {
    symbol.contains(PANIC) || symbol == "rust_begin_unwind"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_in_either_mangling() {
        assert!(is_panic(
            "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE"
        ));
        assert!(is_panic("_RNvNtCs1234_4core9panicking5panic"));
        assert!(!is_panic("_RNvNtCs1234_10kvm_xen_rs7evtchn4send"));
        assert!(!is_panic("panic"));
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
