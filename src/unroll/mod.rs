//! What was noted, as lines on the console.
//!
//! docs/trace.md says what the lines are; `scripts/trace` reads them. Each has a checksum, as a console loses characters and has others'
//! lines in between.

mod line;

use crate::arch::timer;
use crate::arch::{RING_LOG, RING_SIZE};
use crate::clock;
use crate::console;
use crate::note;
use crate::percpu::area::{self, Area};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use line::Line;
use reveille_protocol::{TraceCount, TraceRecord};

/// What a reader of a memory core needs, by the name `reveille_trace`: a version; where the slots of CPU 0 are; bytes of a ring; the number
/// of CPUs; where the head of CPU 0's ring is, with limit, slots and first number behind it; from there to the next CPU's; the counter's
/// frequency, Hz; the binary logarithm of the slots of a ring; the sites, from here to there; from a
/// head to the affinity of its CPU.
#[unsafe(export_name = "reveille_trace")]
static LAYOUT: [AtomicU64; 11] = [const { AtomicU64::new(0) }; 11];
const VERSION: u64 = 1;

/// Says where the rings are. By the boot CPU, once.
pub(crate) fn publish() {
    let Some(first) = area::areas().first() else { return };
    let ring = note::of(first);
    let sites = note::sites().as_ptr_range();
    let words = [
        VERSION,
        ring.memory().slots(),
        RING_SIZE as u64,
        area::areas().len() as u64,
        core::ptr::from_ref(ring) as u64,
        size_of::<Area>() as u64,
        clock::frequency(),
        u64::from(RING_LOG),
        sites.start as u64,
        sites.end as u64,
        core::ptr::from_ref(&first.mpidr) as u64 - core::ptr::from_ref(ring) as u64,
    ];
    for (word, value) in LAYOUT.iter().zip(words) {
        word.store(value, Ordering::Relaxed);
    }
}

/// The trace goes to the console as the run ends.
static AT_END: AtomicBool = AtomicBool::new(false);

/// From now on it does.
pub(crate) fn dump_at_end() {
    AT_END.store(true, Ordering::Relaxed);
}

/// The run ends: the trace goes to the console, if it is to, and has not gone yet.
pub(crate) fn at_end() {
    if AT_END.swap(false, Ordering::Relaxed) {
        freeze();
        dump(console::print);
    }
}

/// The same behind the report of a panic, on the one CPU that runs.
pub(crate) fn behind_report() {
    if AT_END.swap(false, Ordering::Relaxed) {
        freeze();
        dump(console::print_raw);
    }
}

/// What CPUs note from here on is dropped: else they would write over what is being printed.
fn freeze() {
    area::areas().iter().for_each(|area| note::of(area).freeze());
}

/// Reads the ring of the CPU of `area`, the oldest record first.
pub(crate) fn read(area: &Area, each: impl FnMut(TraceRecord)) -> TraceCount {
    // With room for what another CPU notes while this reads.
    note::of(area).read(timer::counter().saturating_add(clock::frequency()), each)
}

/// Writes all there is, by `print`.
pub(crate) fn dump(print: fn(fmt::Arguments<'_>)) {
    let mut line = Line::new(print);
    line.add(format_args!("T 1 {:x} {:x}", clock::frequency(), area::areas().len()));
    line.end();
    for entry in note::sites() {
        let event = entry.event();
        line.add(format_args!(
            "S {:x} {}{} ",
            entry.site(),
            char::from(event.shape as u8),
            char::from(event.value as u8)
        ));
        line.add_name(event.name);
        line.end();
    }
    for area in area::areas() {
        let counted = read(area, |record| {
            if line.is_empty() {
                line.add(format_args!("R {:x}", area.id.index()));
            }
            line.add(format_args!(" {:x},{:x},{:x}", record.time, record.site, record.value));
            if line.is_long() {
                line.end();
            }
        });
        line.end();
        let TraceCount { noted, read, dropped, overwritten, unfinished } = counted;
        line.add(format_args!(
            "C {:x} {:x} {noted:x} {read:x} {dropped:x} {overwritten:x} {unfinished:x}",
            area.id.index(),
            area.mpidr
        ));
        line.end();
    }
    let lines = line.count();
    line.add(format_args!("E {lines:x}"));
    line.end();
}
