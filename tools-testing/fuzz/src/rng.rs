// SPDX-License-Identifier: GPL-2.0
//! Random bytes that a seed determines.

/// SplitMix64.
pub struct Rng(u64);

impl Rng {
    /// The stream of sequence `index` under `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut rng = Self(seed);
        // Neighbours must not be each other's stream, shifted by one.
        let base = rng.word();
        Self(base ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// So many bytes.
    pub fn bytes(&mut self, number: usize) -> Vec<u8> {
        let words = number.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.word().to_le_bytes()).collect();
        bytes.truncate(number);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn streams_differ_and_repeat() {
        let bytes = |seed, index| Rng::new(seed, index).bytes(20);
        assert_eq!(bytes(1, 2), bytes(1, 2));
        assert_ne!(bytes(1, 2), bytes(1, 3));
        assert_ne!(bytes(1, 2), bytes(2, 2));
        assert_eq!(bytes(1, 2).len(), 20);
        assert_ne!(bytes(1, 2)[8..16], bytes(1, 3)[..8]);
    }
}
