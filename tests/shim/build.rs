//! Tells the linker where the script lies that all images of the workspace are linked with.

fn main() {
    let own = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-search=native={own}/../../linker");
    println!("cargo::rerun-if-changed=../../linker/reveille.ld");
}
