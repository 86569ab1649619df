//! Builds anew when a migration is added: the macro that embeds them sees the files that there were, not the folder.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
