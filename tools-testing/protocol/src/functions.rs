// SPDX-License-Identifier: GPL-2.0
//! What the module replaces.

/// The functions of `kvm.ko` that the module replaces, in alphabetical order.
pub const FUNCTIONS: [&str; 23] = [
    "__kvm_xen_has_interrupt",
    "cancel_evtchn_poll",
    "evtchn_set_fn",
    "kvm_xen_destroy_vcpu",
    "kvm_xen_destroy_vm",
    "kvm_xen_hvm_config",
    "kvm_xen_hvm_evtchn_send",
    "kvm_xen_hvm_get_attr",
    "kvm_xen_hvm_set_attr",
    "kvm_xen_hypercall",
    "kvm_xen_hypercall_complete_userspace",
    "kvm_xen_init_vcpu",
    "kvm_xen_init_vm",
    "kvm_xen_inject_pending_events",
    "kvm_xen_inject_timer_irqs",
    "kvm_xen_inject_vcpu_vector",
    "kvm_xen_set_evtchn_fast",
    "kvm_xen_setup_evtchn",
    "kvm_xen_update_runstate",
    "kvm_xen_vcpu_get_attr",
    "kvm_xen_vcpu_set_attr",
    "kvm_xen_write_hypercall_page",
    "xen_timer_callback",
];

/// What these functions lack of [`FUNCTIONS`], and what they have beside them, a line each.
pub fn other_functions(functions: &[String]) -> Vec<String> {
    let has = |name: &str| functions.iter().any(|function| function == name);
    let missing = FUNCTIONS.iter().filter(|name| !has(name));
    let beside = functions
        .iter()
        .filter(|f| !FUNCTIONS.contains(&f.as_str()));
    missing
        .map(|name| format!("{name} is missing"))
        .chain(beside.map(|name| format!("{name} is not to be replaced")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_counts() {
        let mut functions = FUNCTIONS.map(str::to_owned).to_vec();
        assert_eq!(other_functions(&functions), Vec::<String>::new());
        functions[0] = "kvm_xen_new".into();
        assert_eq!(
            other_functions(&functions),
            [
                "__kvm_xen_has_interrupt is missing",
                "kvm_xen_new is not to be replaced"
            ]
        );
    }
}
