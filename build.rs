//! Says how images are linked, to those of this package and of those that depend on it (`reveille_build::image`); and to the code whether it
//! is built without optimisation, since frames are larger then, and whether it is to know a UART from its first instruction on.

use std::path::Path;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    reveille_build::runtime(include_str!("linker/arguments"), &Path::new(&root).join("linker/reveille.ld"));
    println!("cargo::rustc-check-cfg=cfg(unoptimised)");
    if std::env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        println!("cargo::rustc-cfg=unoptimised");
    }
    println!("cargo::rustc-check-cfg=cfg(earlycon)");
    println!("cargo::rerun-if-env-changed=REVEILLE_EARLYCON");
    if std::env::var("REVEILLE_EARLYCON").is_ok_and(|text| !text.is_empty()) {
        println!("cargo::rustc-cfg=earlycon");
    }
}
