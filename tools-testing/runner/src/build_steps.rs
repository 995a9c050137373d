// SPDX-License-Identifier: GPL-2.0
//! Building what a machine needs: our module, and the programs of the workspace.

use crate::children::Running;
use crate::paths::{Kernel, Paths};
use anyhow::{anyhow, bail, Context, Result};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// The end of a program that was run for its output.
pub struct Output {
    /// Whether it succeeded.
    pub ok: bool,
    /// Standard output and error, in order.
    pub lines: Vec<String>,
}

impl Output {
    /// The last lines, for a message.
    pub fn tail(&self, count: usize) -> Vec<String> {
        self.lines[self.lines.len().saturating_sub(count)..].to_vec()
    }
}

/// Runs a program to its end. `each` sees each line as it comes; all of it is kept in `log`.
pub fn run(command: &mut Command, log: &Path, mut each: impl FnMut(&str)) -> Result<Output> {
    let (reader, writer) = nix::unistd::pipe()?;
    let mut running = Running::start(
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer),
    )?;
    // The command holds the pipe's other end, too, and would keep us reading.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = Vec::new();
    let mut reader = BufReader::new(fs::File::from(reader));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        each(&text);
        lines.push(text);
        line.clear();
    }
    let ok = running.child().wait()?.success();
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    fs::write(log, lines.join("\n") + "\n").with_context(|| log.display().to_string())?;
    Ok(Output { ok, lines })
}

/// What a program prints on its standard output, when it ends well.
pub fn stdout(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Copies files and directories of `from` to `to`. What is there and the same keeps its time, so that
/// what was built of it is used again; what a directory has not any more goes.
pub fn copy(from: &Path, parts: &[&str], to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    let how = [
        "--recursive",
        "--links",
        "--perms",
        "--checksum",
        "--delete",
    ];
    let copied = Command::new("rsync")
        .args(how)
        .args(parts)
        .arg(to)
        .current_dir(from)
        .status()
        .context("starting rsync")?;
    if !copied.success() {
        bail!("rsync has not copied to {}", to.display());
    }
    Ok(())
}

/// `make`, as it is where nobody has called it from another one.
pub fn bare_make() -> Command {
    let mut command = Command::new("make");
    // We are run by make ourselves, whose flags are not meant for this one.
    let flags = ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"];
    flags.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// `make` in the clone, against that kernel's source.
pub fn make(paths: &Paths, kernel: &Kernel, arguments: &[&str]) -> Command {
    let mut command = bare_make();
    command
        .arg("-C")
        .arg(&paths.source)
        .arg(format!("KDIR={}", kernel.source().display()))
        .args(kernel.kvm_ko().map(|ko| format!("KVM_KO={}", ko.display())))
        .args(kernel.is_debug().then_some("LLVM=1"))
        // Which kernels are booted was decided when they were chosen.
        .arg("UNREVIEWED=1")
        .args(arguments);
    command
}

/// Has `make` build a target with its objects in that directory.
fn make_in(
    paths: &Paths,
    kernel: &Kernel,
    arguments: &[&str],
    objects: &Path,
    each: impl FnMut(&str),
) -> Result<()> {
    let name = objects.file_name().unwrap_or_default().to_string_lossy();
    let log = paths.logs.join(format!("host/{name}-build.log"));
    let mut make = make(paths, kernel, arguments);
    make.arg(format!("MO={}", objects.display()));
    let output = run(&mut make, &log, each)?;
    if !output.ok {
        let target = arguments.join(" ");
        bail!("make {target} failed:\n{}", output.tail(30).join("\n"));
    }
    Ok(())
}

/// Builds the modules that make mistakes with locks for that kernel; returns where they are.
pub fn samples(paths: &Paths, kernel: &Kernel) -> Result<PathBuf> {
    let objects = paths.objects("samples", kernel);
    make_in(paths, kernel, &["samples"], &objects, |_| {})?;
    Ok(objects)
}

/// Builds the livepatch that changes nothing for that kernel.
pub fn detour(paths: &Paths, kernel: &Kernel) -> Result<PathBuf> {
    let objects = paths.source.join("build/detour");
    make_in(paths, kernel, &["detour"], &objects, |_| {})?;
    Ok(objects.join("kvm_xen_detour.ko"))
}

/// Builds selftests of upstream's, static, of that kernel's source; returns where they are.
pub fn upstream(paths: &Paths, kernel: &Kernel, tests: &[&str]) -> Result<PathBuf> {
    let log = paths.logs.join("host/upstream-build.log");
    let objects = paths.objects("upstream", kernel);
    fs::create_dir_all(&objects).with_context(|| objects.display().to_string())?;
    let mut make = bare_make();
    make.arg("-C")
        .arg(kernel.source().join("tools/testing/selftests/kvm"))
        // As in buildroot/kernel.sh.
        .args(["USERLDFLAGS=-static", "LIBVFIO_O=", "LDLIBS=-ldl"])
        .arg(format!("OUTPUT={}", objects.display()))
        .args(tests.iter().map(|test| objects.join(test)));
    let output = run(&mut make, &log, |_| {})?;
    if !output.ok {
        bail!(
            "upstream's tests don't build:\n{}",
            output.tail(30).join("\n")
        );
    }
    Ok(objects)
}

/// Builds our module for that kernel.
pub fn module(paths: &Paths, kernel: &Kernel, each: impl FnMut(&str)) -> Result<PathBuf> {
    module_in(paths, kernel, &paths.objects("module", kernel), &[], each)
}

/// As [`module`], with its objects in a directory of their own, and what else is to be told `make`.
pub fn module_in(
    paths: &Paths,
    kernel: &Kernel,
    objects: &Path,
    more: &[&str],
    each: impl FnMut(&str),
) -> Result<PathBuf> {
    make_in(paths, kernel, &[&["modules"], more].concat(), objects, each)?;
    let module = objects.join("kvm_xen_rs.ko");
    if !module.exists() {
        bail!("make modules has not made {}", module.display());
    }
    Ok(module)
}

/// Packs a module that was built, for Debian; returns the package.
pub fn package(paths: &Paths, module: &Path) -> Result<PathBuf> {
    let directory = module.parent().context("a module is in a directory")?;
    let mut pack = Command::new(paths.workspace().join("deb/pack"));
    let path = stdout(pack.arg(module).arg(directory))?;
    Ok(PathBuf::from(path.trim()))
}

/// What that kernel has of what kernels differ in, by the names that the module is built with.
pub fn differences(paths: &Paths, kernel: &Kernel) -> Result<Vec<String>> {
    let mut differences = Command::new(paths.source.join("rust/kernels/differences"));
    let names = stdout(differences.arg(kernel.source()))?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// `cargo` in the workspace.
pub fn cargo(paths: &Paths, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .current_dir(paths.workspace())
        .env("CARGO_TARGET_DIR", &paths.target)
        .env("CARGO_TERM_COLOR", "never")
        // `run` has fetched all there is to fetch.
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("MAKEFLAGS");
    command
}

/// Builds programs that machines run, from these crates; returns where each one is, by its name.
pub fn programs(
    paths: &Paths,
    crates: &[&str],
    mut each: impl FnMut(&str),
) -> Result<HashMap<String, PathBuf>> {
    let mut command = cargo(paths, &["build", "--release", "--locked"]);
    crates.iter().for_each(|name| {
        command.args(["-p", name]);
    });
    command.arg("--message-format=json-render-diagnostics");
    let mut running = Running::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    let mut stderr = running.child().stderr.take().context("stderr is piped")?;
    let errors = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let stdout = running.child().stdout.take().context("stdout is piped")?;
    let mut found = HashMap::new();
    for line in BufReader::new(stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(&line?)?;
        if let Some(name) = message["target"]["name"].as_str() {
            each(name);
            if let Some(path) = message["executable"].as_str() {
                found.insert(name.to_owned(), PathBuf::from(path));
            }
        }
    }
    let ok = running.child().wait()?.success();
    let errors = errors
        .join()
        .map_err(|_| anyhow!("reading cargo's messages"))?;
    if !ok {
        bail!("cargo build failed:\n{}", errors.trim());
    }
    Ok(found)
}
