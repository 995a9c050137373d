// SPDX-License-Identifier: GPL-2.0

//! `struct kvm`.

use super::{
    bitops,
    nospec::index_nospec,
    pollers::{place, Count, Polled, Pollers, PLACES},
    vcpu::clock_update,
    xarray, Target, Vcpu,
};
use crate::{
    abi::{shared_info::SharedInfo, WordSize},
    bindings,
    livepatch::symbols,
    object::{field, Object},
    sync::{
        barrier::smp_rmb,
        gpc::{Gpc, Locked},
        srcu::Srcu,
        vm_srcu::OfVm,
        Ctx, MaySleep,
    },
    trace::Argument,
};
use core::{
    num::NonZero,
    ptr::{self, NonNull},
};
use kernel::{
    ffi::{c_ulong, c_void},
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu,
    },
};

// A bit of `poll_mask` for each vCPU that a VM can have.
static_assert!(bindings::KVM_MAX_VCPUS % u64::BITS == 0);

/// Who polls in Rust, by port: each word is a [`Count`]. A vCPU's own task adds it before it sleeps
/// and takes it off afterwards, so all are 0 when no task is in the module.
static POLLERS: [Atomic<u64>; PLACES] = [const { Atomic::new(0) }; PLACES];

/// What an array has at `index`.
fn load_by_c(array: Object<'_, bindings::xarray>, index: c_ulong) -> *mut c_void {
    // SAFETY: The array is that of a VM, initialized with it. `xa_load()` enters RCU, by which its
    // nodes are freed, against who changes it.
    unsafe { bindings::xa_load(array.as_ptr(), index) }
}

/// A VM that stays for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Vm<'a> {
    raw: Object<'a, bindings::kvm>,
}

// SAFETY: By the invariant of `Object` the VM is there until `'a` ends.
unsafe impl<'a> Argument for Vm<'a> {
    type Raw = *mut bindings::kvm;

    #[inline(always)]
    fn into_raw(self) -> *mut bindings::kvm {
        self.as_raw()
    }
}

impl<'a> Vm<'a> {
    /// Wraps a VM of KVM's.
    ///
    /// # Safety
    ///
    /// `raw` is a VM whose Xen state is initialized, and that is not destroyed before `'a` ends.
    #[inline(always)]
    pub(crate) const unsafe fn from_raw(raw: *mut bindings::kvm) -> Self {
        Self {
            // SAFETY: By the safety requirement. KVM allocates it zeroed.
            raw: unsafe { Object::from_raw(raw) },
        }
    }

    /// The VM as C has it.
    #[inline(always)]
    pub(crate) const fn as_raw(self) -> *mut bindings::kvm {
        self.raw.as_ptr()
    }

    /// Xen's part of the VM, as C has it.
    #[inline(always)]
    pub(super) fn xen(self) -> Object<'a, bindings::kvm_xen> {
        field!(self.raw, arch.xen)
    }

    /// As [`as_raw`](Self::as_raw), with what is known of it.
    #[inline(always)]
    pub(super) const fn object(self) -> Object<'a, bindings::kvm> {
        self.raw
    }

    /// What protects the memslots and the sending ports for readers.
    #[inline(always)]
    pub(crate) fn srcu(self) -> OfVm<'a> {
        let srcu = field!(self.raw, srcu);
        // SAFETY: It is initialized before the Xen state, and cleaned up after it, by
        // `kvm_destroy_vm()` behind a `srcu_barrier()`.
        let srcu = unsafe { Srcu::from_raw(srcu) };
        // SAFETY: It is that field of a VM, and a context is for the VM that a function is for.
        unsafe { OfVm::new(srcu) }
    }

    /// The cache of the `shared_info` page.
    #[inline(always)]
    pub(crate) fn shared_info(self) -> Gpc<'a, SharedInfo> {
        let cache = field!(self.xen(), shinfo_cache);
        // SAFETY: The cache is initialized with the VM, and is only used for this structure.
        unsafe { Gpc::from_raw(cache) }
    }

    /// The address space that the VM belongs to.
    pub(crate) fn mm(self) -> *mut bindings::mm_struct {
        // Never changes.
        field!(self.raw, mm).read_once()
    }

    /// The word size of the guest. It may change: a function reads it once.
    #[inline(always)]
    pub(crate) fn word_size(self) -> WordSize {
        WordSize::from_long_mode(field!(self.xen(), long_mode).is_set())
    }

    /// Whether a bit tells guests when their runstate is being written. Read without the leaf mutex:
    /// it may change, and a structure is written by what it is read as.
    pub(crate) fn has_runstate_update_flag(self) -> bool {
        field!(self.xen(), runstate_update_flag).is_set()
    }

    /// What `KVM_XEN_HVM_CONFIG` has set of the flags. C copies the structure as a whole: any mixture
    /// of two configurations is a value.
    pub(crate) fn config_flags(self) -> u32 {
        field!(self.xen(), hvm_config.flags).read_once()
    }

    /// The version of Xen that the kernel answers with, if it is to answer.
    pub(crate) fn xen_version(self) -> Option<NonZero<u32>> {
        NonZero::new(field!(self.xen(), xen_version).read_once())
    }

    /// The vector of the upcall for vCPUs that have none of their own, or 0.
    pub(crate) fn upcall_vector(self) -> u8 {
        field!(self.xen(), upcall_vector).read_once()
    }

    /// The real time at which the guest's system time was 0, in nanoseconds of the Unix epoch.
    pub(crate) fn wall_clock_epoch(self) -> u64 {
        // SAFETY: The VM is there. KVM reads its clock under a seqcount, and so in any context.
        unsafe { symbols::kvm_get_wall_clock_epoch(self.as_raw()) }
    }

    /// Has all vCPUs write their clocks again. CPUs that run some are interrupted, for which
    /// interrupts have to be on: so this is for contexts that may sleep.
    pub(crate) fn request_clock_update<H: MaySleep>(self, _cx: &mut Ctx<'_, H>) {
        // SAFETY: The VM is there, and with it the vCPUs that are counted. Requests are set by atomic
        // operations, and those who may have to leave the guest are told without waiting for them.
        // The context has interrupts on.
        unsafe { symbols::kvm_make_all_cpus_request(self.as_raw(), clock_update()) };
    }

    /// How many vCPUs are fully created. It only grows while the VM is used.
    fn online_vcpus(self) -> u32 {
        // Never negative.
        field!(self.raw, online_vcpus.counter).read_once() as u32
    }

    /// The vCPU that KVM gave the number `index`. Any context.
    pub(crate) fn vcpu(self, index: u32) -> Option<Vcpu<'a>> {
        self.vcpu_in_array(index, load_by_c)
    }

    /// The vCPU that KVM gave the number `index`, as `load` finds it in the array.
    #[inline(always)]
    fn vcpu_in_array(
        self,
        index: u32,
        load: impl FnOnce(Object<'a, bindings::xarray>, c_ulong) -> *mut c_void,
    ) -> Option<Vcpu<'a>> {
        let online = self.online_vcpus();
        if index >= online {
            return None;
        }
        // The check has to hold under speculation too, as the number is from outside.
        let index = index_nospec(index.into(), online.into());
        // A vCPU is in the array before it is counted.
        smp_rmb();
        let vcpu = load(field!(self.raw, vcpu_array), index as c_ulong);
        // SAFETY: A vCPU that is counted is fully created, and stays until the VM is destroyed.
        // Then nobody looks one up any more: a timer that still fires has its vCPU already.
        NonNull::new(vcpu.cast()).map(|vcpu| unsafe { Vcpu::from_raw(vcpu.as_ptr()) })
    }

    /// The vCPU that the VMM gave the number `id`. Any context; without a search when that is also
    /// its index, as it mostly is.
    pub(crate) fn vcpu_by_id(self, id: u32) -> Option<Vcpu<'a>> {
        // All of it in one look at the array, whose nodes are freed by RCU.
        let rcu = rcu::read_lock();
        let mut others = 0..self.online_vcpus();
        let mut index = id;
        loop {
            let vcpu = self.vcpu_in_rcu(&rcu, index);
            if vcpu.is_some_and(|vcpu| vcpu.id() == id) {
                return vcpu;
            }
            index = others.next()?;
        }
    }

    /// As [`vcpu`](Self::vcpu), by who is in RCU.
    #[inline(always)]
    fn vcpu_in_rcu(self, _rcu: &rcu::Guard, index: u32) -> Option<Vcpu<'a>> {
        self.vcpu_in_array(index, |array, index| {
            // SAFETY: The array is initialized with the VM, and has vCPUs alone, whose addresses are
            // pointers to an xarray. The guard keeps the caller in RCU.
            let found = unsafe { xarray::load(array, index) };
            found.unwrap_or_else(|| load_by_c(array, index))
        })
    }

    /// The vCPU with the VMM's number `id` as one that a port is bound to, looked up if it is there
    /// already.
    #[inline(never)]
    pub(crate) fn bind(self, id: u32) -> Target {
        self.vcpu_by_id(id).map_or(Target::by_id(id), Target::of)
    }

    /// The vCPU that an event is for. The index saves a search, where it is that of the vCPU: C
    /// may have noted it as that of another one, which the port was bound to before.
    #[inline(never)]
    pub(crate) fn target(self, target: Target) -> Option<Vcpu<'a>> {
        let noted = target.index().and_then(|index| self.vcpu(index));
        match noted.filter(|vcpu| vcpu.id() == target.id()) {
            None => self.vcpu_by_id(target.id()),
            noted => noted,
        }
    }

    /// As [`target`](Self::target), if that takes no search: the index is noted, or is the same as
    /// the number that the VMM gave, as it mostly is.
    #[inline(always)]
    pub(crate) fn target_at_once<S>(
        self,
        locked: &Locked<'_, S>,
        target: Target,
    ) -> Option<Vcpu<'a>> {
        let index = target.index().unwrap_or(target.id());
        let vcpu = self.vcpu_in_array(index, |array, index| {
            // SAFETY: The array is initialized with the VM, and has vCPUs alone, whose addresses are
            // pointers to an xarray.
            let found = unsafe { xarray::load_locked(locked, array, index) };
            found.unwrap_or(ptr::null_mut())
        });
        vcpu.filter(|vcpu| vcpu.id() == target.id())
    }

    /// Whether there may be a vCPU that polls. Only the first word of the list is read: for a VM
    /// with more than 64 vCPUs the answer is always yes.
    #[inline(always)]
    pub(crate) fn may_have_pollers(self) -> bool {
        field!(self.xen(), poll_mask).item(0).read_once() != 0 || self.online_vcpus() > u64::BITS
    }

    /// How many vCPUs poll.
    #[cold]
    pub(crate) fn pollers(self) -> u32 {
        let (mask, end) = self.poll_mask();
        // SAFETY: As in `for_each_poller`.
        unsafe { bindings::__bitmap_weight(mask, end) }
    }

    /// The list of those that poll, and how many bits of it are in use.
    fn poll_mask(self) -> (*mut c_ulong, u32) {
        let mask = field!(self.xen(), poll_mask).item(0).as_ptr();
        (mask, self.online_vcpus().min(bindings::KVM_MAX_VCPUS))
    }

    /// Calls `f` for each vCPU that polls, until now.
    pub(crate) fn for_each_poller(self, mut f: impl FnMut(Vcpu<'a>)) {
        let (mask, end) = self.poll_mask();
        let end = end as usize;
        let mut nr = 0;
        loop {
            // SAFETY: The mask has a bit for each vCPU that a VM can have, which `end` is no more than.
            // C's function reads it word by word, and allows for bits that change meanwhile.
            nr = unsafe { bindings::_find_next_bit(mask, end, nr) };
            if nr >= end {
                return;
            }
            if let Some(vcpu) = self.vcpu(nr as u32) {
                f(vcpu);
            }
            nr = nr.wrapping_add(1);
        }
    }

    /// Where it is counted who polls for a port.
    fn poll_count(self, port: u32) -> &'static Atomic<u64> {
        &POLLERS[place(self.as_raw().addr(), port)]
    }

    /// Who polls for `port`, as counted: C's pollers are not.
    pub(crate) fn pollers_for(self, port: u32) -> Pollers {
        let count = |port| Count::from_raw(self.poll_count(port).load(Relaxed));
        count(port).or(count(Polled::Several.counted_as()))
    }

    /// Counts a vCPU among those that poll for `polled`. Unordered: [`add_poller`](Self::add_poller)
    /// comes after it.
    pub(crate) fn count_poller(self, vcpu: Vcpu<'_>, polled: Polled) {
        let count = self.poll_count(polled.counted_as());
        count.add(Count::one_more(vcpu.index()), Relaxed);
    }

    /// Counts a vCPU no more that [`count_poller`](Self::count_poller) has counted.
    pub(crate) fn uncount_poller(self, vcpu: Vcpu<'_>, polled: Polled) {
        let count = self.poll_count(polled.counted_as());
        count.add(Count::one_less(vcpu.index()), Relaxed);
    }

    /// Puts a vCPU on the list of those that poll. Fully ordered.
    pub(crate) fn add_poller(self, vcpu: Vcpu<'_>) {
        let nr = vcpu.index();
        let mask = field!(self.xen(), poll_mask).as_ptr();
        // SAFETY: As in `take_poller`.
        unsafe { bitops::test_and_set_in(mask.cast(), nr) };
    }

    /// Takes a vCPU off the list of those that poll; returns whether it was on it. Of several
    /// events at once, one alone is told that it was, and wakes the vCPU.
    pub(crate) fn take_poller(self, vcpu: Vcpu<'_>) -> bool {
        let nr = vcpu.index();
        let mask = field!(self.xen(), poll_mask).as_ptr();
        // SAFETY: The mask has a bit for each vCPU that a VM can have. All others change it by atomic
        // operations too: C by `set_bit()`, `clear_bit()` and the like, Rust by this and `add_poller`.
        unsafe { bitops::test_and_clear_in(mask.cast(), nr) }
    }
}
