// SPDX-License-Identifier: GPL-2.0

//! Generated blocks.

use lockgraph::{doc::generate, tables::BLOCKS};

/// A document with all blocks, empty.
fn empty() -> String {
    let blocks = BLOCKS.iter().map(|(name, _)| {
        format!("About {name}.\n\n.. lockgraph: begin {name}\n.. lockgraph: end\n\n")
    });
    blocks.chain(["The end.\n".into()]).collect()
}

#[test]
fn blocks_are_filled_and_the_rest_is_left() {
    let text = generate(&empty()).unwrap();
    for (name, _) in BLOCKS {
        assert!(text.contains(&format!(
            "About {name}.\n\n.. lockgraph: begin {name}\n\n.. list-table::\n"
        )));
    }
    assert!(text.ends_with("\n.. lockgraph: end\n\nThe end.\n"));
    assert!(text.contains("``kvm->arch.xen.xen_lock``") && text.contains("``InKvmRun``"));
    assert!(text.contains("``kvm_lock_inside_srcu``") && text.contains("(T4)"));
}

#[test]
fn what_was_in_a_block_is_gone() {
    let stale = empty().replace(".. lockgraph: end", "Stale.\n\n.. lockgraph: end");
    assert_eq!(generate(&stale).unwrap(), generate(&empty()).unwrap());
}

#[test]
fn wrong_marks_are_told() {
    let (first, _) = BLOCKS[0];
    for (document, message) in [
        (
            String::new(),
            format!("there is no \".. lockgraph: begin {first}\""),
        ),
        (empty() + &empty(), "twice".into()),
        (
            empty().replace(first, "lvls"),
            "there is no such block".into(),
        ),
        (format!(".. lockgraph: begin {first}\n"), "has no".into()),
    ] {
        let error = generate(&document).unwrap_err().to_string();
        assert!(error.contains(&message), "{error}");
    }
}

/// Each row of a table has a cell for each column.
#[test]
fn tables_are_whole() {
    let text = generate(&empty()).unwrap();
    for table in text.split(".. list-table::").skip(1) {
        let widths = table
            .lines()
            .find_map(|line| line.trim().strip_prefix(":widths: "))
            .unwrap();
        let columns = widths.split(' ').count();
        let rows = table.matches("\n   * - ").count();
        let cells = table.matches("\n     - ").count();
        assert!(rows > 3);
        assert_eq!(cells, rows * (columns - 1));
    }
}

#[test]
fn the_document_is_current() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../Documentation/locking.rst"
    );
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        generate(&text).unwrap() == text,
        "locking.rst is stale: run `cargo run -p lockgraph`"
    );
}
