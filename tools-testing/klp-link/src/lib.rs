// SPDX-License-Identifier: GPL-2.0
//! Turns a module's references to unexported symbols into livepatch relocations.
//!
//! A livepatch module may refer to any symbol of the kernel or of a module, exported or not, if
//! the symbol is named `.klp.sym.OBJECT.NAME,POSITION`, is marked `SHN_LIVEPATCH`, and if the
//! relocations to it are in a section `.klp.rela.OBJECT.SECTION` that is flagged
//! `SHF_RELA_LIVEPATCH`. No linker writes that. So the source declares the names,
//!
//! ```text
//! extern "C" {
//!     #[link_name = ".klp.sym.kvm.kvm_make_all_cpus_request,0"]
//!     fn kvm_make_all_cpus_request(kvm: *mut kvm, req: c_uint) -> bool;
//! }
//! ```
//!
//! the module is linked with these symbols undefined, and this is the step after that. The format
//! is described in the kernel's `Documentation/livepatch/module-elf-format.rst`; the rules beyond
//! it, by which a module is refused here rather than by the kernel (or by nobody), come from
//! `kernel/livepatch/core.c`, `kernel/module/main.c` and `arch/x86/kernel/module.c`.
//!
//! A call through such a symbol must not be made before the object is loaded and the patch enabled
//! for it: up to then its target is the next instruction.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod alternative;
mod build_id;
mod elf;
mod name;
mod plan;
mod section;
mod write;

pub use build_id::insist_on;

use anyhow::Result;
use elf::Module;
use plan::Plan;

/// A module that was linked.
#[derive(Debug)]
pub struct Linked {
    /// The file.
    pub module: Vec<u8>,
    /// How many livepatch relocations it has.
    pub relocations: usize,
    /// To how many symbols.
    pub symbols: usize,
}

/// Links a module: marks its livepatch symbols and moves the relocations to them. Nothing comes of
/// a module that is fine as it is. An error has a line for each thing that is wrong: what, where,
/// and what to do.
pub fn link(data: &[u8]) -> Result<Option<Linked>> {
    let module = Module::parse(data)?;
    let plan = Plan::new(&module)?;
    if plan.is_empty() {
        return Ok(None);
    }
    let out = write::apply(&module, &plan)?;
    // A file whose sections overlap can't be edited in place. Rather than to look for all the ways
    // in which they might, see that what came out is what was meant.
    let made = Plan::new(&Module::parse(&out)?)?;
    if !made.is_empty() || made.relocations != plan.relocations {
        return Err(elf::damaged("sections overlap"));
    }
    Ok(Some(Linked {
        module: out,
        relocations: plan.relocations.values().flat_map(|of| of.values()).sum(),
        symbols: plan.relocations.len(),
    }))
}
