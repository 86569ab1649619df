//! The documentation names what exists.

use std::{fs, path::Path};

/// `docs/rfc8555.md` names items as `file#item`, below `crates/`.
#[test]
fn every_item_that_the_rfc_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("docs/rfc8555.md")).unwrap();
    let items: Vec<&str> = table.split('`').filter(|code| code.contains(".rs#")).collect();
    assert!(items.len() > 40, "the table names items");

    let missing: Vec<&str> = items.into_iter().filter(|item| !exists(&root, item)).collect();

    assert!(missing.is_empty(), "these items are named and do not exist: {missing:#?}");
}

fn exists(root: &Path, item: &str) -> bool {
    let (file, name) = item.split_once('#').unwrap();
    let Ok(source) = fs::read_to_string(root.join("crates").join(file)) else { return false };
    let kinds = ["fn", "struct", "enum", "trait", "const", "mod"];
    // A macro that defines an item names it, too.
    kinds.iter().any(|kind| defines(&source, kind, name))
}

fn defines(source: &str, kind: &str, name: &str) -> bool {
    let definition = format!("{kind} {name}");
    source.match_indices(&definition).any(|(at, _)| {
        let after = source[at + definition.len()..].chars().next();
        after.is_none_or(|next| !next.is_alphanumeric() && next != '_')
    })
}
