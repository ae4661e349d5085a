//! Tests that end in every way in which one can.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use reveille::{ExitCode, System, power, print, println};

reveille::tests!();

#[reveille::test]
fn passes() {
    println!("said by what passes");
}

#[reveille::test]
fn passes_in_the_middle_of_a_line(system: &'static System) -> Result<(), &'static str> {
    print!("no end of this line");
    system.arg("reveille.test").map(|_| ()).ok_or("nobody asked for this test")
}

mod fails {
    use super::*;

    #[reveille::test]
    fn by_a_code() -> ExitCode {
        ExitCode::from(7)
    }

    #[reveille::test]
    fn by_an_error() -> Result<(), &'static str> {
        Err("it did not work")
    }

    #[reveille::test]
    fn by_a_panic() {
        assert_eq!(1 + 1, 3, "so it is not");
    }

    #[reveille::test(cpus = 2)]
    fn by_a_panic_elsewhere() {
        let other = reveille::cpu::get(1).expect("there are two");
        let _ = reveille::call::on(other, || panic!("on another CPU"));
    }

    #[reveille::test(timeout = 6)]
    fn by_hanging() {
        println!("said before it hangs");
        loop {
            core::hint::spin_loop();
        }
    }

    /// The end of the machine is no verdict.
    #[reveille::test]
    fn by_ending_the_machine() {
        println!("test fails::by_ending_the_machine ... ok");
        power::exit(ExitCode::SUCCESS);
    }

    /// Nor is the code of a panic a panic.
    #[reveille::test]
    #[should_panic]
    fn by_the_code_of_a_panic() {
        power::exit(ExitCode::from(101));
    }

    #[reveille::test(should_panic)]
    fn by_not_panicking() {}

    #[reveille::test(should_panic = "something else")]
    fn by_panicking_otherwise() {
        panic!("this");
    }
}

mod panics {
    #[reveille::test(should_panic = "as it should")]
    fn with_a_text() {
        panic!("as\nit should: {}", "as it should");
    }

    #[reveille::test]
    #[should_panic(expected = "stack overflow")]
    fn by_an_exception() {
        #[expect(unconditional_recursion, reason = "that is what it is for")]
        fn deeper(number: u64) -> u64 {
            core::hint::black_box(deeper(core::hint::black_box(number + 1)) + number)
        }
        core::hint::black_box(deeper(0));
    }
}

mod ignored {
    #[reveille::test(ignore = "nobody has time for it")]
    fn with_a_reason() {}

    #[reveille::test]
    #[ignore]
    fn without() {
        panic!("it was asked for");
    }
}
