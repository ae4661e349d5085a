//! What is no test, or none as it stands there. Built by the case `harness/refusals` alone, which wants each of these sentences where it stands.

#![no_std]
#![no_main]

reveille::tests!();

#[cfg(wrong = "attributes")]
mod attributes {
    #[reveille::test(cpu = 2)] //~ `cpu` is not one of `cpus = N`,
    fn unknown() {}
    #[reveille::test(cpus)] //~ `cpus` is a number from 1 to 512
    fn without_a_value() {}
    #[reveille::test(cpus = )] //~ `cpus` has no value
    fn with_half_of_one() {}
    #[reveille::test(cpus = 0)] //~ `cpus` is a number from 1 to 512
    fn too_few() {}
    #[reveille::test(gic = "2")] //~ `gic` is a number from 2 to 3
    fn a_text() {}
    #[reveille::test(el = 4)] //~ `el` is a number from 1 to 3
    fn too_high() {}
    #[reveille::test(up = 0)] //~ `up` is `true` or `false`
    fn neither() {}
    #[reveille::test(ignore = 3)] //~ `ignore` is a text in quotes
    fn a_number() {}
    #[reveille::test(timeout = 5, cpus = 2, timeout = 6)] //~ `timeout` is there twice
    fn twice() {}
    #[reveille::test(cpus = 2 gic = 2)] //~ a comma is wanted behind `cpus`
    fn no_comma() {}
    #[reveille::test("cpus")] //~ a key is wanted here, one of `cpus = N`,
    fn no_key() {}
    #[reveille::test]
    #[should_panic(why = "x")] //~ `expected = "text"` is wanted here
    fn another_word() {}
}

#[cfg(wrong = "attributes")]
mod items {
    #[reveille::test]
    async fn later() {} //~ a test cannot be `async`
    #[reveille::test]
    unsafe fn careless() {} //~ a test cannot be `unsafe`
    #[reveille::test]
    struct Data; //~ a test is a function
    #[reveille::test]
    fn generic<T>() {} //~ a test has no generic parameters
}

// A brace keeps the sentence behind it.
#[rustfmt::skip]
#[cfg(wrong = "types")]
mod types {
    #[reveille::test]
    fn a_number() -> u32 { //~ a test returns nothing, an `ExitCode`, or a `Result<(), E>` with `E: Debug`, and not `u32`
        1
    }
    #[reveille::test]
    fn takes_a_number(_number: u32) {} //~ mismatched types
    #[reveille::test]
    fn takes_two(_system: &'static reveille::System, _number: u32) {} //~ this function takes 2 arguments but 1 argument was supplied
}

#[cfg(wrong = "setup")]
reveille::tests!(setup = one, setup = two); //~ tests!: the key `setup` has no value, or is there twice
