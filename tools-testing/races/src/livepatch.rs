// SPDX-License-Identifier: GPL-2.0

//! `crate::livepatch` for the module's files.

pub(crate) mod transition {
    use crate::model::host::Host;

    pub(crate) fn is_over() -> bool {
        !Host::current().in_transition
    }
}
