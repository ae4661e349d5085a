//! Firmware is linked as images are, and is none: no runtime says how, so this does.

fn main() {
    let linker = format!(
        "{}/../../linker",
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR")
    );
    println!("cargo::rerun-if-changed=../../linker");
    for argument in include_str!("../../linker/arguments").split_whitespace() {
        println!("cargo::rustc-link-arg={argument}");
    }
    println!("cargo::rustc-link-arg=-T{linker}/reveille.ld");
}
