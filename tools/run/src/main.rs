//! `reveille-run`: see the library of the same name, and `reveille-run --help`.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    reveille_run::command::main(std::env::args_os().skip(1))
}

// It runs on the host. Whoever builds all packages for the bare machine gets a program that does nothing.
#[cfg(target_os = "none")]
#[panic_handler]
fn never(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
