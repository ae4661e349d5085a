//! What is left of a panic after a reset, life after life. Wants `reveille.panic=reset`; exit code 0 at the end.

#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use reveille::panic::{self, Action, CrashReport, LastWords};
use reveille::{ExitCode, System, power, println};
use reveille_tests::check;
use reveille_tests::reboots::Reboots;

reveille::entry!(main);

/// Offsets in the record, as docs/last-words.md has them.
const BUILD: usize = 16;
const TEXT_LEN: usize = 48;
const CRC: usize = 60;
const TEXT: usize = 64;

/// Offsets that the hook damages, one each life: magic, version, length, checksum, first and last byte of the text.
const DAMAGES: [usize; 6] = [0, 8, TEXT_LEN + 1, CRC, TEXT, usize::MAX];

/// Which of them comes next.
static DAMAGE: AtomicUsize = AtomicUsize::new(0);

fn main(system: &'static System) -> ExitCode {
    let lives = Reboots::begin(system);
    let life = lives.number();
    println!("-- life {life}");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let found = panic::last_words();
    if let Some(words) = &found {
        println!(
            "-- {} lines, after {:?} on mpidr {:#x}",
            words.text().lines().count(),
            words.uptime(),
            words.mpidr()
        );
        check(words.uptime() > Duration::ZERO && words.mpidr() == 0, "time and place are right");
        check(!words.is_cut(), "the record has room for the report of so few CPUs");
    }
    let says = |what: &str| found.as_ref().is_some_and(|words: &LastWords| words.text().contains(what));
    let none = found.is_none();
    match life {
        0 => {
            check(none, "there are no last words in the first life");
            panic!("the first");
        }
        1 => {
            check(says("the first") && says("end of the report: "), "the report survives a reset");
            panic::set_action(Action::Hook(unchanged));
            panic!("the second");
        }
        2 => {
            check(says("the second") && !says("the first"), "and so does the next one");
            power::reset()
        }
        3 => {
            check(none, "a record is offered once");
            panic!("{}", Panics);
        }
        4 => {
            let nested = found.as_ref().is_some_and(LastWords::is_nested);
            check(
                nested && says("panic while a panic was reported: in a message"),
                "half a report is a report",
            );
            panic::set_action(Action::Hook(damage));
            panic!("damaged");
        }
        5..10 => {
            check(none, "a damaged record is not offered");
            panic::set_action(Action::Hook(damage));
            DAMAGE.store(life as usize - 4, Ordering::Relaxed);
            panic!("damaged");
        }
        10 => {
            check(none, "a damaged record is not offered");
            panic::set_action(Action::Hook(claim_for_another));
            panic!("of another build");
        }
        11 => {
            check(none, "the record of another build is not offered");
            panic!("the third");
        }
        12 => {
            check(says("the third"), "one's own is, beside it");
            println!("last_words: all good");
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

/// Panics when it is to be printed.
struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in a message");
    }
}

fn record() -> *mut u8 {
    let Some(at) = panic::record_address() else { power::exit(ExitCode::from(9)) };
    at as *mut u8
}

/// Reads `N` bytes of the record.
fn read<const N: usize>(offset: usize) -> [u8; N] {
    // SAFETY: the record lies in RAM of the runtime's, which is mapped; everything else is stopped.
    core::array::from_fn(|index| unsafe { record().add(offset + index).read_volatile() })
}

/// Writes to the record, and to memory.
fn write(offset: usize, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        // SAFETY: as above; this is the hook of a panic, and the record is nobody's any more.
        unsafe {
            let at = record().add(offset + index);
            at.write_volatile(*byte);
            asm!("dc civac, {}", "dsb sy", in(reg) at, options(nostack, preserves_flags));
        }
    }
}

fn text_len() -> usize {
    u32::from_le_bytes(read(TEXT_LEN)) as usize
}

/// CRC-32 as the document has it, bit by bit.
fn checksum() -> u32 {
    let mut crc = u32::MAX;
    for offset in (0..CRC).chain(TEXT..TEXT + text_len()) {
        let [byte] = read(offset);
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 };
        }
    }
    !crc
}

/// What this boot has found is still there, whole, behind a report of its own.
fn unchanged(_: &CrashReport) -> ! {
    let is_whole =
        |words: LastWords| words.text().contains("the first") && !words.text().contains("the second");
    if !panic::last_words().is_some_and(is_whole) {
        println!("the report has been written over what was found");
        power::exit(ExitCode::from(9));
    }
    power::reset()
}

/// Flips one bit of the record, another one in every life.
fn damage(report: &CrashReport) -> ! {
    if report.text().len() != text_len() || u32::from_le_bytes(read(CRC)) != checksum() {
        println!("the record is not as it is documented");
        power::exit(ExitCode::from(9));
    }
    let offset = match DAMAGES[DAMAGE.load(Ordering::Relaxed)] {
        usize::MAX => TEXT + text_len() - 1,
        offset => offset,
    };
    let [byte] = read(offset);
    write(offset, &[byte ^ 0x10]);
    power::reset()
}

/// Makes it the record of another build, in perfect order.
fn claim_for_another(_: &CrashReport) -> ! {
    let build = u64::from_le_bytes(read(BUILD));
    write(BUILD, &(!build).to_le_bytes());
    write(CRC, &checksum().to_le_bytes());
    power::reset()
}
