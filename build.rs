//! Tells the linker where `reveille.ld` lies, for the images of this package and of those that depend on it.

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-search=native={root}/linker");
    println!("cargo::rerun-if-changed=linker/reveille.ld");
}
