// SPDX-License-Identifier: GPL-2.0
//! Logs with what should not be in them.

use super::*;

const WARNING: &str = "\
[    9.000001] kvm-xen-init: begin upstream/rust/xen_shinfo_test
[    9.000002] kvm-xen-init: change to Rust
[    9.100000] livepatch: enabling patch 'kvm_xen_rs'
[    9.200000] kvm-xen-init: side Rust
[    9.300000] ------------[ cut here ]------------
[    9.300001] WARNING: virt/kvm/pfncache.c:77 at kvm_gpc_check+0x1f/0x90 [kvm], CPU#1: xen_shinfo_test/211
[    9.300002] Modules linked in: kvm_xen_rs(OK) kvm_amd kvm
[    9.300003] Call Trace:
[    9.300004]  <TASK>
[    9.300005]  </TASK>
[    9.300006] ---[ end trace 0000000000000000 ]---
[    9.300007] kvm: quiet again
[    9.400000] kvm-xen-init: end upstream/rust/xen_shinfo_test
";

const LOCKDEP: &str = "\
[   11.000000][  T1] kvm-xen-init: side C
[   12.000000][  T301] kvm-xen-init: begin selftests/c
[   12.100000][  T301] =============================
[   12.100001][  T301] [ BUG: Invalid wait context ]
[   12.100002][  T301] -----------------------------
[   12.100003][  T301] test/301 is trying to lock:
[   12.100004][  T301] ff1100010a5d3e48 (&gpc->lock){....}-{3:3}, at: kvm_xen_set_evtchn_fast+0xd1/0x4a0
[   12.100005][  T301] stack backtrace:
[   12.100006][  T301]  <TASK>
[   12.100007][  T301]  </TASK>
[   12.200000][   C1] rcu: INFO: rcu_preempt self-detected stall on CPU
[   12.200001][   C1]  <TASK>
[   12.200002][   C1]  </TASK>
[   12.300000][  T301] kvm-xen-init: end selftests/c
";

#[test]
fn a_warning_belongs_to_its_step_and_side() {
    let found = splats(WARNING);
    assert_eq!(found.len(), 1, "{found:?}");
    let splat = &found[0];
    assert_eq!(splat.side, Side::Rust);
    assert_eq!(splat.step.as_deref(), Some("upstream/rust/xen_shinfo_test"));
    assert!(splat.lines[0].contains("cut here"));
    assert!(splat.lines.last().unwrap().contains("end trace"));
    let place = splat.lines.iter().find_map(|line| place(line));
    assert_eq!(place, Some(("virt/kvm/pfncache.c:77", "kvm_gpc_check")));
}

#[test]
fn two_reports_one_after_the_other() {
    let found = splats(LOCKDEP);
    assert_eq!(found.len(), 2, "{found:?}");
    let has = |n: usize, text| {
        found[n]
            .lines
            .iter()
            .any(|line: &String| line.contains(text))
    };
    assert!(has(0, "Invalid wait context") && has(0, "&gpc->lock"));
    assert!(found[0].lines[0].starts_with("====="));
    assert!(found[1].lines[0].contains("self-detected stall"));
    assert!(found.iter().all(|splat| splat.side == Side::C));
}

#[test]
fn what_is_known_of_c_is_known_by_its_line() {
    let known =
        "WARNING: arch/x86/kvm/../../../virt/kvm/pfncache.c:267 at __kvm_gpc_refresh+0x5d6/0x690 \
        [kvm], CPU#0: kvm-xen-selftes/240\n";
    let is_known = |side: &str, line: &str| splats(&format!("{side}{line}"))[0].is_known_of_c();
    let (c, rust) = ("kvm-xen-init: side C\n", "kvm-xen-init: change to Rust\n");
    assert!(is_known(c, known));
    assert!(!is_known(rust, known));
    assert!(!is_known(c, &known.replace("267", "268")));
    assert!(!is_known(c, &known.replace("refresh+", "activate+")));
    assert!(!is_known(c, "BUG: soft lockup - CPU#0 stuck for 22s!\n"));
}

/// Neither has a stack, and one was once taken for a part of the other.
#[test]
fn each_trigger_begins_a_report() {
    let log = "kvm-xen-init: side Rust\n\
        watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\nCPU: 0 UID: 0\n\
        BUG kmalloc-64 (Tainted: G           O   ): Right Redzone overwritten\n\
        0xff1100010a5d3e48-0xff1100010a5d3e4f @offset=3656\n\
        WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xa0/0xe0, CPU#0: storm/9\n\
        refcount_t: underflow; use-after-free.\n";
    let firsts: Vec<_> = splats(log).iter().map(|s| s.lines[0].clone()).collect();
    assert_eq!(firsts.len(), 4, "{firsts:?}");
    assert!(firsts[1].starts_with("BUG kmalloc-64 ("));
}

#[test]
fn rust_lasts_until_the_change_to_c_is_over() {
    let log = "kvm-xen-init: change to Rust\nkvm-xen-init: side Rust\nkvm-xen-init: change to C\n\
               BUG: sleeping function called from invalid context at a.c:1\n\
               kvm-xen-init: side C\nBUG: sleeping function called from invalid context at b.c:1\n";
    let sides: Vec<_> = splats(log).iter().map(|splat| splat.side).collect();
    assert_eq!(sides, [Side::Rust, Side::C]);
}

#[test]
fn without_a_mark_it_is_rust() {
    let side = |before: &str| splats(&format!("{before}WARNING: at a.c:1\n"))[0].side;
    assert_eq!(side(""), Side::Rust);
    assert_eq!(side("kvm-xen-init: side C\n"), Side::C);
    // Whoever has inserted it has left no mark, or says what is not so.
    let enabling = "kvm-xen-init: side C\nlivepatch: enabling patch 'kvm_xen_rs'\n";
    assert_eq!(side(enabling), Side::Rust);
    let says_c = format!("{enabling}kvm-xen-init: side C\n");
    assert_eq!(side(&says_c), Side::Rust);
    let is_over = "livepatch: 'kvm_xen_rs': unpatching complete\nkvm-xen-init: side C\n";
    assert_eq!(side(&format!("{says_c}{is_over}")), Side::C);
}

#[test]
fn an_ordinary_boot_is_clean() {
    let log = "\
[    0.000000] Linux version 7.2.12 (bug@example) #1 SMP
[    0.100000] Spectre V2 : Mitigation: Retpolines
[    5.000000] kvm_xen_rs: loading out-of-tree module taints kernel.
[    5.000001] kvm_xen_rs: tainting kernel with TAINT_LIVEPATCH
[    5.100000] livepatch: 'kvm_xen_rs': patching complete
[    6.000000] kvm: kvm [114]: vcpu0, guest rIP: 0xffffffffad937dcf Unhandled WRMSR(0xc0010007) = 0xffff
";
    assert_eq!(splats(log), Vec::<Splat>::new());
}

#[test]
fn the_end_of_a_log() {
    assert_eq!(tail("a\n\nb\r\nc\n", 2), ["b", "c"]);
    assert_eq!(tail("a\n", 5), ["a"]);
}

#[test]
fn an_open_report_is_kept_at_the_end() {
    let found = splats("[    1.000000] Kernel panic - not syncing: Attempted to kill init!");
    assert_eq!(found.len(), 1);
}

#[test]
fn livepatch_is_known_under_preempt_rt_alone() {
    let report = |file: &str, kernel: &str| {
        let log = format!(
            "WARNING: {file}:262 at klp_check_and_switch_task+0x425/0x470, CPU#0: init/1\n\
             CPU: 0 UID: 0 PID: 1 Comm: init Tainted: G           O  K     7.3.4 #1 {kernel}\n"
        );
        splats(&log).remove(0).is_known_of_livepatch()
    };
    let file = "kernel/livepatch/transition.c";
    assert!(report(file, "PREEMPT_RT"));
    assert!(!report(file, "PREEMPT"));
    assert!(!report("arch/x86/kvm/xen.c", "PREEMPT_RT"));
}
