// SPDX-License-Identifier: GPL-2.0
//! samples/syzlang against the kernel's headers, as kvm-bindings has them.

mod parser;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::{offset_of, size_of};

use kvm_bindings::*;
use kvm_xen_ioctls::ioctls;
use parser::{split, Descriptions};

const TEXT: &str = include_str!("../../../../samples/syzlang/dev_kvm_xen.txt");

type HvmUnion = kvm_xen_hvm_attr__bindgen_ty_1;
type SharedInfo = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_1;
type Sender = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2;
type Deliver = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2__bindgen_ty_1;
type ToPort = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2__bindgen_ty_1__bindgen_ty_1;
type ToEventfd = kvm_xen_hvm_attr__bindgen_ty_1__bindgen_ty_2__bindgen_ty_1__bindgen_ty_2;
type VcpuUnion = kvm_xen_vcpu_attr__bindgen_ty_1;
type Runstate = kvm_xen_vcpu_attr__bindgen_ty_1__bindgen_ty_1;
type Timer = kvm_xen_vcpu_attr__bindgen_ty_1__bindgen_ty_2;

/// What the headers say of a field: name, offset and size.
type Field = (&'static str, usize, usize);

/// The size of a field, by a pointer that is never read.
const fn size<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! fields {
    ($type:ty: $($name:literal = $field:ident),*) => {
        vec![$(($name, offset_of!($type, $field), {
            // SAFETY: a field of a union may be named; it is not read.
            #[allow(unused_unsafe)]
            size::<$type, _>(|value| unsafe { &value.$field })
        })),*]
    };
}

/// The structures that are C's own, by the name that the descriptions have them by.
fn structures() -> BTreeMap<&'static str, (usize, Vec<Field>)> {
    BTreeMap::from([
        (
            "kvm_xen_sender",
            (
                size_of::<Sender>(),
                fields!(Sender: "send_port" = send_port, "type" = type_, "flags" = flags, "deliver" = deliver),
            ),
        ),
        (
            "kvm_xen_deliver",
            (
                size_of::<Deliver>(),
                vec![
                    ("port", 0, size_of::<Deliver>()),
                    ("eventfd", 0, size_of::<Deliver>()),
                ],
            ),
        ),
        (
            "kvm_xen_deliver_port",
            (
                size_of::<Deliver>(),
                fields!(ToPort: "port" = port, "vcpu" = vcpu, "priority" = priority),
            ),
        ),
        (
            "kvm_xen_deliver_eventfd",
            (
                size_of::<Deliver>(),
                fields!(ToEventfd: "port" = port, "fd" = fd),
            ),
        ),
        (
            "kvm_xen_hvm_attr_read",
            (
                size_of::<kvm_xen_hvm_attr>(),
                fields!(kvm_xen_hvm_attr: "type" = type_, "pad" = pad, "u" = u),
            ),
        ),
        (
            "kvm_xen_vcpu_attr_read",
            (
                size_of::<kvm_xen_vcpu_attr>(),
                fields!(kvm_xen_vcpu_attr: "type" = type_, "pad" = pad, "u" = u),
            ),
        ),
        (
            "kvm_xen_runstate",
            (
                size_of::<Runstate>(),
                fields!(Runstate: "state" = state, "state_entry_time" = state_entry_time,
                    "time_running" = time_running, "time_runnable" = time_runnable,
                    "time_blocked" = time_blocked, "time_offline" = time_offline),
            ),
        ),
        (
            "kvm_xen_timer",
            (
                size_of::<Timer>(),
                fields!(Timer: "port" = port, "priority" = priority, "expires_ns" = expires_ns),
            ),
        ),
        (
            "kvm_irq_routing_xen_evtchn",
            (
                size_of::<kvm_irq_routing_xen_evtchn>(),
                fields!(kvm_irq_routing_xen_evtchn: "port" = port, "vcpu" = vcpu, "priority" = priority),
            ),
        ),
    ])
}

/// The types of attributes: the constant, its value, and the member of the union that goes with
/// it.
fn attributes(of: &str) -> Vec<(&'static str, u32, Field)> {
    macro_rules! attributes {
        ($($name:ident, $field:expr;)*) => {
            vec![$((stringify!($name), $name, { let [field] = $field[..] else { panic!() }; field })),*]
        };
    }
    match of {
        "kvm_xen_hvm_attr" => attributes! {
            KVM_XEN_ATTR_TYPE_LONG_MODE, fields!(HvmUnion: "long_mode" = long_mode);
            KVM_XEN_ATTR_TYPE_SHARED_INFO, fields!(SharedInfo: "gfn" = gfn);
            KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, fields!(HvmUnion: "vector" = vector);
            KVM_XEN_ATTR_TYPE_EVTCHN, fields!(HvmUnion: "evtchn" = evtchn);
            KVM_XEN_ATTR_TYPE_XEN_VERSION, fields!(HvmUnion: "xen_version" = xen_version);
            KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG,
                fields!(HvmUnion: "runstate_update_flag" = runstate_update_flag);
            KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, fields!(SharedInfo: "hva" = hva);
        },
        _ => attributes! {
            KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, fields!(VcpuUnion: "gpa" = gpa);
            KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO, fields!(VcpuUnion: "gpa" = gpa);
            KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR, fields!(VcpuUnion: "gpa" = gpa);
            KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT, fields!(VcpuUnion: "runstate" = runstate);
            KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA, fields!(VcpuUnion: "runstate" = runstate);
            KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST, fields!(VcpuUnion: "runstate" = runstate);
            KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, fields!(VcpuUnion: "vcpu_id" = vcpu_id);
            KVM_XEN_VCPU_ATTR_TYPE_TIMER, fields!(VcpuUnion: "timer" = timer);
            KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR, fields!(VcpuUnion: "vector" = vector);
            KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA, fields!(VcpuUnion: "hva" = hva);
        },
    }
}

fn check(is_so: bool, what: impl Fn() -> String) -> Result<(), String> {
    is_so.then_some(()).ok_or_else(what)
}

/// The structures that are C's own lie as C's do.
fn check_structures(described: &Descriptions) -> Result<(), String> {
    for (name, (bytes, expected)) in structures() {
        let item = described.types.get(name).ok_or(name)?;
        let found: Vec<_> = described.fields(item);
        let found: Vec<_> = found
            .iter()
            .map(|(field, at, l)| (*field, *at, l.size))
            .collect();
        check(found == expected, || {
            format!("{name}: {found:?}, not {expected:?}")
        })?;
        let size = described.layout(name).size;
        check(size == bytes, || {
            format!("{name}: {size} bytes, not {bytes}")
        })?;
    }
    Ok(())
}

/// Each type of attribute is described once, by its constant, with the member that goes with it.
fn check_attributes(described: &Descriptions) -> Result<(), String> {
    for (name, bytes, pad, u) in [
        (
            "kvm_xen_hvm_attr",
            size_of::<kvm_xen_hvm_attr>(),
            offset_of!(kvm_xen_hvm_attr, pad),
            offset_of!(kvm_xen_hvm_attr, u),
        ),
        (
            "kvm_xen_vcpu_attr",
            size_of::<kvm_xen_vcpu_attr>(),
            offset_of!(kvm_xen_vcpu_attr, pad),
            offset_of!(kvm_xen_vcpu_attr, u),
        ),
    ] {
        let mut missing = attributes(name);
        let union = described.types.get(name).ok_or(name)?;
        check(union.is_union, || format!("{name} is no union"))?;
        for (_, kind) in &union.fields {
            let item = described.types.get(kind).ok_or_else(|| kind.clone())?;
            let (_, first) = item.fields.first().ok_or_else(|| kind.clone())?;
            let (_, constant) = split(first);
            let at = missing.iter().position(|(name, ..)| *name == constant[0]);
            let at = at.ok_or_else(|| format!("{kind}: {} again, or none", constant[0]))?;
            let (_, _, (member, offset, size)) = missing.remove(at);
            let expected = [("type", 0, 2), ("pad", pad, 6), (member, u + offset, size)];
            let found = described.fields(item);
            let found: Vec<_> = found.iter().map(|(f, at, l)| (*f, *at, l.size)).collect();
            check(found == expected, || {
                format!("{kind}: {found:?}, not {expected:?}")
            })?;
            let size = described.layout(kind).size;
            check(size == bytes, || {
                format!("{kind}: {size} bytes, not {bytes}")
            })?;
        }
        check(missing.is_empty(), || format!("{name} lacks {missing:?}"))?;
        let all: BTreeSet<_> = attributes(name)
            .iter()
            .map(|(name, ..)| name.to_string())
            .collect();
        let set = described.sets.get(&format!("{name}_types")).ok_or(name)?;
        check(set.iter().cloned().collect::<BTreeSet<_>>() == all, || {
            format!("{name}_types: {set:?}")
        })?;
    }
    Ok(())
}

/// The commands are those of the ioctls, with the size and the direction that their numbers have.
fn check_calls(described: &Descriptions) -> Result<(), String> {
    let mut missing = BTreeMap::from([
        ("KVM_XEN_HVM_SET_ATTR", ioctls::KVM_XEN_HVM_SET_ATTR()),
        ("KVM_XEN_HVM_GET_ATTR", ioctls::KVM_XEN_HVM_GET_ATTR()),
        ("KVM_XEN_VCPU_SET_ATTR", ioctls::KVM_XEN_VCPU_SET_ATTR()),
        ("KVM_XEN_VCPU_GET_ATTR", ioctls::KVM_XEN_VCPU_GET_ATTR()),
        ("KVM_XEN_HVM_EVTCHN_SEND", ioctls::KVM_XEN_HVM_EVTCHN_SEND()),
    ]);
    for call in &described.calls {
        let name = &call.name;
        check(call.command == *name, || {
            format!("{name} is {}", call.command)
        })?;
        let number = missing
            .remove(&name[..])
            .ok_or_else(|| format!("{name} again, or unknown"))?;
        let direction = match number >> 30 {
            1 => "in",
            3 => "inout",
            other => return Err(format!("{name}: {other}")),
        };
        check(call.direction == direction, || {
            format!("{name}: {}", call.direction)
        })?;
        let (size, bytes) = (
            described.layout(&call.argument).size,
            ((number >> 16) & 0x3fff) as usize,
        );
        check(size == bytes, || {
            format!("{name}: {size} bytes, not {bytes}")
        })?;
    }
    check(missing.is_empty(), || format!("no {missing:?}"))
}

/// Sets are used and described, and their constants are the headers'.
fn check_sets(described: &Descriptions) -> Result<(), String> {
    let mut known: BTreeSet<String> = [
        "KVM_XEN_EVTCHN_DEASSIGN",
        "KVM_XEN_EVTCHN_UPDATE",
        "KVM_XEN_EVTCHN_RESET",
    ]
    .map(str::to_owned)
    .into();
    let flags = described
        .sets
        .get("kvm_xen_evtchn_flags")
        .ok_or("no kvm_xen_evtchn_flags")?;
    check(known.iter().all(|flag| flags.contains(flag)), || {
        format!("{flags:?}")
    })?;
    // Those that kvm-bindings lacks.
    let bare = [
        "KVM_XEN_INVALID_GFN",
        "KVM_XEN_INVALID_GPA",
        "KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL",
    ];
    known.extend(bare.map(str::to_owned));
    for of in ["kvm_xen_hvm_attr", "kvm_xen_vcpu_attr"] {
        known.extend(attributes(of).iter().map(|(name, ..)| name.to_string()));
    }
    for (set, values) in &described.sets {
        for value in values {
            let is_number = value.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            check(is_number || known.contains(value), || {
                format!("{set}: {value}?")
            })?;
        }
        let user = format!("flags[{set}, ");
        let mut fields = described.types.values().flat_map(|item| &item.fields);
        check(fields.any(|(_, kind)| kind.contains(&user)), || {
            format!("{set} is not used")
        })?;
    }
    for (_, kind) in described.types.values().flat_map(|item| &item.fields) {
        if let ("flags", options) = split(kind) {
            check(described.sets.contains_key(options[0]), || {
                format!("no {}", options[0])
            })?;
        }
    }
    Ok(())
}

fn check_all(text: &str) -> Result<(), String> {
    let described = Descriptions::parse(text)?;
    check_structures(&described)?;
    check_attributes(&described)?;
    check_calls(&described)?;
    check_sets(&described)
}

#[test]
fn descriptions_are_those_of_the_kernels_headers() {
    assert_eq!(check_all(TEXT), Ok(()));
}

#[test]
fn attribute_types_are_numbered_without_a_gap() {
    for of in ["kvm_xen_hvm_attr", "kvm_xen_vcpu_attr"] {
        let values: Vec<_> = attributes(of).iter().map(|(_, value, _)| *value).collect();
        assert_eq!(values, (0..values.len() as u32).collect::<Vec<_>>());
    }
}

/// Each mistake is found.
#[test]
fn what_is_wrong_is_found() {
    for (right, wrong) in [
        // An offset: the member is a word too far.
        ("\tgfn\tflags", "\tmore\tint64\n\tgfn\tflags"),
        (
            "array[const[0, int16], 3]\n\thva",
            "array[const[0, int16], 1]\n\thva",
        ),
        ("\ttime_running\t\tint64\n", ""),
        ("\tvcpu\t\tint32[0:8]\n\tpriority", "\tpriority"),
        // A size, of a field and of a whole.
        ("\txen_version\tint32", "\txen_version\tint64"),
        ("size[72]", "size[80]"),
        ("\tfd\tfd_event\n} [size[16]]", "\tfd\tfd_event\n}"),
        // The member of another type, and one that is there twice.
        (
            "TYPE_UPCALL_VECTOR, int16]\n\tpad\tarray[const[0, int16], 3]\n\tvector\tint8",
            "TYPE_UPCALL_VECTOR, int16]\n\tpad\tarray[const[0, int16], 3]\n\tgfn\tint64",
        ),
        (
            "const[KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID",
            "const[KVM_XEN_VCPU_ATTR_TYPE_TIMER",
        ),
        ("\ttimer\t\t\tkvm_xen_vcpu_attr_timer\n", ""),
        // Calls: a command, a direction, one that is missing.
        ("const[KVM_XEN_HVM_GET_ATTR]", "const[KVM_XEN_HVM_SET_ATTR]"),
        (
            "ptr[inout, kvm_xen_vcpu_attr_read]",
            "ptr[in, kvm_xen_vcpu_attr_read]",
        ),
        (
            "ptr[in, kvm_irq_routing_xen_evtchn]",
            "ptr[in, kvm_xen_deliver_port]",
        ),
        (
            "ioctl$KVM_XEN_HVM_EVTCHN_SEND",
            "# ioctl$KVM_XEN_HVM_EVTCHN_SEND",
        ),
        // Sets: a flag, a constant, a set.
        (", KVM_XEN_EVTCHN_RESET", ""),
        ("KVM_XEN_INVALID_GFN, 0", "KVM_XEN_NO_GFN, 0"),
        ("kvm_xen_gpas = ", "kvm_xen_addresses = "),
        (", KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA\n", "\n"),
        // What is not known here.
        ("} [size[16]]", "} [packed]"),
        ("include <asm/kvm.h>", "include asm/kvm.h"),
    ] {
        let text = TEXT.replacen(right, wrong, 1);
        assert_ne!(text, TEXT, "{right} is not there");
        let result = std::panic::catch_unwind(|| check_all(&text));
        assert!(
            !matches!(result, Ok(Ok(()))),
            "{right} → {wrong} goes unnoticed"
        );
    }
}
