// SPDX-License-Identifier: GPL-2.0

//! Notes in an ELF file, of which one has its build id.
//!
//! Source: `struct elf32_note` and `NT_GNU_BUILD_ID` in `linux/elf.h` and `linux/buildid.h`.

#![forbid(unsafe_code)]

/// What comes before a build id: its type, 3, and whose types these are.
const TYPE_AND_NAME: &[u8] = b"\x03\0\0\0GNU\0";

/// The build ids in `bytes`, which begin where notes are aligned to.
///
/// # Examples
///
/// ```
/// use crate::livepatch::notes::build_ids;
///
/// let note = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0\x12\x34\xab\0";
/// assert_eq!(build_ids(note).next(), Some(&b"\x12\x34\xab"[..]));
/// ```
pub(crate) fn build_ids(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let places = (0..bytes.len()).step_by(4);
    places.filter_map(|at| build_id(bytes.get(at..)?))
}

/// The build id in the note that `bytes` begin with, if it is one of that type.
#[inline(never)]
fn build_id(bytes: &[u8]) -> Option<&[u8]> {
    let note = bytes.strip_prefix(&4_u32.to_le_bytes())?;
    let (len, note) = note.split_first_chunk::<4>()?;
    let id = note.strip_prefix(TYPE_AND_NAME)?;
    id.get(..u32::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &[u8] = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0\x12\x34\xab\0";

    const ID: &[u8] = b"\x12\x34\xab";

    fn ids(bytes: &[u8]) -> Vec<&[u8]> {
        build_ids(bytes).collect()
    }

    #[test]
    fn a_build_id_is_found_among_other_bytes() {
        assert_eq!(ids(NOTE), [ID]);
        let mut bytes = b"\x04\0\0\0\x08\0\0\0\x05\0\0\0GNU\0property".to_vec();
        bytes.extend_from_slice(NOTE);
        bytes.extend_from_slice(NOTE);
        assert_eq!(ids(&bytes), [ID, ID]);
        // Not where no note is.
        bytes.insert(0, 0);
        assert!(ids(&bytes).is_empty());
    }

    #[test]
    fn what_is_cut_off_is_none() {
        for end in 0..NOTE.len() - 1 {
            assert!(ids(&NOTE[..end]).is_empty());
        }
        // Of all lengths that there are.
        let mut long = NOTE.to_vec();
        long[4..8].fill(0xff);
        assert!(ids(&long).is_empty());
    }
}
