//! Rebuilds the crate when a migration changes: the embedding macro does not see new files by itself.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
