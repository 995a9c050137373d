// SPDX-License-Identifier: GPL-2.0
//! QEMU's command lines: for the machine that KVM runs in, and for the Xen guest inside it.

use crate::accel::Accel;
use crate::initramfs::Initramfs;
use crate::migratable;
use anyhow::{bail, Result};
use protocol::{GUEST_DISK, GUEST_LOG, GUEST_MONITOR, GUEST_QMP};
use std::path::Path;

/// QEMU, here and in the machine.
pub const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// What both kinds of machine have: nothing that isn't asked for.
const BARE: [&str; 10] = [
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-nic",
    "none",
    "-vga",
    "none",
    "-display",
    "none",
    "-action",
];

/// What QEMU in the machine reads at run time; the kernel is booted by the second.
const FIRMWARE: [&str; 3] = ["bios-256k.bin", "linuxboot_dma.bin", "kvmvapic.bin"];

/// Where Debian's QEMU looks for firmware.
const FIRMWARE_DIRS: [&str; 2] = ["/usr/share/qemu", "/usr/share/seabios"];

/// The machine that KVM runs in.
pub struct Machine<'a> {
    /// How it runs.
    pub accel: Accel,
    /// Processors.
    pub smp: u32,
    /// Memory.
    pub memory_mib: u32,
    /// The kernel, its first file system and its command line.
    pub kernel: &'a Path,
    pub initrd: &'a Path,
    pub append: &'a str,
    /// Where the kernel's console goes.
    pub console: &'a Path,
    /// Sockets that we hold the other ends of: events, QEMU's monitor, and a person's terminal.
    pub events: i32,
    pub monitor: i32,
    pub terminal: Option<i32>,
}

impl Machine<'_> {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<String> {
        let mut line: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["-name", "kvm-xen", "-M", "q35"]);
        // A copy of QEMU does not find them by its own place.
        FIRMWARE_DIRS.iter().for_each(|dir| add(&["-L", dir]));
        add(self.accel.arguments());
        add(&BARE);
        add(&["panic=exit-failure"]);
        add(&[
            "-smp",
            &self.smp.to_string(),
            "-m",
            &self.memory_mib.to_string(),
        ]);
        add(&["-kernel", &self.kernel.to_string_lossy()]);
        add(&["-initrd", &self.initrd.to_string_lossy()]);
        add(&["-append", self.append]);
        add(&["-serial", &format!("file:{}", self.console.display())]);
        add(&["-chardev", &format!("socket,id=events,fd={}", self.events)]);
        add(&["-serial", "chardev:events"]);
        add(&[
            "-chardev",
            &format!("socket,id=monitor,fd={}", self.monitor),
        ]);
        add(&["-mon", "chardev=monitor"]);
        if let Some(fd) = self.terminal {
            add(&["-chardev", &format!("socket,id=terminal,fd={fd}")]);
            add(&["-serial", "chardev:terminal"]);
        }
        line
    }
}

/// A Xen guest.
pub struct XenGuest<'a> {
    /// Processors.
    pub smp: u32,
    /// Its kernel, its first file system and its command line.
    pub kernel: &'a str,
    pub initrd: &'a str,
    pub append: &'a str,
    /// Whether it is told that its local APICs are virtual.
    pub has_vapic: bool,
}

impl XenGuest<'_> {
    /// QEMU and its arguments, with a paravirtual disk.
    pub fn arguments(&self) -> Vec<String> {
        let mut line = self.without_disk();
        line.extend(["-device", "xen-disk,drive=disk,vdev=xvda"].map(str::to_owned));
        line
    }

    /// The same with a virtio disk, and with QMP. Only copies of QEMU migrate it: see
    /// [`migratable`].
    pub fn migratable(&self) -> Vec<String> {
        let mut line = self.without_disk();
        let monitor = format!("unix:{GUEST_QMP},server=on,wait=off");
        let more = ["-device", "virtio-blk-pci,drive=disk", "-qmp", &monitor];
        line.extend(more.map(str::to_owned));
        line
    }

    fn without_disk(&self) -> Vec<String> {
        let mut line: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
        add(&[QEMU, "-name", "xen-guest", "-M", "pc"]);
        add(&["-accel", "kvm,xen-version=0x4000a,kernel-irqchip=split"]);
        let vapic = if self.has_vapic {
            "+xen-vapic"
        } else {
            "-xen-vapic"
        };
        add(&["-cpu", &format!("host,{vapic}")]);
        add(&BARE);
        add(&["panic=exit-failure"]);
        add(&["-smp", &self.smp.to_string(), "-m", "256"]);
        add(&[
            "-kernel",
            self.kernel,
            "-initrd",
            self.initrd,
            "-append",
            self.append,
        ]);
        add(&[
            "-drive",
            &format!("file={GUEST_DISK},if=none,id=disk,format=raw"),
        ]);
        add(&["-serial", &format!("file:{GUEST_LOG}")]);
        add(&["-serial", "stdio"]);
        add(&[
            "-monitor",
            &format!("unix:{GUEST_MONITOR},server=on,wait=off"),
        ]);
        line
    }
}

/// Adds QEMU to a machine, with all that it needs there.
pub fn add_to(initramfs: &mut Initramfs) -> Result<()> {
    initramfs.program(QEMU)?;
    for name in FIRMWARE {
        let candidates = FIRMWARE_DIRS.map(|dir| format!("{dir}/{name}"));
        let Some(path) = candidates.iter().find(|path| Path::new(path).exists()) else {
            bail!("QEMU's firmware {name} is missing: install qemu-system-data and seabios");
        };
        initramfs.file(path, Path::new(path))?;
    }
    Ok(())
}

/// The same with a QEMU that migrates Xen guests, where there can be one.
pub fn add_migratable_to(initramfs: &mut Initramfs) -> Result<()> {
    // What is there already isn't added again.
    initramfs.data(QEMU, &migratable::copy(Path::new(QEMU))?);
    add_to(initramfs)
}

/// A command line as a person would type it.
pub fn shell_words(program: &str, arguments: &[String]) -> String {
    let mut text = program.to_owned();
    for argument in arguments {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@".contains(c);
        // An option begins a line.
        text.push_str(if argument.starts_with('-') {
            " \\\n\t"
        } else {
            " "
        });
        if !argument.is_empty() && argument.chars().all(plain) {
            text.push_str(argument);
        } else {
            text.push_str(&format!("'{}'", argument.replace('\'', "'\\''")));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must() {
        let words = ["-append", "console=ttyS0 quiet", "it's", ""].map(str::to_owned);
        assert_eq!(
            shell_words("qemu", &words),
            "qemu \\\n\t-append 'console=ttyS0 quiet' 'it'\\''s' ''\n"
        );
    }

    #[test]
    fn serial_ports_are_in_order() {
        let machine = Machine {
            accel: Accel::Tcg,
            smp: 2,
            memory_mib: 1024,
            kernel: Path::new("/k"),
            initrd: Path::new("/i"),
            append: "quiet",
            console: Path::new("/log"),
            events: 5,
            monitor: 7,
            terminal: Some(6),
        };
        let arguments = machine.arguments();
        let ports: Vec<_> = arguments
            .windows(2)
            .filter(|pair| pair[0] == "-serial")
            .map(|pair| pair[1].as_str())
            .collect();
        assert_eq!(ports, ["file:/log", "chardev:events", "chardev:terminal"]);
        assert!(arguments.contains(&"socket,id=terminal,fd=6".to_owned()));
    }
}
