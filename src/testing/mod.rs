//! Tests of the application's own, which `cargo test` runs on the machine. With the feature `test`.
//!
//! A test is a function with the attribute [`test`](macro@test), and [`tests!`](crate::tests!) makes the program that has them an image. Each begins on
//! the CPU that booted, in thread context, with all other CPUs online. It fails if the machine panics, whichever CPU did, or if it [returns](Returned) that it has.
//!
//! ```toml
//! # Cargo.toml
//! [dev-dependencies]
//! reveille = { version = "0.1", features = ["test"] }
//!
//! [[test]]
//! name = "calls"
//! harness = false
//! ```
//!
//! ```no_run
//! // tests/calls.rs
//! #![no_std]
//! #![no_main]
//!
//! reveille::tests!();
//!
//! #[reveille::test(cpus = 8)]
//! fn all_answer() {
//!     let answers = reveille::cpu::online().iter().filter(|cpu| reveille::call::on(*cpu, || ()).is_ok());
//!     assert_eq!(answers.count(), reveille::cpu::online().len());
//! }
//! ```
//!
//! The runner boots one machine for each test, and tells the image which by the bootarg `reveille.test=NAME`, several names separated by commas. Without
//! that an image runs all of its tests, one after the other, as far as they suit the machine: for a board that no runner reaches.

mod harness;
mod record;
mod returned;

pub use harness::main;
pub use record::{Test, bytes};
pub use returned::Returned;
/// Makes a function a test that runs on the machine, when its program is built with `cfg(test)`. It takes nothing or a `&'static System`, and returns what is
/// [`Returned`].
///
/// | key | what it says | otherwise |
/// |---|---|---|
/// | `cpus = N` | the machine has to have so many CPUs, or more | as many as the runner's machines have |
/// | `gic = 2`, `3` | it has to have a GICv2, or a GICv3 | either |
/// | `el = 1`, `2`, `3` | the image has to be entered at this exception level | at any |
/// | `up = false` | all CPUs but the first are off as it begins | they are online, or the test fails |
/// | `should_panic`, `should_panic = "text"` | passes if the machine panics, and its report has this text in it; with an exception that nothing handles, too | a panic is a failure |
/// | `ignore`, `ignore = "why"` | runs only when it is asked for | it runs |
/// | `timeout = S` | fails if it takes longer than so many seconds, the boot included | the runner's limit |
///
/// `#[should_panic]`, `#[should_panic(expected = "text")]` and `#[ignore]` beside it say the same. A machine that is not as a test wants it is never a failure: the test
/// is then ignored, and it is said why.
///
/// ```no_run
/// use reveille::{System, bringup, cpu};
///
/// #[reveille::test(cpus = 2, up = false)]
/// fn the_second_comes(system: &'static System) -> Result<(), &'static str> {
///     let second = cpu::get(1).ok_or("there is no second CPU")?;
///     let verdict = bringup::cpu_up(second, system.deadline());
///     if cpu::is_online(second) { Ok(()) } else { Err("it did not come") }
/// }
///
/// #[reveille::test(should_panic = "out of range")]
/// fn there_is_no_fourth() {
///     let of_three = [1, 2, 3];
///     let _ = of_three[core::hint::black_box(4)..];
/// }
/// ```
pub use reveille_macros::test;

/// Makes a program of tests an image: what [`entry!`](crate::entry) is to others, with the same keys.
///
/// Besides, `setup = f` names a `fn(&'static System)`, which is called once as the image begins, while all CPUs but the first are off.
///
/// In a library or a program that has tests beside its code it stands at the root, behind `#[cfg(test)]`.
///
/// ```no_run
/// use reveille::System;
/// use reveille::cpu::Stacks;
///
/// reveille::tests!(setup = prepare, stacks = Stacks { thread: 64 * 1024, exception: 16 * 1024 });
///
/// fn prepare(system: &'static System) {
///     reveille::println!("started with '{}'", system.bootargs());
/// }
/// ```
#[macro_export]
macro_rules! tests {
    // What is not `setup` goes to `entry!`, token by token.
    (@keys [] [$($others:tt)*] setup = $setup:path $(, $($keys:tt)*)?) => {
        $crate::tests!(@keys [$setup] [$($others)*] $($($keys)*)?);
    };
    (@keys [$($setup:path)?] [$($others:tt)*] setup $($keys:tt)*) => {
        ::core::compile_error!("tests!: the key `setup` has no value, or is there twice");
    };
    (@keys $setup:tt [$($others:tt)*] $token:tt $($keys:tt)*) => {
        $crate::tests!(@keys $setup [$($others)* $token] $($keys)*);
    };
    (@keys [$($setup:path)?] [$($others:tt)*]) => {
        $crate::entry!(__reveille_tests, $($others)*);

        // An empty record: so that the section is there where no test is.
        #[used]
        #[unsafe(link_section = ".reveille_tests")]
        static __REVEILLE_TESTS: ::core::primitive::u8 = 0;

        fn __reveille_tests(system: &'static $crate::System) -> $crate::ExitCode {
            let setup: &[fn(&'static $crate::System)] = &[$($setup)?];
            $crate::testing::main(system, setup.first().copied())
        }
    };
    ($($keys:tt)*) => {
        $crate::tests!(@keys [] [] $($keys)*);
    };
}

/// Puts a test down: what it wants where the runner reads it, and where it is found by the image. `record.rs` reads it again.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ($name:literal [$($fields:tt)*] { $run:expr }) => {
        const _: () = {
            const RECORD: &::core::primitive::str =
                ::core::concat!(::core::module_path!(), "::", $name, $($fields)* "\0");
            #[used]
            #[unsafe(link_section = ".reveille_tests")]
            static TEXT: [::core::primitive::u8; RECORD.len()] = $crate::testing::bytes(RECORD);
            #[used]
            #[unsafe(link_section = ".reveille_tests.list")]
            static TEST: $crate::testing::Test = $crate::testing::Test::new(&TEXT, $run);
        };
    };
}
