// SPDX-License-Identifier: GPL-2.0
//! A shared_info page seen through one of the two ABIs.

use vm_memory::{Bytes, VolatileSlice};

use super::{Abi, PAGE_SIZE};

const WITHIN: &str = "offset lies within the page";

/// View of a page that holds shared_info, in guest memory or in a copy of it.
#[derive(Clone, Copy)]
pub struct SharedInfo<'a> {
    page: VolatileSlice<'a>,
    abi: Abi,
}

/// The wall clock of shared_info with both halves of its seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Odd while the hypervisor writes.
    pub version: u32,
    /// Lower half of the seconds.
    pub sec: u32,
    /// Upper half of the seconds.
    pub sec_hi: u32,
    /// Nanoseconds, less than a second.
    pub nsec: u32,
}

impl WallClock {
    /// Nanoseconds since 1970.
    pub fn nanoseconds(&self) -> u128 {
        let seconds = (u64::from(self.sec_hi) << 32) | u64::from(self.sec);
        u128::from(seconds) * 1_000_000_000 + u128::from(self.nsec)
    }
}

impl<'a> SharedInfo<'a> {
    /// Views `page`, which must be one page long.
    pub fn new(page: VolatileSlice<'a>, abi: Abi) -> Self {
        assert_eq!(page.len(), PAGE_SIZE);
        Self { page, abi }
    }

    // Bit n of a little-endian array of words is bit n % 8 of byte n / 8,
    // whatever the word size.
    fn bit(&self, base: usize, port: u32) -> bool {
        let byte: u8 = self.page.read_obj(base + port as usize / 8).expect(WITHIN);
        byte & (1 << (port % 8)) != 0
    }

    fn set_bit(&self, base: usize, port: u32, on: bool) {
        let at = base + port as usize / 8;
        let byte: u8 = self.page.read_obj(at).expect(WITHIN);
        let bit = 1 << (port % 8);
        let byte = if on { byte | bit } else { byte & !bit };
        self.page.write_obj(byte, at).expect(WITHIN);
    }

    /// Whether `port` is pending.
    pub fn pending(&self, port: u32) -> bool {
        self.bit(self.abi.pending_offset(), port)
    }

    /// Sets or clears the pending bit of `port`.
    pub fn set_pending(&self, port: u32, on: bool) {
        self.set_bit(self.abi.pending_offset(), port, on);
    }

    /// Sets or clears the mask bit of `port`.
    pub fn set_masked(&self, port: u32, on: bool) {
        self.set_bit(self.abi.mask_offset(), port, on);
    }

    /// Fills evtchn_pending and evtchn_mask with bytes.
    pub fn fill_bitmaps(&self, pending: u8, mask: u8) {
        let bytes = self.abi.ports() as usize / 8;
        self.page
            .write_slice(&vec![pending; bytes], self.abi.pending_offset())
            .expect(WITHIN);
        self.page
            .write_slice(&vec![mask; bytes], self.abi.mask_offset())
            .expect(WITHIN);
    }

    /// The wall clock as the guest finds it.
    pub fn wall_clock(&self) -> WallClock {
        let word = |offset| self.page.read_obj(offset).expect(WITHIN);
        let wc = self.abi.wc_offset();
        WallClock {
            version: word(wc),
            sec: word(wc + 4),
            nsec: word(wc + 8),
            sec_hi: word(self.abi.wc_sec_hi_offset()),
        }
    }

    /// Replaces the wall clock.
    pub fn set_wall_clock(&self, clock: WallClock) {
        let word = |value: u32, offset| self.page.write_obj(value, offset).expect(WITHIN);
        let wc = self.abi.wc_offset();
        word(clock.version, wc);
        word(clock.sec, wc + 4);
        word(clock.nsec, wc + 8);
        word(clock.sec_hi, self.abi.wc_sec_hi_offset());
    }

    /// Name of what lies at `offset`, for messages.
    pub fn describe(abi: Abi, offset: usize) -> String {
        let bitmap = abi.ports() as usize / 8;
        let field = |name, base: usize| {
            let first = (offset - base) * 8;
            format!("{name}, ports {first} to {}", first + 7)
        };
        let (pending, mask, wc) = (abi.pending_offset(), abi.mask_offset(), abi.wc_offset());
        if (pending..pending + bitmap).contains(&offset) {
            field("evtchn_pending", pending)
        } else if (mask..mask + bitmap).contains(&offset) {
            field("evtchn_mask", mask)
        } else if (wc..wc + 12).contains(&offset) {
            "wc".into()
        } else if (abi.wc_sec_hi_offset()..abi.wc_sec_hi_offset() + 4).contains(&offset) {
            "wc_sec_hi".into()
        } else if offset < pending {
            format!("vcpu_info[{}]", offset / super::layout::VCPU_INFO_SIZE)
        } else {
            "unused".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_bits_are_where_words_of_the_abi_have_them() {
        for abi in Abi::ALL {
            let mut bytes = vec![0_u8; PAGE_SIZE];
            let port = abi.word_bits() * 3 + 9;
            SharedInfo::new(VolatileSlice::from(&mut bytes[..]), abi).set_pending(port, true);
            let word_size = abi.word_bits() as usize / 8;
            let word = &bytes[0x800 + 3 * word_size..][..word_size];
            let mut le = [0_u8; 8];
            le[..word_size].copy_from_slice(word);
            assert_eq!(u64::from_le_bytes(le), 1 << 9);
            assert_eq!(bytes.iter().filter(|b| **b != 0).count(), 1);
        }
    }

    #[test]
    fn fields_have_names() {
        assert_eq!(
            SharedInfo::describe(Abi::Bits32, 0x881),
            "evtchn_mask, ports 8 to 15"
        );
        assert_eq!(
            SharedInfo::describe(Abi::Bits64, 0x881),
            "evtchn_pending, ports 1032 to 1039"
        );
        assert_eq!(SharedInfo::describe(Abi::Bits64, 0xc0c), "wc_sec_hi");
        assert_eq!(SharedInfo::describe(Abi::Bits64, 0x7f), "vcpu_info[1]");
    }
}
