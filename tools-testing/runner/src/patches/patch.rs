// SPDX-License-Identifier: GPL-2.0
//! A patch of samples/upstream or samples/proposals: a mail with a diff, and between the two, after a
//! line `---`, what we have to know of it.

use super::diff::{self, FileDiff};
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What a list begins with that has nothing in it, and then says why.
const NONE: &str = "none";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Its file's name, without `.patch`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it is called, without `[PATCH]`.
    pub subject: String,
    /// The heading in c-bugs.rst of what it is for, if it has one.
    pub bug: Option<String>,
    /// What shows the bug, by the names of `kvm-xen-repro`.
    pub reproducers: Vec<String>,
    /// Why there are none, where that is so.
    pub without: Option<String>,
    /// The series of Linux that need it: `7.3`.
    pub series: Vec<String>,
    /// What it costs.
    pub cost: String,
    /// The files that it changes.
    pub files: Vec<String>,
}

impl Patch {
    /// From its file.
    fn read(path: &Path) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&name, path, &text).with_context(|| path.display().to_string())
    }

    fn parse(name: &str, path: &Path, text: &str) -> Result<Self> {
        let (log, rest) = text
            .split_once("\n---\n")
            .context("no line of --- behind the changelog")?;
        let (notes, diff) = rest.split_once("\ndiff ").context("no diff in it")?;
        let field = |of: &str, field: &str| -> Result<String> {
            let mut lines = of.lines();
            let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
            let value = value.map(str::trim).filter(|value| !value.is_empty());
            Ok(value
                .with_context(|| format!("no line \"{field}: …\""))?
                .to_owned())
        };
        let subject = field(log, "Subject")?;
        let reproducer = field(notes, "Reproducer")?;
        let without = reproducer.strip_prefix(NONE).map(|why| {
            let why = why.trim_start_matches([',', ' ']);
            why.to_owned()
        });
        let words = |value: &str| value.split_whitespace().map(str::to_owned).collect();
        let files = diff.lines().filter_map(|line| line.strip_prefix("+++ b/"));
        let files: Vec<String> = files.map(str::to_owned).collect();
        if files.is_empty() {
            bail!("its diff names no file by +++ b/…");
        }
        Ok(Patch {
            name: name.to_owned(),
            path: path.to_owned(),
            subject: subject.trim_start_matches("[PATCH] ").to_owned(),
            bug: Some(field(notes, "Bug")?).filter(|bug| bug != NONE),
            reproducers: match without {
                Some(_) => Vec::new(),
                None => words(&reproducer),
            },
            without,
            series: words(&field(notes, "Series")?),
            cost: field(notes, "Cost")?,
            files,
        })
    }

    /// Its changes.
    pub fn diffs(&self) -> Result<Vec<FileDiff>> {
        let text = fs::read_to_string(&self.path);
        let text = text.with_context(|| self.path.display().to_string())?;
        diff::parse(&text).with_context(|| self.path.display().to_string())
    }

    /// Whether a kernel with it is another one.
    pub fn is_code(&self) -> bool {
        self.files
            .iter()
            .any(|file| !file.starts_with("Documentation/"))
    }
}

/// All of a directory of the clone, by name.
pub fn all(source: &Path, directory: &str) -> Result<Vec<Patch>> {
    let directory = source.join(directory);
    let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut patches = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "patch")
        {
            patches.push(Patch::read(&path)?);
        }
    }
    patches.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(patches)
}

/// Those of these names; no name is all.
pub fn named(mut patches: Vec<Patch>, names: &[String]) -> Result<Vec<Patch>> {
    for name in names {
        if !patches.iter().any(|patch| patch.name == *name) {
            let all: Vec<_> = patches.iter().map(|patch| patch.name.as_str()).collect();
            bail!("there is no {name}.patch; there are {}", all.join(", "));
        }
    }
    patches.retain(|patch| names.is_empty() || names.contains(&patch.name));
    Ok(patches)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const TEXT: &str = "From: a <b@c>\nSubject: [PATCH] KVM: do it\n\nWhy: so.\n---\n\
        Bug: A thing\nReproducer: one two\nSeries: 7.2 7.3\nCost: a word\n\n 1 file changed\n\n\
        diff --git a/x/y.c b/x/y.c\n--- a/x/y.c\n+++ b/x/y.c\n@@ -1 +1 @@\n-a\n+b\n";

    fn parse(text: &str) -> Result<Patch> {
        Patch::parse("do-it", Path::new("do-it.patch"), text)
    }

    /// A patch for the tests of others.
    pub fn patch() -> Patch {
        parse(TEXT).unwrap()
    }

    #[test]
    fn what_a_patch_says_of_itself() {
        let patch = patch();
        assert_eq!(patch.subject, "KVM: do it");
        assert_eq!(patch.bug.as_deref(), Some("A thing"));
        assert_eq!(patch.reproducers, ["one", "two"]);
        assert_eq!(
            (patch.series, patch.files),
            (vec!["7.2".into(), "7.3".into()], vec!["x/y.c".to_owned()])
        );
        assert_eq!((patch.cost.as_str(), patch.without), ("a word", None));
    }

    #[test]
    fn what_has_no_reproducer_says_why() {
        let patch = parse(&TEXT.replace("one two", "none, by reading")).unwrap();
        assert_eq!(patch.reproducers, [""; 0]);
        assert_eq!(patch.without.as_deref(), Some("by reading"));
        assert_eq!(parse(&TEXT.replace("A thing", "none")).unwrap().bug, None);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (part, by) in [
            ("Series: ", "Series"),
            ("Cost: a word", "Cost"),
            ("\n---\n", "---"),
            ("+++ b/", "+++ b/"),
            ("[PATCH] KVM: do it", "Subject"),
        ] {
            let error = parse(&TEXT.replacen(part, "", 1)).unwrap_err();
            assert!(format!("{error:#}").contains(by), "{part:?}: {error:#}");
        }
    }

    #[test]
    fn documentation_is_no_code() {
        assert!(patch().is_code());
        let text = TEXT.replace("x/y.c", "Documentation/y.rst");
        assert!(!parse(&text).unwrap().is_code());
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let names = |name: &str| named(vec![patch()], &[name.to_owned()]);
        assert_eq!(names("do-it").unwrap().len(), 1);
        assert!(names("do")
            .unwrap_err()
            .to_string()
            .contains("there are do-it"));
        assert_eq!(named(vec![patch()], &[]).unwrap().len(), 1);
    }
}
