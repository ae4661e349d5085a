//! Makes the programs of a package images of Reveille, in one call by its build script:
//!
//! ```no_run
//! // build.rs
//! fn main() {
//!     reveille_build::image();
//! }
//! ```
//!
//! ```toml
//! # Cargo.toml
//! [dependencies]
//! reveille = "0.1"
//!
//! [build-dependencies]
//! reveille-build = "0.1"
//! ```
//!
//! Nothing is wanted in `.cargo/config.toml` but the target. What stands in `RUSTFLAGS` comes on top of what is done here, and takes nothing
//! from it.
//!
//! # What it does
//!
//! - All binaries, examples, tests and benchmarks of the package are linked by `reveille.ld`, with the arguments that the image needs.
//!   Both come from the very `reveille` that the package depends on, by the metadata of its build script: so they fit whatever version it is.
//! - The code of the package is compiled as the runtime is, with frame pointers ([`library`]).
//! - `entry!` learns that this was done, and for which `opt-level`: in a package whose build script does not call it, it does not compile,
//!   and says so. Stacks are larger in images that are built without optimisation.
//!
//! For targets that are not `aarch64-unknown-none-softfloat` or `aarch64-unknown-none` it does nothing, so tests of the same package may run on the
//! host.
//!
//! # Errors
//!
//! What is wrong with a build is one line that Cargo shows, and ends it.

#![cfg_attr(target_os = "none", no_std)]
#![allow(clippy::needless_doctest_main, reason = "a build script has its `main`")]

// Where images run there is nothing of it: whoever builds all packages for such a target finds an empty one.
#[cfg(not(target_os = "none"))]
mod image;
#[cfg(not(target_os = "none"))]
pub use image::{Image, image, library, runtime};
