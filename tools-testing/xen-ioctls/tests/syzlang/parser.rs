// SPDX-License-Identifier: GPL-2.0
//! A part of syzlang, as much as the descriptions are written in, and the layouts that follow.

use std::collections::BTreeMap;

/// What a file describes.
#[derive(Debug, Default)]
pub struct Descriptions {
    /// Structures and unions, by name.
    pub types: BTreeMap<String, Type>,
    /// The sets of values that a field may have, by name.
    pub sets: BTreeMap<String, Vec<String>>,
    /// The calls: name, the constant of the command, direction and type of what the pointer is to.
    pub calls: Vec<Call>,
}

/// A call.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    pub command: String,
    pub direction: String,
    pub argument: String,
}

/// A structure or a union.
#[derive(Debug)]
pub struct Type {
    pub is_union: bool,
    pub fields: Vec<(String, String)>,
    /// `size[N]` and `align[N]`, where they are given.
    size: Option<usize>,
    align: Option<usize>,
}

/// Where something lies: its size, and what its address is a multiple of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub size: usize,
    pub align: usize,
}

/// `name[a, b[c], d]`: the name, and what is between the brackets, by commas outside of others.
pub fn split(text: &str) -> (&str, Vec<&str>) {
    let Some((name, inside)) = text.split_once('[') else {
        return (text, Vec::new());
    };
    let inside = inside.strip_suffix(']').expect("closed");
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(inside[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(inside[begin..].trim());
    (name, parts)
}

impl Descriptions {
    /// Reads a file, of which each line has to be of the part that is known here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut result = Self::default();
        let mut open: Option<(String, Type)> = None;
        for line in text.lines() {
            let line = line.trim_end();
            if let Some((name, mut item)) = open.take() {
                match line.chars().next() {
                    Some(']' | '}') => {
                        for attribute in split(&format!("a{}", line[1..].trim())).1 {
                            let (what, value) = split(attribute);
                            let value = value.first().and_then(|value| value.parse().ok());
                            match what {
                                "size" => item.size = value,
                                "align" => item.align = value,
                                _ => return Err(format!("{name}: {attribute}?")),
                            }
                        }
                        result.types.insert(name, item);
                        continue;
                    }
                    Some('\t') => {}
                    _ => return Err(format!("{name} is not closed: {line}")),
                }
                let (field, kind) = line.trim().split_once('\t').ok_or(line)?;
                let kind = kind.trim().trim_end_matches(")").trim();
                let kind = kind.rsplit_once("\t(").map_or(kind, |(kind, _)| kind);
                item.fields.push((field.to_owned(), kind.trim().to_owned()));
                open = Some((name, item));
            } else if let Some(call) = line.strip_prefix("ioctl$") {
                result.calls.push(Call::parse(call).ok_or(line)?);
            } else if let Some(name) = line.strip_suffix([' ', '[', '{']) {
                let item = Type {
                    is_union: line.ends_with('['),
                    fields: Vec::new(),
                    size: None,
                    align: None,
                };
                open = Some((name.trim().to_owned(), item));
            } else if let Some((name, values)) = line.split_once(" = ") {
                let values = values.split(", ").map(str::to_owned).collect();
                result.sets.insert(name.to_owned(), values);
            } else if !(line.is_empty() || line.starts_with('#') || line.starts_with("include <")) {
                return Err(line.to_owned());
            }
        }
        match open {
            None => Ok(result),
            Some((name, _)) => Err(format!("{name} is not closed")),
        }
    }

    /// The layout of a type, as C has it.
    pub fn layout(&self, kind: &str) -> Layout {
        let (name, options) = split(kind);
        let integer = |bits: &str| {
            let size = bits.parse::<usize>().expect("a number of bits") / 8;
            Layout { size, align: size }
        };
        match name {
            "const" | "flags" => self.layout(options[1]),
            "array" => {
                let of = self.layout(options[0]);
                let count: usize = options[1].parse().expect("a number");
                let size = of.size * count;
                Layout { size, ..of }
            }
            "vma64" => integer("64"),
            // Descriptors are `int32`.
            _ if name.starts_with("fd_") => integer("32"),
            _ => match (name.strip_prefix("int"), self.types.get(name)) {
                (Some(bits), None) => integer(bits),
                (_, Some(item)) => self.layout_of(item),
                _ => panic!("{name} is not described"),
            },
        }
    }

    fn layout_of(&self, item: &Type) -> Layout {
        let fields = self.fields(item);
        let end = fields
            .iter()
            .map(|(_, offset, layout)| offset + layout.size);
        let end = end.max().unwrap_or(0);
        let align = fields.iter().map(|(_, _, layout)| layout.align);
        let align = item.align.or(align.max()).unwrap_or(1);
        let size = end.next_multiple_of(align);
        // A structure may be made longer, and not shorter.
        let given = item.size.unwrap_or(size);
        assert!(given >= size, "{item:?} has {size} bytes");
        Layout { size: given, align }
    }

    /// The fields of a type, each with its offset and its layout.
    pub fn fields<'a>(&self, item: &'a Type) -> Vec<(&'a str, usize, Layout)> {
        let mut offset: usize = 0;
        let place = |(name, kind): &'a (String, String)| {
            let layout = self.layout(kind);
            let at = if item.is_union {
                0
            } else {
                offset.next_multiple_of(layout.align)
            };
            offset = at + layout.size;
            (name.as_str(), at, layout)
        };
        item.fields.iter().map(place).collect()
    }
}

impl Call {
    /// `NAME(fd fd_…, cmd const[NAME], arg ptr[direction, type])`.
    fn parse(text: &str) -> Option<Self> {
        let (name, arguments) = text.split_once('(')?;
        let arguments = arguments.strip_suffix(')')?;
        let (_, arguments) = arguments.split_once(", cmd ")?;
        let (command, pointer) = arguments.split_once(", arg ")?;
        let (("const", command), ("ptr", pointer)) = (split(command), split(pointer)) else {
            return None;
        };
        let ([command], [direction, argument]) = (&command[..], &pointer[..]) else {
            return None;
        };
        Some(Self {
            name: name.to_owned(),
            command: (*command).to_owned(),
            direction: (*direction).to_owned(),
            argument: (*argument).to_owned(),
        })
    }
}
