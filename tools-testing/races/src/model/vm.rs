// SPDX-License-Identifier: GPL-2.0

//! `struct kvm`.

use super::{
    fully_ordered,
    host::Host,
    memory::{word_of, Gpc, Locked, Page},
    sleep::Asleep,
    srcu::{OfVm, Srcu},
    table::Table,
    vcpu::{id_of, Vcpu, VcpuState},
    Broken,
};
use crate::{
    abi::{
        shared_info::{self, SharedInfo},
        WordSize,
    },
    kvm::{
        pollers::{Count, Polled, Pollers},
        Target,
    },
    prelude::*,
    sync::{order::VmMm, Ctx, Held, MayEnter, Within},
};
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// A VM.
pub(crate) struct VmState {
    pub(super) srcu: Srcu,
    pub(crate) table: Table,
    pub(super) poll_mask: AtomicU64,
    /// For the ports in use, and for those who poll for several.
    pollers: BTreeMap<u32, AtomicU64>,
    pub(super) vcpus: Vec<VcpuState>,
    pub(super) broken: Option<Broken>,
    word_size: WordSize,
    /// Who is about to sleep.
    pub(crate) asleep: Asleep,
    /// The words of `shared_info` that are in use.
    pub(crate) shared_info: Page,
    /// Whether guests take interrupts: the upcall then wakes them.
    pub(crate) interrupts: bool,
    /// The vCPUs that were woken, in turn.
    pub(crate) woken: Mutex<Vec<u32>>,
}

/// What of a VM a test needs.
pub(crate) struct Config<'a> {
    /// How many vCPUs there are.
    pub(crate) vcpus: usize,
    /// The ports in use.
    pub(crate) ports: &'a [u32],
    /// Whether guests take interrupts.
    pub(crate) interrupts: bool,
    /// Whether the gate is waited for that senders pass.
    pub(crate) gate: bool,
    /// Whether grace periods are awaited.
    pub(crate) grace_periods: bool,
    /// The rule that does not hold.
    pub(crate) broken: Option<Broken>,
    /// The word size of the guest.
    pub(crate) word_size: WordSize,
    /// By which vector a vCPU is interrupted, if by one of its own.
    pub(crate) upcall_vector: u8,
    /// The host.
    pub(crate) host: Host,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Self {
            vcpus: 1,
            ports: &[],
            interrupts: true,
            gate: false,
            grace_periods: false,
            broken: None,
            word_size: WordSize::Bits64,
            upcall_vector: 0,
            host: Host::DEFAULT,
        }
    }
}

impl VmState {
    #[allow(
        clippy::arc_with_non_send_sync,
        reason = "loom runs its threads on one of the system's"
    )]
    pub(crate) fn new(config: &Config<'_>) -> Arc<Self> {
        let Config {
            ports,
            interrupts,
            broken,
            word_size,
            ..
        } = *config;
        let bits = |port: &u32| {
            [
                word_of(&shared_info::evtchn_pending(word_size), *port).0,
                word_of(&shared_info::evtchn_mask(word_size), *port).0,
            ]
        };
        let leaks = broken == Some(Broken::Leaked);
        Host {
            leaks,
            ..config.host
        }
        .set();
        Arc::new(Self {
            srcu: Srcu::new(config.grace_periods, broken),
            table: Table::new(broken),
            poll_mask: AtomicU64::new(0),
            pollers: ports
                .iter()
                .chain([&Polled::Several.counted_as()])
                .map(|port| (*port, AtomicU64::new(0)))
                .collect(),
            vcpus: (0..config.vcpus).map(|_| VcpuState::new(config)).collect(),
            broken,
            word_size,
            asleep: Asleep::default(),
            shared_info: Page::new(ports.iter().flat_map(bits), config.gate, broken),
            interrupts,
            woken: Mutex::default(),
        })
    }
}

/// As the module has it.
#[derive(Clone, Copy)]
pub(crate) struct Vm<'a>(pub(super) &'a Arc<VmState>);

impl<'a> Vm<'a> {
    pub(crate) fn of(state: &'a Arc<VmState>) -> Self {
        Self(state)
    }

    pub(crate) fn state(self) -> &'a Arc<VmState> {
        self.0
    }

    pub(crate) fn srcu(self) -> OfVm<'a> {
        OfVm(self)
    }

    pub(crate) fn shared_info(self) -> Gpc<'a, SharedInfo> {
        Gpc::new(&self.0.shared_info)
    }

    pub(crate) fn word_size(self) -> WordSize {
        self.0.word_size
    }

    pub(crate) fn vcpu(self, index: u32) -> Option<Vcpu<'a>> {
        ((index as usize) < self.0.vcpus.len()).then_some(Vcpu { vm: self, index })
    }

    pub(crate) fn vcpu_by_id(self, id: u32) -> Option<Vcpu<'a>> {
        let index = id.checked_sub(id_of(0))?;
        self.vcpu(index)
    }

    pub(crate) fn bind(self, id: u32) -> Target {
        self.vcpu_by_id(id).map_or(Target::by_id(id), Target::of)
    }

    pub(crate) fn target(self, target: Target) -> Option<Vcpu<'a>> {
        self.vcpu_by_id(target.id())
    }

    /// Only what is noted: the model's numbers of a vCPU differ.
    pub(crate) fn target_at_once<S>(
        self,
        _locked: &Locked<'_, S>,
        target: Target,
    ) -> Option<Vcpu<'a>> {
        let index = target.index()?;
        self.vcpu(index).filter(|_| id_of(index) == target.id())
    }

    pub(crate) fn may_have_pollers(self) -> bool {
        self.0.poll_mask.load(Relaxed) != 0
    }

    pub(crate) fn pollers(self) -> u32 {
        self.0.poll_mask.load(Relaxed).count_ones()
    }

    pub(crate) fn for_each_poller(self, f: impl FnMut(Vcpu<'a>)) {
        let bits = self.0.poll_mask.load(Relaxed);
        let set = (0..u64::BITS).filter(|nr| bits & (1 << nr) != 0);
        set.filter_map(|nr| self.vcpu(nr)).for_each(f);
    }

    pub(crate) fn pollers_for(self, port: u32) -> Pollers {
        let count = |port| {
            let count = self.0.pollers.get(&port);
            Count::from_raw(count.map_or(0, |count| count.load(Relaxed)))
        };
        count(port).or(count(Polled::Several.counted_as()))
    }

    pub(crate) fn count_poller(self, vcpu: Vcpu<'_>, polled: Polled) {
        if self.0.broken != Some(Broken::CountedWhenAsleep) {
            self.count(vcpu, polled);
        }
    }

    pub(super) fn count(self, vcpu: Vcpu<'_>, polled: Polled) {
        let count = &self.0.pollers[&polled.counted_as()];
        count.fetch_add(Count::one_more(vcpu.index), Relaxed);
    }

    pub(crate) fn uncount_poller(self, vcpu: Vcpu<'_>, polled: Polled) {
        let count = &self.0.pollers[&polled.counted_as()];
        count.fetch_add(Count::one_less(vcpu.index), Relaxed);
    }

    pub(crate) fn add_poller(self, vcpu: Vcpu<'_>) {
        match self.0.broken {
            Some(Broken::ListedWhenAsleep) => {}
            Some(Broken::ListedWithoutBarrier) => {
                self.0.poll_mask.fetch_or(1 << vcpu.index, Relaxed);
            }
            _ => self.list(vcpu),
        }
    }

    pub(super) fn list(self, vcpu: Vcpu<'_>) {
        fully_ordered(|| self.0.poll_mask.fetch_or(1 << vcpu.index, Relaxed));
    }

    pub(crate) fn take_poller(self, vcpu: Vcpu<'_>) -> bool {
        let bit = 1 << vcpu.index;
        let was = fully_ordered(|| self.0.poll_mask.fetch_and(!bit, Relaxed));
        was & bit != 0
    }

    pub(crate) fn enter_mm<'g, H: MayEnter<VmMm>>(
        self,
        cx: &'g mut Ctx<'_, H>,
    ) -> Result<MmGuard<'g, H>> {
        Ok(MmGuard(cx.reborrow()))
    }
}

/// The VM's address space, borrowed.
pub(crate) struct MmGuard<'g, H>(Ctx<'g, H>);

impl<H: Held> MmGuard<'_, H> {
    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<VmMm, H>> {
        // SAFETY: All threads are of one process.
        unsafe { self.0.enter() }
    }
}
