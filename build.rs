//! Tells the linker where `reveille.ld` lies, for the images of this package and of those that depend on it; and the code whether it
//! is built without optimisation, since frames are larger then, and whether it is to know a UART from its first instruction on.

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-search=native={root}/linker");
    println!("cargo::rerun-if-changed=linker/reveille.ld");
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
