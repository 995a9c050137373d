// SPDX-License-Identifier: GPL-2.0
//! The build id of the object that a module is for.

use object::{Object, ObjectSection};

/// The section that the module has for it: a byte with its length, and room for it. The module has
/// `rust/livepatch/build_id.rs` to look at it.
const SECTION: &str = ".kvm_build_id";

/// Has the module insist on an object of the build id `id`, in hexadecimal, or on none if that is
/// empty.
pub fn insist_on(data: &mut [u8], id: &str) -> Result<(), String> {
    let id = parse(id).ok_or_else(|| format!("{id} is no build id"))?;
    let file = object::File::parse(&*data).map_err(|error| error.to_string())?;
    let section = file
        .section_by_name(SECTION)
        .ok_or_else(|| format!("it has no section {SECTION}"))?;
    let (start, len) = section.file_range().unwrap_or_default();
    let (start, len) = (start as usize, len as usize);
    let place = data
        .get_mut(start..start.saturating_add(len))
        .and_then(<[u8]>::split_first_mut);
    let Some((length, room)) = place else {
        return Err(format!("its section {SECTION} is empty"));
    };
    if id.len() > room.len() {
        return Err(format!(
            "there is no room for a build id of {} bytes",
            id.len()
        ));
    }
    *length = id.len() as u8;
    room.fill(0);
    room[..id.len()].copy_from_slice(&id);
    Ok(())
}

/// The bytes that are written as `id`.
fn parse(id: &str) -> Option<Vec<u8>> {
    if id.len() % 2 != 0 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..id.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&id[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_ids_are_hexadecimal() {
        assert_eq!(parse("00aB7f"), Some(vec![0, 0xab, 0x7f]));
        assert_eq!(parse(""), Some(vec![]));
        for bad in ["1", "1g", "+1", "\u{e9}"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
