// SPDX-License-Identifier: GPL-2.0

//! The vCPU as the guest's hypercalls see it: its registers and mode, its memory, its sleep.

use super::{OwnVcpu, Vm};
use crate::{
    abi::WordSize,
    bindings,
    livepatch::symbols,
    object::field,
    sync::{Ctx, InKvmRun, MayWaitForGuest, VcpuIoctl},
};
use core::mem::MaybeUninit;
use kernel::{
    alloc::flags::GFP_KERNEL,
    ffi::{c_int, c_uint, c_ulong, c_void},
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};

/// A hypercall, as the guest has put it into its registers.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// Which one it is.
    pub(crate) nr: u64,
    /// Its parameters.
    pub(crate) params: [u64; 6],
    /// The word size of the code that makes it, not of the guest as a whole.
    pub(crate) size: WordSize,
    /// The privilege level that it is made at: 0 for the kernel.
    pub(crate) cpl: u8,
}

/// Where `KVM_RUN` goes on, as KVM's own functions have it: above 0, in the guest; 0, in the VMM,
/// which finds out why in `struct kvm_run`; below, nowhere, and this is the error.
#[derive(Clone, Copy)]
pub(crate) struct Next(pub(crate) c_int);

impl Next {
    /// In the guest.
    pub(crate) const GUEST: Self = Self(1);
    /// In the VMM.
    pub(crate) const VMM: Self = Self(0);
}

/// Registers, by KVM's numbers.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Register {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
}

// As KVM numbers them.
kernel::static_assert!(Register::Rax as u32 == bindings::kvm_reg_VCPU_REGS_RAX);
kernel::static_assert!(Register::Rcx as u32 == bindings::kvm_reg_VCPU_REGS_RCX);
kernel::static_assert!(Register::Rdx as u32 == bindings::kvm_reg_VCPU_REGS_RDX);
kernel::static_assert!(Register::Rbx as u32 == bindings::kvm_reg_VCPU_REGS_RBX);
kernel::static_assert!(Register::Rbp as u32 == bindings::kvm_reg_VCPU_REGS_RBP);
kernel::static_assert!(Register::Rsi as u32 == bindings::kvm_reg_VCPU_REGS_RSI);
kernel::static_assert!(Register::Rdi as u32 == bindings::kvm_reg_VCPU_REGS_RDI);
kernel::static_assert!(Register::R8 as u32 == bindings::kvm_reg_VCPU_REGS_R8);
kernel::static_assert!(Register::R9 as u32 == bindings::kvm_reg_VCPU_REGS_R9);
kernel::static_assert!(Register::R10 as u32 == bindings::kvm_reg_VCPU_REGS_R10);

impl OwnVcpu<'_> {
    /// A register of the guest's.
    fn register(self, register: Register) -> u64 {
        // SAFETY: The vCPU is the task's own, and so are its registers. It is outside of the guest, as
        // its task is here; the general registers are always read when it leaves that.
        unsafe { (*self.as_raw()).arch.regs[register as usize] as u64 }
    }

    /// Sets the register in which the guest finds the result.
    pub(super) fn set_result(self, result: u64) {
        // SAFETY: As in `register`.
        unsafe { (*self.as_raw()).arch.regs[Register::Rax as usize] = result as c_ulong }
    }

    /// The hypercall that the guest makes.
    pub(crate) fn hypercall(self, _cx: &mut Ctx<'_, InKvmRun>) -> Call {
        use Register::*;

        let (size, nr, params) = if self.is_64bit_code() {
            let params = [Rdi, Rsi, Rdx, R10, R8, R9].map(|register| self.register(register));
            (WordSize::Bits64, self.register(Rax), params)
        } else {
            let low = |register| self.register(register) & u64::from(u32::MAX);
            let params = [Rbx, Rcx, Rdx, Rsi, Rdi, Rbp].map(low);
            (WordSize::Bits32, low(Rax), params)
        };
        Call {
            nr,
            params,
            size,
            cpl: self.cpl(),
        }
    }

    /// Has KVM handle a hypercall of Hyper-V's, for a guest that has both interfaces: bit 31 of the
    /// number is set in these alone.
    pub(crate) fn take_hyperv_hypercall(self, _cx: &mut Ctx<'_, InKvmRun>) -> Option<Next> {
        if self.register(Register::Rax) & 0x8000_0000 == 0 {
            return None;
        }
        // SAFETY: The vCPU is the task's own, and so is what it knows of Hyper-V.
        if !unsafe { bindings::kvm_xen_rs_hv_hypercall_enabled(self.as_raw()) } {
            return None;
        }
        // SAFETY: The vCPU is the task's own, inside `KVM_RUN` for a hypercall, where KVM itself calls
        // it.
        Some(Next(unsafe { symbols::kvm_hv_hypercall(self.as_raw()) }))
    }

    /// Whether the guest is in long mode, whatever the code that it runs.
    pub(crate) fn is_long_mode(self) -> bool {
        let efer = field!(self.object(), arch.efer).read_once();
        efer & u64::from(bindings::EFER_LMA) != 0
    }

    /// Whether the guest runs 64-bit code now. A guest whose registers are encrypted (SEV-ES) makes
    /// hypercalls from 64-bit code alone.
    fn is_64bit_code(self) -> bool {
        if field!(self.object(), arch.guest_state_protected).is_set() {
            return true;
        }
        if !self.is_long_mode() {
            return false;
        }
        let (mut db, mut l) = (0, 0);
        // SAFETY: The vCPU is the task's own, and so are its registers. It fills in both integers.
        unsafe { symbols::get_cs_db_l_bits(self.as_raw(), &mut db, &mut l) };
        l != 0
    }

    /// The privilege level that the guest runs at.
    fn cpl(self) -> u8 {
        // SAFETY: The vCPU is the task's own, and so are its registers.
        unsafe { symbols::get_cpl(self.as_raw()) as u8 }
    }

    /// The instruction that makes a hypercall on this CPU: three bytes.
    pub(crate) fn trap_instruction(self) -> [u8; 3] {
        let mut code = [0xcc; 3];
        // SAFETY: The vCPU is there. It fills in three bytes.
        unsafe { symbols::patch_hypercall(self.as_raw(), code.as_mut_ptr()) };
        code
    }

    /// Whether interrupts of this vCPU come from a local APIC in the kernel.
    pub(crate) fn has_kernel_lapic(self) -> bool {
        // Set when the vCPU is created, for good.
        !field!(self.object(), arch.apic).read_once().is_null()
    }

    /// Reads what the guest has at its virtual address `gva`, with the rights that it has now. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the guest could not read it.
    #[inline(never)]
    pub(crate) fn read_guest(self, _cx: &mut Ctx<'_, InKvmRun>, gva: u64, to: &mut [u8]) -> Result {
        let mut exception = MaybeUninit::<bindings::x86_exception>::uninit();
        // SAFETY: The vCPU is the task's own, inside `KVM_RUN`, so in a read-side critical section
        // for the memslots, and may sleep. KVM fills in the exception, which nobody looks at, and
        // no more than `to`.
        let failed = unsafe {
            symbols::kvm_read_guest_virt(
                self.as_raw(),
                gva as c_ulong,
                to.as_mut_ptr().cast::<c_void>(),
                to.len() as c_uint,
                exception.as_mut_ptr(),
            )
        };
        if failed == 0 {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Writes to the guest-physical address `gpa`. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` when there is no page.
    pub(crate) fn write_guest(self, _cx: &mut Ctx<'_, InKvmRun>, gpa: u64, from: &[u8]) -> Result {
        // SAFETY: The vCPU is the task's own, inside a read-side critical section for the memslots,
        // and may sleep. KVM reads no more than `from`.
        let failed = unsafe {
            symbols::kvm_vcpu_write_guest(
                self.as_raw(),
                gpa,
                from.as_ptr().cast::<c_void>(),
                from.len() as c_ulong,
            )
        };
        if failed == 0 {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Lets another vCPU of the VM run, if one was preempted. May sleep.
    pub(crate) fn yield_to_others(self, _cx: &mut Ctx<'_, InKvmRun>) {
        // SAFETY: The vCPU is the task's own, inside `KVM_RUN`, where KVM itself calls it. Other vCPUs
        // are looked up in RCU.
        unsafe { symbols::kvm_vcpu_on_spin(self.as_raw(), true) }
    }

    /// Halts the vCPU until there is something for it to do. Sleeps as long as the guest likes, so
    /// outside of the read-side critical section of `kvm->srcu`: memslots can change meanwhile.
    pub(crate) fn halt(self, cx: &mut Ctx<'_, InKvmRun>) {
        // What is held during the sleep may keep nobody waiting but those who wait for this vCPU
        // anyway.
        const fn as_long_as_the_guest_likes<H: MayWaitForGuest>(_cx: &Ctx<'_, H>) {}

        // The local APIC's timer may be the hypervisor's (VMX has such), which runs only while the
        // guest does, and may be what is to end this.
        // SAFETY: The vCPU is the task's own, which alone changes that.
        let is_hypervisors = unsafe { symbols::kvm_lapic_hv_timer_in_use(self.as_raw()) };
        if is_hypervisors {
            // SAFETY: The vCPU is the task's own, and its local APIC's timer is the hypervisor's.
            unsafe { symbols::kvm_lapic_switch_to_sw_timer(self.as_raw()) };
        }
        self.outside_of_srcu(cx, |cx| {
            as_long_as_the_guest_likes(cx);
            self.set_mp_state(bindings::KVM_MP_STATE_HALTED);
            // SAFETY: The vCPU is the task's own, which may sleep and holds nothing but the vCPU's own
            // mutex, as where KVM does this itself.
            unsafe { symbols::kvm_vcpu_halt(self.as_raw()) };
            self.set_mp_state(bindings::KVM_MP_STATE_RUNNABLE);
        });
        if is_hypervisors {
            // SAFETY: The vCPU is the task's own. The timer may have fired, which this allows for.
            unsafe { symbols::kvm_lapic_switch_to_hv_timer(self.as_raw()) };
        }
    }

    /// Changes whether the vCPU runs.
    fn set_mp_state(self, state: u32) {
        // SAFETY: The vCPU is the task's own. Others, who read the field in one piece, allow for a
        // change at any time.
        unsafe { bindings::kvm_xen_rs_set_mp_state(self.as_raw(), state as c_int) };
    }

    /// Leaves the read-side critical section that `KVM_RUN` is in for the time of `f`.
    fn outside_of_srcu<R>(
        self,
        cx: &mut Ctx<'_, InKvmRun>,
        f: impl FnOnce(&mut Ctx<'_, VcpuIoctl>) -> R,
    ) -> R {
        // SAFETY: This is the vCPU's task, in the read-side critical section that the vCPU keeps
        // the index of. The context of that section is borrowed, so nothing that was looked up in
        // it is used.
        unsafe { bindings::kvm_xen_rs_vcpu_srcu_read_unlock(self.as_raw()) };
        // SAFETY: The read-side critical section was left just above, and is entered again just
        // below.
        let result = f(&mut unsafe { cx.leave() });
        // SAFETY: As above, and in no read-side critical section now.
        unsafe { bindings::kvm_xen_rs_vcpu_srcu_read_lock(self.as_raw()) };
        result
    }
}

/// The hypercall pages that the VMM has for guests of one word size.
#[derive(Clone, Copy)]
pub(crate) struct Blob {
    /// The VMM's address of the first.
    address: u64,
    /// How many there are.
    pub(crate) pages: u8,
}

impl Vm<'_> {
    /// The hypercall pages for guests of the word size `size`.
    pub(crate) fn blob(self, size: WordSize) -> Blob {
        // A VMM that changes them meanwhile gets a mixture, whose address and index are checked all the
        // same.
        let config = field!(self.xen(), hvm_config);
        let (address, pages) = match size {
            WordSize::Bits32 => (field!(config, blob_addr_32), field!(config, blob_size_32)),
            WordSize::Bits64 => (field!(config, blob_addr_64), field!(config, blob_size_64)),
        };
        Blob {
            address: address.read_once(),
            pages: pages.read_once(),
        }
    }
}

impl Blob {
    /// Reads one of the pages. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the VMM has nothing there, `ENOMEM`.
    pub(crate) fn read_page(self, _cx: &mut Ctx<'_, InKvmRun>, index: u32) -> Result<KVec<u8>> {
        let offset = u64::from(index) * PAGE_SIZE as u64;
        let address = UserPtr::from_addr(self.address.wrapping_add(offset) as usize);
        let mut page = KVec::new();
        UserSlice::new(address, PAGE_SIZE).read_all(&mut page, GFP_KERNEL)?;
        Ok(page)
    }
}
