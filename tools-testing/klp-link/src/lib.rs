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
mod error;
mod name;
mod plan;
mod report;
mod section;
mod write;

pub use build_id::insist_on;
pub use error::{Error, Errors, Place};
pub use name::{KlpSymbol, NameError};
pub use report::{Report, State};

use elf::Module;
use plan::Plan;

/// What [`link`] made of a module.
#[derive(Debug)]
pub struct Linked {
    /// The linked module, or nothing if it is fine as it is.
    pub module: Option<Vec<u8>>,
    /// The relocations that have been made, now or before.
    pub report: Report,
}

/// Links a module: marks its livepatch symbols and moves the relocations to them.
pub fn link(data: &[u8]) -> Result<Linked, Errors> {
    let module = Module::parse(data)?;
    let plan = Plan::new(&module)?;
    if plan.is_empty() {
        let report = plan.report;
        return Ok(Linked {
            module: None,
            report,
        });
    }
    let out = write::apply(&module, &plan)?;
    // A file whose sections overlap can't be edited in place. Rather than to look for all the ways
    // in which they might, see that what came out is what was meant.
    let report = inspect(&out)?;
    if report.state != State::Made || !report.rows().eq(plan.report.rows()) {
        return Err(Error::Damaged("sections overlap".into()).into());
    }
    Ok(Linked {
        module: Some(out),
        report,
    })
}

/// Lists the livepatch relocations of a module, those to make or those that have been made.
pub fn inspect(data: &[u8]) -> Result<Report, Errors> {
    Ok(Plan::new(&Module::parse(data)?)?.report)
}
