// SPDX-License-Identifier: GPL-2.0
//! Which sections can be relocated when the kernel does it.
//!
//! The kernel applies livepatch relocations at two times:
//!
//! - Those of `vmlinux` with the module's ordinary ones (`apply_relocations()`), before it looks
//!   at any section: every section may have them.
//! - Those of another module when that module is there and patched (`klp_init_object_loaded()`):
//!   at the earliest from our init function, where `klp_enable_patch()` is called, and again each
//!   time the other module comes. It undoes them when the other module goes. Up to then the bytes
//!   are zero.
//!
//! By the second time the loader is through with the module: it has patched alternatives
//! (`module_finalize()`), sorted the exception table, copied the per-CPU template, set up jump
//! labels, static calls and tracepoints. A table that it read then was read with zeros in it. So
//! only what nobody interprets can be relocated late: code and plain data. Data that is read-only
//! by then, `.data..ro_after_init` too, is no obstacle, since `write_relocate_add()` writes through
//! `text_poke()`, which maps the page anew.
//!
//! A pointer in `.data` must keep its value while the other module is there: the kernel undoes only
//! what it finds as it left it, and would else refuse the other module the next time. That is for
//! the author to see to, as no section tells who writes there.

use object::elf::{SectionFlags, SHF_EXECINSTR};

/// Why a section can't be relocated late, and what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the kernel does with the section.
    pub reason: &'static str,
    /// What the author of the module can do.
    pub advice: &'static str,
}

/// How a rule names sections.
enum Match {
    Is(&'static str),
    StartsWith(&'static str),
}

const ALTERNATIVE: Refusal = Refusal {
    reason: "alternatives are patched before the symbol is known",
    advice: "move the reference out of the ALTERNATIVE",
};
const USE_ADDRESS: &str = "store the address from code, once the patch is enabled";

/// Sections of which the general answer would be wrong or of little help.
const RULES: &[(Match, Refusal)] = &[
    (
        Match::Is("__jump_table"),
        Refusal {
            reason: "jump labels are set up before the symbol is known",
            advice: "read the key with static_key_enabled()",
        },
    ),
    (
        Match::Is(".static_call_sites"),
        Refusal {
            reason: "static calls are patched before the symbol is known",
            advice: "call through the function pointer, or the trampoline __SCT__NAME",
        },
    ),
    (
        Match::StartsWith("__tracepoints"),
        Refusal {
            reason: "tracepoints are registered before the symbol is known",
            advice: "reach the tracepoint by __tracepoint_NAME and __traceiter_NAME",
        },
    ),
    (Match::Is(".altinstructions"), ALTERNATIVE),
    (Match::Is(".altinstr_replacement"), ALTERNATIVE),
    (
        // Their memory is freed when init is done (do_init_module()), but the kernel keeps the
        // address and writes there whenever the other module comes or goes, which is a BUG in
        // text_poke() or the corruption of whoever has the memory by then. Nor is there a case
        // for it: init code runs before klp_enable_patch() and so before the relocation.
        Match::StartsWith(".init"),
        Refusal {
            reason:
                "init memory is freed, but the kernel relocates whenever the object comes or goes",
            advice: "refer to it from a section that stays",
        },
    ),
    (
        Match::Is("__ex_table"),
        Refusal {
            reason: "the exception table is sorted at load, so its entries are no longer there",
            advice: "handle the fault in code of this module",
        },
    ),
    (
        Match::StartsWith(".data..percpu"),
        Refusal {
            reason: "per-CPU data is copied from a template, which is gone by then",
            advice: USE_ADDRESS,
        },
    ),
];

/// What any other section gets that isn't known to be code or plain data.
const UNKNOWN: Refusal = Refusal {
    reason: "the kernel may read this section before the symbol is known",
    advice: USE_ADDRESS,
};

/// Whether the relocations in a section to symbols of a module (not `vmlinux`) can be applied when
/// that module comes.
///
/// An unknown section is refused: a build that stops is better than a kernel that runs into zeros.
/// `.exit` sections are code like other: livepatching kernels can unload modules, so they stay.
pub fn late_relocation(name: &[u8], flags: SectionFlags) -> Result<(), Refusal> {
    for (rule, refusal) in RULES {
        let hit = match rule {
            Match::Is(text) => name == text.as_bytes(),
            Match::StartsWith(text) => name.starts_with(text.as_bytes()),
        };
        if hit {
            return Err(*refusal);
        }
    }
    let plain = [&b".data"[..], b".rodata"].iter().any(|base| {
        name.strip_prefix(*base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    });
    if plain || flags.contains(SHF_EXECINSTR) {
        Ok(())
    } else {
        Err(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::elf::{SHF_ALLOC, SHF_WRITE};

    #[test]
    fn code_and_plain_data_are_taken() {
        let code = SHF_ALLOC | SHF_EXECINSTR;
        for name in [
            ".text",
            ".text.unlikely",
            ".noinstr.text",
            ".exit.text",
            ".altinstr_aux",
        ] {
            assert_eq!(late_relocation(name.as_bytes(), code), Ok(()), "{name}");
        }
        let data = SHF_ALLOC | SHF_WRITE;
        for name in [
            ".data",
            ".data..ro_after_init",
            ".data..read_mostly",
            ".data.rel.ro",
        ] {
            assert_eq!(late_relocation(name.as_bytes(), data), Ok(()), "{name}");
        }
        for name in [".rodata", ".rodata.cst16", ".rodata..L__unnamed_1"] {
            assert_eq!(
                late_relocation(name.as_bytes(), SHF_ALLOC),
                Ok(()),
                "{name}"
            );
        }
    }

    #[test]
    fn what_the_loader_reads_is_refused() {
        let code = SHF_ALLOC | SHF_EXECINSTR;
        let data = SHF_ALLOC | SHF_WRITE;
        for (name, flags, part) in [
            ("__jump_table", data, "jump labels"),
            (".static_call_sites", data, "static calls"),
            ("__tracepoints", data, "tracepoints"),
            ("__tracepoints_ptrs", data, "tracepoints"),
            (".altinstructions", SHF_ALLOC, "alternatives"),
            (".altinstr_replacement", code, "alternatives"),
            (".init.text", code, "init memory"),
            (".init.data", data, "init memory"),
            (".init_array", data, "init memory"),
            ("__ex_table", SHF_ALLOC, "exception table"),
            (".data..percpu", data, "per-CPU"),
            (".data..percpu..read_mostly", data, "per-CPU"),
            ("__param", SHF_ALLOC, "may read"),
            (".gnu.linkonce.this_module", data, "may read"),
            ("__mcount_loc", data, "may read"),
            (".database", data, "may read"),
        ] {
            let refusal = late_relocation(name.as_bytes(), flags).unwrap_err();
            assert!(refusal.reason.contains(part), "{name}: {}", refusal.reason);
        }
    }
}
