// SPDX-License-Identifier: GPL-2.0

//! Declared against observed.

use lockgraph::{
    compare::{with_reasons, Comparison},
    declared::Edge,
    lockdep::Observed,
};

/// What lockdep would print of classes taken inside each other.
pub fn lockdep(edges: &[(&str, &str)]) -> String {
    let mut text = String::from("all lock classes:\n");
    for (outer, inner) in edges {
        text += &format!("00aa FD:    1 BD:    1 +.+.: {outer}\n -> [00bb] {inner}\n\n");
        text += &format!("00bb FD:    1 BD:    1 +.+.: {inner}\n\n");
    }
    text
}

fn compare(edges: &[(&str, &str)]) -> Comparison {
    Comparison::new(&Observed::parse(&lockdep(edges)).unwrap())
}

#[test]
fn a_declared_edge_is_seen() {
    let result = compare(&[("&kvm->lock", "&vcpu->mutex")]);
    assert_eq!(
        result.seen.keys().collect::<Vec<_>>(),
        [&Edge::new("KvmLock", "VcpuMutex")]
    );
    assert_eq!(result.unseen.len(), with_reasons().count() - 1);
    assert!(result.undeclared.is_empty() && result.besides.is_empty());
}

#[test]
fn the_other_way_around_is_undeclared() {
    let result = compare(&[("&vcpu->mutex", "&kvm->lock")]);
    assert!(result.seen.is_empty());
    assert_eq!(
        result.undeclared,
        [Edge::new("VcpuMutex", "KvmLock")].into()
    );
}

/// The mistakes of the threads, as lockdep would have them.
#[test]
fn the_historic_mistakes_are_undeclared() {
    for (outer, inner) in [
        ("&kvm->srcu", "&kvm->lock"),
        ("&kvm->srcu", "&kvm->slots_lock"),
        ("&kvm->slots_arch_lock", "&kvm->srcu"),
        ("&gpc->lock", "&gpc->refresh_lock"),
        ("&gpc->lock", "&gpc->lock/1"),
        ("mmu_notifier_invalidate_range_start", "&kvm->slots_lock"),
    ] {
        let result = compare(&[(outer, inner)]);
        assert_eq!(result.undeclared.len(), 1, "{outer} > {inner}");
    }
}

#[test]
fn an_edge_that_follows_from_others_is_declared_too() {
    let result = compare(&[("&vcpu->mutex", "&kvm->arch.xen.xen_lock")]);
    assert!(result.seen.contains_key(&Edge::new("VcpuMutex", "XenLock")));
    assert!(result.undeclared.is_empty());
}

#[test]
fn the_lock_of_a_second_page_has_the_class_of_the_first() {
    let result = compare(&[
        ("&gpc->lock/1", "&gpc->lock"),
        ("&gpc->refresh_lock", "&gpc->lock"),
    ]);
    let seen: Vec<_> = result.seen.keys().copied().collect();
    assert_eq!(
        seen,
        [
            Edge::new("GpcLock", "GpcLock2"),
            Edge::new("GpcRefreshLock", "GpcLock")
        ]
    );
}

#[test]
fn a_subclass_without_a_level_is_the_class() {
    let result = compare(&[
        ("&kvm->lock", "&kvm->lock/1"),
        ("&kvm->lock/1", "&vcpu->mutex/2"),
    ]);
    assert_eq!(
        result.seen.keys().collect::<Vec<_>>(),
        [&Edge::new("KvmLock", "VcpuMutex")]
    );
    assert!(result.undeclared.is_empty());
}

#[test]
fn other_classes_are_a_way() {
    let edges = [
        ("&kvm->srcu", "fs_reclaim"),
        ("fs_reclaim", "mmu_notifier_invalidate_range_start"),
        ("fs_reclaim", "&kvm->lock"),
        ("&gpc->refresh_lock", "&mm->mmap_lock"),
        ("&mm->mmap_lock", "fs_reclaim"),
        ("&gpc->refresh_lock", "fs_reclaim"),
    ];
    let result = compare(&edges);
    let way = |outer, inner| {
        let way = &result.seen[&Edge::new(outer, inner)];
        way.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(way("KvmSrcu", "Invalidation"), ["fs_reclaim"]);
    assert_eq!(way("GpcRefreshLock", "Invalidation"), ["fs_reclaim"]);
    // Lockdep itself checks what follows by other classes, and knows more of them.
    assert!(result.undeclared.is_empty());
    assert!(result
        .indirect
        .contains_key(&Edge::new("KvmSrcu", "KvmLock")));
    let text = result.to_string();
    assert!(
        text.contains("indirect    kvm->srcu (read) > kvm->lock (by way of fs_reclaim)"),
        "{text}"
    );
}

#[test]
fn what_lies_behind_a_level_is_its_own() {
    let edges = [
        ("&kvm->lock", "&vcpu->mutex"),
        ("&vcpu->mutex", "&kvm->slots_lock"),
    ];
    let result = compare(&edges);
    assert!(!result.seen.contains_key(&Edge::new("KvmLock", "SlotsLock")));
}

/// Whatever is held by a vCPU's thread that is preempted.
#[test]
fn the_scheduler_is_no_way() {
    let result = compare(&[
        ("&kvm->arch.xen.xen_lock", "&rq->__lock"),
        ("&gpc->refresh_lock", "&rq->__lock"),
        ("&rq->__lock", "&kvm->srcu"),
    ]);
    assert!(result.seen.is_empty() && result.besides.is_empty() && result.indirect.is_empty());
    assert!(result.undeclared.is_empty());
    let result = compare(&[("&rq->__lock", "&gpc->lock")]);
    assert_eq!(result.undeclared, [Edge::new("RunQueue", "GpcLock")].into());
}

/// A memslot update looks at the count of invalidations; notifiers are called in a read section.
#[test]
fn an_invalidation_has_more_than_its_own_class() {
    let result = compare(&[
        ("&kvm->slots_arch_lock", "&kvm->mn_invalidate_lock"),
        ("srcu", "&kvm->mn_invalidate_lock"),
        ("srcu", "&kvm->gpc_lock"),
        ("&kvm->gpc_lock", "&gpc->lock"),
    ]);
    let seen: Vec<_> = result.seen.keys().copied().collect();
    assert_eq!(
        seen,
        [
            Edge::new("Invalidation", "GpcLock"),
            Edge::new("SlotsArchLock", "Invalidation")
        ]
    );
}

/// What the kernel's document has of locks that are no levels, and the list of pfn caches.
#[test]
fn locks_beside_the_levels_are_explained() {
    let result = compare(&[
        ("&gpc->refresh_lock", "&kvm->gpc_lock"),
        ("srcu", "&kvm->gpc_lock"),
        ("&kvm->gpc_lock", "&gpc->lock"),
        ("&kvm->slots_lock", "&kvm->irq_lock"),
        ("&kvm->lock", "&kvm->irq_lock"),
        ("&vcpu->mutex", "&hv->hv_lock"),
        ("&vcpu->mutex", "fs_reclaim"),
    ]);
    assert!(result.unexplained.is_empty(), "{result}");
    let text = result.to_string();
    for line in [
        "beside      &kvm->gpc_lock: inside gpc->refresh_lock, mn_active_invalidate_count; around \
         gpc->lock (read)",
        "beside      &hv->hv_lock: inside vcpu->mutex",
        "not of KVM  fs_reclaim: inside vcpu->mutex",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
}

#[test]
fn a_lock_of_kvms_is_explained_or_found() {
    for (outer, inner, class) in [
        // One that nobody has told of.
        ("&kvm->srcu", "&kvm->arch.new_lock", "&kvm->arch.new_lock"),
        ("&vcpu->new_lock", "&gpc->lock", "&vcpu->new_lock"),
        // Those that are known, where nobody has told of them.
        ("&gpc->lock", "&kvm->gpc_lock", "&kvm->gpc_lock"),
        ("&kvm->gpc_lock", "&gpc->refresh_lock", "&kvm->gpc_lock"),
        ("&kvm->arch.xen.xen_lock", "&hv->hv_lock", "&hv->hv_lock"),
        ("&kvm->irq_lock", "&kvm->slots_lock", "&kvm->irq_lock"),
    ] {
        let result = compare(&[(outer, inner)]);
        assert_eq!(
            result.unexplained,
            [class.to_owned()].into(),
            "{outer} > {inner}"
        );
        let text = result.to_string();
        assert!(text.contains(&format!("UNEXPLAINED {class}: ")), "{text}");
    }
}

/// Whoever is preempted has a run queue's lock taken, with all that he holds.
#[test]
fn a_run_queue_is_beside_nothing() {
    let result = compare(&[("&kvm->new_lock", "&rq->__lock")]);
    assert!(result.beside.is_empty() && result.unexplained.is_empty());
}

#[test]
fn boots_add_up() {
    let mut observed = Observed::parse(&lockdep(&[("&kvm->lock", "&vcpu->mutex")])).unwrap();
    let other = lockdep(&[
        ("&kvm->lock", "&kvm->slots_lock"),
        ("&vcpu->mutex", "&kvm->srcu"),
    ]);
    observed.add(Observed::parse(&other).unwrap());
    assert_eq!(Comparison::new(&observed).seen.len(), 3);
}

#[test]
fn what_c_has_besides_is_told_apart() {
    let result = compare(&[("&kvm->arch.xen.xen_lock", "&kvm->srcu")]);
    assert!(result.undeclared.is_empty());
    assert_eq!(result.besides, [Edge::new("XenLock", "KvmSrcu")].into());
}

#[test]
fn the_summary_counts() {
    let text = compare(&[
        ("&kvm->lock", "&vcpu->mutex"),
        ("&vcpu->mutex", "&kvm->lock"),
    ])
    .to_string();
    let all = with_reasons().count();
    assert!(
        text.ends_with(&format!(
            "1 of {all} declared edges seen, 0 in C alone, 1 undeclared, 0 unexplained"
        )),
        "{text}"
    );
    assert!(
        text.contains("UNDECLARED  vcpu->mutex > kvm->lock"),
        "{text}"
    );
    assert_eq!(text.matches("not seen    ").count(), all - 1);
}
