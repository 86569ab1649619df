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

/// `docs/storage.md` says in a table which methods a backend has to write.
#[test]
fn every_method_of_the_storage_traits_is_in_the_table_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/storage.md")).unwrap();
    let sources = root.join("crates/coyote-storage/src");
    let sources =
        fs::read_dir(sources).unwrap().filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());

    let mut traits = 0;
    for source in sources {
        for (name, body) in
            source.split("#[async_trait]\npub trait ").skip(1).filter_map(|rest| rest.split_once(':'))
        {
            let body = body.split("\n}\n").next().unwrap();
            let methods: Vec<_> =
                body.split("    async fn ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
            let row = page.lines().find(|line| line.contains(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("{name} is not in the table"));
            let listed = row.rsplit('|').nth(1).unwrap().split('`').filter(|text| !text.trim().is_empty());
            assert_eq!(listed.collect::<Vec<_>>(), methods, "{name}");
            traits += 1;
        }
    }
    assert_eq!(traits, 12);
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
