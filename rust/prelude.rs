// SPDX-License-Identifier: GPL-2.0

//! What the logic has of the kernel's prelude: results and errors. How memory is allocated is no part
//! of it: whoever allocates takes a context.

pub(crate) use kernel::error::{code::*, Error, Result};
