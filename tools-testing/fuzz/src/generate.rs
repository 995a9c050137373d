// SPDX-License-Identifier: GPL-2.0
//! Makes sequences: what a seed determines, no matter where or when.

use arbitrary::{Result, Unstructured};

use crate::op::*;

mod guest;
mod values;
mod vmm;

/// Bytes that the longest sequence is made of.
const ENTROPY: usize = 4096;

/// Operations of a sequence, without those that set it up.
const OPS: std::ops::RangeInclusive<usize> = 3..=14;

/// The sequence of this number.
pub fn program(seed: u64, index: u64) -> Program {
    // Neighbours must not be each other's stream, shifted.
    let base = fastrand::Rng::with_seed(seed).u64(..);
    let mut bytes = [0; ENTROPY];
    fastrand::Rng::with_seed(base ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93)).fill(&mut bytes);
    let mut u = Unstructured::new(&bytes);
    // There are enough bytes; without any, what there is would do.
    generate(&mut u).unwrap_or(Program {
        irqchip: Irqchip::None,
        ops: Vec::new(),
    })
}

fn generate(u: &mut Unstructured) -> Result<Program> {
    let irqchip = match u.int_in_range(0..=9)? {
        0..=2 => Irqchip::None,
        3 => Irqchip::Split,
        _ => Irqchip::Kernel,
    };
    // A vCPU is what costs most.
    let vcpus = u.arbitrary()?;
    let mut ops = Vec::new();
    set_up(u, vcpus, &mut ops)?;
    for _ in 0..u.int_in_range(OPS)? {
        let op = match u.int_in_range(0..=99)? {
            0..=49 if vcpus => guest::op(u)?,
            _ => vmm::op(u)?,
        };
        ops.push(op);
    }
    if !vcpus {
        ops.retain(|op| !matches!(op, Op::AddVcpu(_)));
    }
    Ok(Program { irqchip, ops })
}

/// Most of what a VMM does before a guest runs, so that what follows gets further
/// than to an error.
fn set_up(u: &mut Unstructured, vcpus: bool, ops: &mut Vec<Op>) -> Result<()> {
    if u.ratio(9, 10)? {
        let flags = *u.choose(&[2, 0x22, 0x22, 0x22])?;
        ops.push(Op::Config(flags, 0x4000_0200, [0, 0]));
    }
    if u.ratio(2, 3)? {
        ops.push(Op::SetVm(VmAttr::LongMode(u.int_in_range(0..=1)?)));
    }
    let late = u.ratio(1, 4)?;
    if vcpus && !late {
        ops.push(Op::AddVcpu(0));
        if u.ratio(1, 4)? {
            ops.push(Op::AddVcpu(*u.choose(&[1, 1, 7])?));
        }
    }
    if u.ratio(4, 5)? {
        let page = u.int_in_range(0..=1)?;
        ops.push(Op::SetVm(match u.ratio(1, 4)? {
            false => VmAttr::SharedInfo(Gpa::Area(page, 0)),
            true => VmAttr::SharedInfoHva(Hva::Area(page, 0)),
        }));
    }
    if vcpus && u.ratio(4, 5)? {
        let gpa = Gpa::Area(2, *u.choose(&[0x340, 0, 0x40])?);
        ops.push(Op::SetVcpu(0, VcpuAttr::VcpuInfo(gpa)));
    }
    if vcpus && u.ratio(1, 3)? {
        ops.push(Op::SetVcpu(0, VcpuAttr::RunstateAddr(values::runstate(u)?)));
    }
    if vcpus && u.ratio(1, 3)? {
        let port = values::port(u)?;
        ops.push(Op::SetVcpu(0, VcpuAttr::Timer(port, values::PRIORITY, 0)));
    }
    if vcpus && u.ratio(1, 3)? {
        ops.push(Op::EnableLapic(0));
    }
    if vcpus && u.ratio(1, 4)? {
        ops.push(Op::SetVcpu(0, VcpuAttr::VcpuId(1)));
    }
    if vcpus && late {
        ops.push(Op::AddVcpu(0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_all() {
        for index in 0..200 {
            assert_eq!(program(1, index), program(1, index));
        }
        assert!((0..20).any(|index| program(1, index) != program(2, index)));
        assert!((0..20).any(|index| program(1, index) != program(1, index + 1)));
    }

    /// Each operation and attribute comes, or the test of it would silently be none.
    #[test]
    fn everything_comes() {
        let programs: Vec<_> = (0..4000).map(|index| program(3, index)).collect();
        let text = format!("{programs:?}");
        const ALL: &str = "\
            None; Kernel; Split; Config(; LongMode(; SharedInfo(Area; SharedInfo(Elsewhere; \
            SharedInfoGfn(; SharedInfoHva(Area; SharedInfoHva(Raw; UpcallVector(; XenVersion(; \
            RunstateUpdateFlag(; Other(; GetVm(; Port(; Eventfd; NoEventfd; Closed; Send(; \
            AddVcpu(; VcpuInfo(Area; VcpuInfo(Elsewhere; VcpuInfo(Ram; VcpuInfo(Invalid; \
            VcpuInfo(NoMemory; VcpuInfo(Raw; VcpuInfoHva(; TimeInfo(; RunstateAddr(; \
            RunstateCurrent(; RunstateData(; RunstateAdjust(; VcpuId(; Timer(; GetVcpu(; \
            Routes([]); Routes([Route; Irqfd(; IrqLine(; Remove; Add(; Move(; AddSecond(; \
            RemoveSecond; Unmap; Map; Forbid; WriteProtect; Permit; Discard; Poke(; mode: Long; \
            mode: Compat; mode: Protected; ring3: true; Poll {; Time(; number: 15; number: 17; \
            number: 24; number: 29; number: 32; Resume(; Nothing; Window; Halt; HypercallPage(; \
            FireTimer(; EnableLapic(; DirtyLog(";
        for what in ALL.split("; ") {
            assert!(text.contains(what), "{what}");
        }
    }

    /// The bytes suffice for every sequence: those that lack are taken for zeros.
    #[test]
    fn sequences_do_not_end_in_zeros() {
        let longest = (0..2000).map(|index| program(4, index).ops.len()).max();
        assert!(longest.is_some_and(|longest| longest >= *OPS.end()));
        let last = |index| program(4, index).ops.pop();
        assert!((0..50).any(|index| last(index) != last(index + 1)));
    }
}
