// SPDX-License-Identifier: GPL-2.0
//! Unified diffs of files that are there or are new, as `git diff` writes them: applied as they are,
//! though lines above them may have come or gone.

use anyhow::{bail, Context, Result};
use std::fs;
use std::path::Path;

/// The changes of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// The file.
    pub path: String,
    /// Whether it is not there before.
    pub is_new: bool,
    hunks: Vec<Hunk>,
}

/// Some lines in place of others.
#[derive(Debug, PartialEq, Eq)]
struct Hunk {
    /// Where the old ones are, counted from 0, in the file that the diff is of.
    start: usize,
    old: Vec<String>,
    new: Vec<String>,
}

/// The changes of all files, from the text of a mail.
pub fn parse(mail: &str) -> Result<Vec<FileDiff>> {
    let mut files: Vec<FileDiff> = Vec::new();
    let mut lines = mail.lines();
    let mut is_new = false;
    while let Some(line) = lines.next() {
        if let Some(path) = line.strip_prefix("+++ ") {
            let path = path
                .strip_prefix("b/")
                .with_context(|| format!("{line}: no file by b/…"))?;
            files.push(FileDiff {
                path: path.to_owned(),
                is_new,
                hunks: Vec::new(),
            });
        } else if let Some(path) = line.strip_prefix("--- ") {
            is_new = path == "/dev/null";
        } else if let Some(numbers) = line.strip_prefix("@@ ") {
            let hunk = Hunk::parse(numbers, &mut lines).with_context(|| line.to_owned())?;
            let file = files.last_mut().context("a hunk of no file")?;
            file.hunks.push(hunk);
        }
    }
    if files.iter().any(|file| file.hunks.is_empty()) || files.is_empty() {
        bail!("a diff without changes");
    }
    Ok(files)
}

impl Hunk {
    /// From `-1,2 +3,4 @@ …` and the lines behind it.
    fn parse<'a>(numbers: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut ranges = numbers.split(' ');
        let mut range = |sign: char| -> Result<(usize, usize)> {
            let range = ranges.next().and_then(|range| range.strip_prefix(sign));
            let range = range.context("no lines by number")?;
            let (start, count) = range.split_once(',').unwrap_or((range, "1"));
            Ok((start.parse()?, count.parse()?))
        };
        let ((start, old_count), (_, new_count)) = (range('-')?, range('+')?);
        let (mut old, mut new) = (Vec::new(), Vec::new());
        while old.len() < old_count || new.len() < new_count {
            let line = lines.next().context("it is cut off")?;
            let (kind, text) = line.split_at_checked(1).unwrap_or((" ", ""));
            let text = text.to_owned();
            match kind {
                " " => {
                    old.push(text.clone());
                    new.push(text);
                }
                "-" => old.push(text),
                "+" => new.push(text),
                _ => bail!("no line of a diff: {line}"),
            }
        }
        if (old.len(), new.len()) != (old_count, new_count) {
            bail!("it has other numbers of lines than it says");
        }
        Ok(Hunk {
            start: start.saturating_sub(1),
            old,
            new,
        })
    }
}

impl FileDiff {
    /// The text of the file in a tree without the changes.
    ///
    /// # Errors
    ///
    /// It can't be read, or is there already.
    pub fn read(&self, tree: &Path) -> Result<String> {
        let path = tree.join(&self.path);
        match self.is_new {
            true if path.exists() => bail!("{} is there already", self.path),
            true => Ok(String::new()),
            false => fs::read_to_string(&path).with_context(|| path.display().to_string()),
        }
    }

    /// The text of the file with the changes.
    ///
    /// # Errors
    ///
    /// The first change whose lines are not there.
    pub fn apply(&self, text: &str) -> Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let mut out: Vec<&str> = Vec::new();
        let mut done = 0;
        let mut offset = 0_isize;
        for hunk in &self.hunks {
            let wanted = hunk.start.saturating_add_signed(offset);
            let at = hunk.find(&lines, done, wanted).with_context(|| {
                format!("{}: the lines at {} are others", self.path, hunk.start + 1)
            })?;
            out.extend(&lines[done..at]);
            out.extend(hunk.new.iter().map(String::as_str));
            done = at + hunk.old.len();
            offset = at as isize - hunk.start as isize;
        }
        out.extend(&lines[done..]);
        Ok(out.join("\n") + "\n")
    }
}

impl Hunk {
    /// Where its old lines are, nearest to `wanted`, and not before `from`.
    fn find(&self, lines: &[&str], from: usize, wanted: usize) -> Option<usize> {
        let last = lines.len().checked_sub(self.old.len())?;
        let is_here = |at: &usize| {
            let there = &lines[*at..*at + self.old.len()];
            there.iter().zip(&self.old).all(|(line, old)| line == old)
        };
        let places = (from..=last).filter(is_here);
        places.min_by_key(|at| at.abs_diff(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "Subject: x\n\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n\
        @@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -6,2 +6,3 @@ x()\n f\n+F\n g\n";
    const TEXT: &str = "a\nb\nc\nd\ne\nf\ng\n";

    fn applied(text: &str) -> Result<String> {
        parse(MAIL).unwrap()[0].apply(text)
    }

    #[test]
    fn lines_are_changed() {
        assert_eq!(parse(MAIL).unwrap()[0].path, "f");
        assert_eq!(applied(TEXT).unwrap(), "a\nB\nc\nd\ne\nf\nF\ng\n");
    }

    #[test]
    fn lines_may_have_moved() {
        let moved = format!("0\n0\n{TEXT}");
        assert_eq!(applied(&moved).unwrap(), "0\n0\na\nB\nc\nd\ne\nf\nF\ng\n");
        // Of two places the nearer one.
        let twice = format!("{TEXT}{TEXT}");
        assert_eq!(
            applied(&twice).unwrap(),
            format!("a\nB\nc\nd\ne\nf\nF\ng\n{TEXT}")
        );
    }

    #[test]
    fn other_lines_are_refused_with_their_place() {
        let error = applied(&TEXT.replace('g', "h")).unwrap_err();
        assert_eq!(error.to_string(), "f: the lines at 6 are others");
        assert!(applied(&TEXT.replace('c', " c")).is_err());
        assert!(applied("").is_err());
    }

    #[test]
    fn a_file_may_be_new() {
        let mail = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n--- /dev/null\n+++ b/g\n\
            @@ -0,0 +1,2 @@\n+a\n+b\n";
        let files = parse(mail).unwrap();
        assert!(!files[0].is_new && files[1].is_new);
        let directory = tempfile::tempdir().unwrap();
        let text = files[1].read(directory.path()).unwrap();
        assert_eq!(files[1].apply(&text).unwrap(), "a\nb\n");
        fs::write(directory.path().join("g"), "a\n").unwrap();
        assert!(files[1].read(directory.path()).is_err());
    }

    #[test]
    fn what_is_no_diff_is_refused() {
        for (part, by) in [
            ("@@ -1,3 +1,3 @@\n", "@@ -1,4 +1,3 @@\n"),
            ("-b\n", "*b\n"),
            ("+++ b/f", "+++ f"),
            (" g\n", ""),
            ("-1,3", "-x,3"),
        ] {
            assert!(parse(&MAIL.replace(part, by)).is_err(), "{part}");
        }
        assert!(parse("no diff\n").is_err());
    }
}
