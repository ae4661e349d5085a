//! A library with tests beside its code.

#![no_std]
#![cfg_attr(test, no_main)]
#![forbid(unsafe_code)]

#[cfg(test)]
reveille::tests!();

/// The larger one.
pub fn larger(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::larger;
    use core::sync::atomic::{AtomicU64, Ordering};
    use reveille::call::CallError;
    use reveille::{call, cpu};

    #[reveille::test]
    fn the_larger_of_two() {
        assert_eq!(larger(1, 2), 2);
        assert_eq!(larger(2, 1), 2);
    }

    #[reveille::test(cpus = 2)]
    fn the_largest_id() -> Result<(), CallError> {
        static LARGEST: AtomicU64 = AtomicU64::new(0);
        for cpu in cpu::online() {
            call::on(cpu, || {
                let largest = larger(LARGEST.load(Ordering::Relaxed), cpu::current().index() as u64);
                LARGEST.store(largest, Ordering::Relaxed);
            })?;
        }
        assert_eq!(LARGEST.load(Ordering::Relaxed), cpu::online().len() as u64 - 1);
        Ok(())
    }
}
