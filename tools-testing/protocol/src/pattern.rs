// SPDX-License-Identifier: GPL-2.0
//! The contents that the guest writes to its disk, so that whoever reads the disk knows them.

/// Fills `block` with what belongs to request `index` of `round`. Every eight bytes differ from
/// those of any other place, round or index.
pub fn fill_block(round: u32, index: u32, block: &mut [u8]) {
    let seed = (u64::from(round) << 40) | (u64::from(index) << 20);
    for (n, bytes) in block.chunks_mut(8).enumerate() {
        let word = mix(seed.wrapping_add(n as u64)).to_le_bytes();
        bytes.copy_from_slice(&word[..bytes.len()]);
    }
}

/// Offset of the first byte of `block` that is not what [`fill_block`] puts there.
pub fn first_difference(round: u32, index: u32, block: &[u8]) -> Option<usize> {
    let mut expected = vec![0; block.len()];
    fill_block(round, index, &mut expected);
    expected.iter().zip(block).position(|(a, b)| a != b)
}

/// The finalizer of SplitMix64: a bijection, so different inputs give different words.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_another_round_or_index_differs_at_once() {
        let mut block = vec![0; 4096];
        fill_block(7, 3, &mut block);
        assert_eq!(first_difference(7, 3, &block), None);
        assert!(first_difference(8, 3, &block).unwrap() < 8);
        assert!(first_difference(7, 2, &block).unwrap() < 8);
    }

    #[test]
    fn one_wrong_byte_is_found() {
        let mut block = vec![0; 1001];
        fill_block(1, 0, &mut block);
        block[1000] ^= 1;
        assert_eq!(first_difference(1, 0, &block), Some(1000));
    }
}
