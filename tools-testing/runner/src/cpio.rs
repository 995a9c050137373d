// SPDX-License-Identifier: GPL-2.0
//! Archives as the kernel unpacks them into its first file system (format "newc").

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const SYMLINK: u32 = 0o120_777;
const FILE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive in memory, in the making.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    inodes: u32,
}

/// One entry's head.
struct Entry<'a> {
    path: &'a str,
    mode: u32,
    device: (u32, u32),
    data: &'a [u8],
}

impl Archive {
    /// Adds an executable file, and the directories that it is in.
    pub fn file(&mut self, path: &str, data: &[u8]) {
        self.add(path, FILE, (0, 0), data);
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.add(path, SYMLINK, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.add(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// Adds a directory, unless it is there.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_start_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
        self.directories.insert(path.to_owned());
        self.entry(&Entry {
            path,
            mode: DIRECTORY,
            device: (0, 0),
            data: &[],
        });
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(&Entry {
            path: "TRAILER!!!",
            mode: 0,
            device: (0, 0),
            data: &[],
        });
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        let path = path.trim_start_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
        self.entry(&Entry {
            path,
            mode,
            device,
            data,
        });
    }

    fn entry(&mut self, entry: &Entry) {
        self.inodes += 1;
        let size =
            u32::try_from(entry.data.len()).expect("no file of 4 GiB goes into an initramfs");
        let (major, minor) = entry.device;
        let fields = [
            self.inodes,
            entry.mode,
            0, // uid
            0, // gid
            1, // links
            0, // mtime
            size,
            0, // the archive's own device
            0,
            major,
            minor,
            entry.path.len() as u32 + 1,
            0, // checksum, of another format
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(entry.path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(entry.data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn parents_come_first_and_once() {
        let mut archive = Archive::default();
        archive.file("/a/b/one", b"1");
        archive.file("a/b/two", b"22");
        archive.symlink("/a/link", "b/one");
        archive.device("/dev/console", 5, 1);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        // Another's reader says what is in there.
        let mut cpio = Command::new("cpio")
            .args(["-itv", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the buildroot has cpio");
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = cpio.wait_with_output().unwrap();
        assert!(output.status.success());
        let listing = String::from_utf8(output.stdout).unwrap();
        let names: Vec<_> = listing
            .lines()
            .map(|line| {
                line.split_whitespace()
                    .skip(8)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(
            names,
            [
                "a",
                "a/b",
                "a/b/one",
                "a/b/two",
                "a/link -> b/one",
                "dev",
                "1970 dev/console"
            ]
        );
    }
}
