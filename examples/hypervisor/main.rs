//! A small hypervisor: runs flat arm64 images as guests at EL1, on a GICv2 or GICv3, each in memory of its own, with a device tree of its own.
//!
//! `scripts/run --features el2 --el 2 hypervisor -- -initrd IMAGE` boots `IMAGE`, which is found by `/chosen/linux,initrd-start`; an image of
//! this project is what `scripts/build NAME` says in its second line. docs/hypervisor.md tells what of the machine is the runtime's.
//!
//! | word on the command line | meaning |
//! |---|---|
//! | `vcpus=N` | CPUs of a guest, 1 to 4; default 1 |
//! | `guests=N` | guests, 1 or 2, all of the same image; default 1 |
//! | `ram=N` | RAM of a guest in MiB; default 32 |
//! | `kernel=N` | the image is the first N bytes of the file; what follows is the guests' own initrd |
//! | `timer=physical` | the guests' tree names their physical timer alone; default: both |
//! | `guest=spin` | no image, but a guest that has everything masked and spins; `drill` is what ends it |
//! | `drill=N` | meanwhile the first CPU calls, stops, and takes down and up the others: N rounds, or until all guests are off |
//! | `panic` | and after that panics, with the guests where they are |
//! | `-- WORDS` | what follows is the guests' command line; default `reveille.panic=reset` |
//!
//! A guest ends by PSCI. With `SYSTEM_OFF` it has done well; a reset, as what that makes of a panic of this project's, has not.

#![no_std]
#![no_main]

mod exits;
mod fdt;
mod gic;
mod interface;
mod memory;
mod registers;
mod vcpu;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use registers::read;
use reveille::bringup::{Verdict, cpu_up};
use reveille::dt::Gic;
use reveille::exception::{Frame, Handlers, Kind, Outcome};
use reveille::irq::{self, Trigger};
use reveille::{ExitCode, System, call, cpu, hotplug, println, stop_machine, time::Deadline};
use vcpu::{GUESTS, Guest};

reveille::entry!(
    main,
    // SAFETY: at its offline points `host` has nothing on its stack that anyone else knows of.
    leaving = unsafe { cpu::Leaving::new(vcpu::host) },
    exceptions = Host
);

struct Host;

// SAFETY: nothing is changed. A vCPU is left, and goes on when it is entered again.
unsafe impl Handlers for Host {
    fn lower_synchronous(_: &mut Frame, _: Kind) -> Outcome {
        Outcome::Leave
    }

    fn lower_irq(_: &mut Frame) -> Outcome {
        Outcome::Leave
    }

    fn lower_serror(_: &mut Frame) -> Outcome {
        Outcome::Leave
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

fn main(system: &'static System) -> ExitCode {
    let prepared = prepare(system).and_then(|()| {
        let are_all = system.bring_up_all(system.deadline()).is_complete();
        if are_all { start(system) } else { Err("not all CPUs have come") }
    });
    if let Err(why) = prepared {
        println!("hypervisor: {why}");
        return ExitCode::FAILURE;
    }
    if let Some(rounds) = system.arg("drill") {
        let limit = rounds.parse::<u64>();
        drill(limit.clone().unwrap_or(u64::MAX));
        // By then every CPU is back in its guest.
        let until = Deadline::after(Duration::from_millis(200));
        while !until.has_passed() {}
        assert!(system.arg("panic").is_none(), "with guests");
        GUESTS.iter().filter(|_| limit.is_ok()).for_each(|guest| guest.end(vcpu::STOPPED));
    }
    while !GUESTS.iter().all(Guest::is_over) {
        if vcpu::SPARES_BOOT_CPU.load(Ordering::Relaxed) || !vcpu::serve() {
            vcpu::rest();
        }
    }
    let mut good = true;
    for guest in GUESTS.iter().filter(|guest| guest.state() != vcpu::ABSENT) {
        let (how, exits) = (guest.state(), guest.exits.load(Ordering::Relaxed));
        good &= how == vcpu::SWITCHED_OFF || how == vcpu::STOPPED;
        println!("hypervisor: guest {}: {} after {exits} exits", guest.index, vcpu::NAMES[usize::from(how)]);
    }
    good.into()
}

/// What the machine has to have. Before any other CPU runs.
fn prepare(system: &'static System) -> Result<(), &'static str> {
    // Where E2H is 1 for good, the registers of EL1 have other names.
    if read!("CurrentEL") != 2 << 2 || read!("hcr_el2") & 1 << 34 != 0 {
        return Err("not at EL2, or with HCR_EL2.E2H");
    }
    let machine = system.machine();
    let gic = machine.gic.map_err(|_| "no interrupt controller")?;
    if matches!(gic, Gic::V2 { .. }) {
        let (registers, _) = v2_regions(system)?;
        interface::use_v2(system.map_device(registers, 0x1000).map_err(|_| "GICH cannot be mapped")?);
    }
    if interface::preemption_bits() > 5 {
        return Err("more bits of priority than are kept");
    }
    let timers = machine.timer.ok().and_then(|timer| timer.virtual_timer.zip(timer.physical));
    let (virtual_timer, physical) = timers.ok_or("no timers for guests")?;
    // The physical one is the runtime's where there is none for EL2.
    for timer in [virtual_timer, physical] {
        irq::register(timer.id, Trigger::Level, gic::timer_fired).map_err(|_| "a timer is taken")?;
    }
    let node = machine.nodes().find(|node| node.path() == gic.path());
    let interrupts = node.and_then(|node| node.property("interrupts"));
    let maintenance = interrupts.and_then(|property| number(property.value, 1));
    let maintenance = maintenance.ok_or("no maintenance interrupt")? as u32 + 16;
    irq::register(maintenance, Trigger::Level, gic::maintenance).map_err(|_| "no maintenance interrupt")
}

/// GICH and GICV.
fn v2_regions(system: &'static System) -> Result<(u64, u64), &'static str> {
    const KINDS: [&str; 3] = ["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a7-gic"];
    let mut found = KINDS.iter().filter_map(|kind| system.machine().device_regions(kind).ok());
    match found.next().as_deref() {
        Some([_, _, control, interface, ..]) => Ok((control.base, interface.base)),
        _ => Err("no virtual interface of the GICv2"),
    }
}

/// One cell of a property.
fn number(value: &[u8], cell: usize) -> Option<u64> {
    value.as_chunks::<4>().0.get(cell).map(|cell| u32::from_be_bytes(*cell).into())
}

/// The image of the guests, and what is behind it in the file, if the command line says how long it is.
fn image(system: &'static System) -> Result<(&'static [u8], &'static [u8]), &'static str> {
    let chosen = system.machine().nodes().find(|node| node.property("linux,initrd-start").is_some());
    let address = |name| {
        let value = chosen.and_then(|chosen| chosen.property(name)).map_or(&[][..], |found| found.value);
        value.chunks(4).fold(0, |all, cell| all << 32 | number(cell, 0).unwrap_or(0))
    };
    let (start, end) = (address("linux,initrd-start"), address("linux,initrd-end"));
    if start == 0 || end <= start {
        return Err("no image: give QEMU one with -initrd");
    }
    // SAFETY: RAM that is mapped and that the tree reserves for this, and which nobody changes.
    let file = unsafe { core::slice::from_raw_parts(start as *const u8, (end - start) as usize) };
    let length = system.arg("kernel").and_then(|length| length.parse().ok()).unwrap_or(file.len());
    let halves = file.split_at_checked(length).ok_or("bootargs: kernel= is more than there is")?;
    if halves.0.get(56..60) == Some(b"ARM\x64") { Ok(halves) } else { Err("not a flat arm64 image") }
}

/// Everything masked, for ever: `msr daifset, #15`, `add x0, x0, #1`, `b` to that. Behind a header of zeros.
const SPIN: [u32; 16] = [0xd503_4fdf, 0x9100_0400, 0x17ff_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn start(system: &'static System) -> Result<(), &'static str> {
    let limited = |name, default, limit| match system.arg(name).map_or(Ok(default), str::parse::<u64>) {
        Ok(number) if (1..=limit).contains(&number) => Ok(number),
        _ => Err("bootargs: vcpus=, guests= or ram= makes no sense"),
    };
    let vcpus = limited("vcpus", 1, vcpu::MAX_VCPUS as u64)? as usize;
    let guests = limited("guests", 1, GUESTS.len() as u64)? as usize;
    let size = limited("ram", 32, 1024)? << 20;
    let spin = SPIN.map(u32::to_le_bytes);
    let is_spin = system.arg("guest") == Some("spin");
    let (image, initrd) = if is_spin { (spin.as_flattened(), &[][..]) } else { image(system)? };
    // Where it wants to be, and how much it needs (Linux, Documentation/arch/arm64/booting.rst).
    let field = |at: usize| image[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let offset = if field(16) == 0 { 0 } else { field(8) };
    let tree = size - (2 << 20);
    let initrd_at = tree.saturating_sub(initrd.len() as u64) / 4096 * 4096;
    if offset.saturating_add(field(16).max(image.len() as u64)) > initrd_at {
        return Err("the guest's RAM is too small for the image");
    }
    vcpu::SPARES_BOOT_CPU.store(system.arg("drill").is_some(), Ordering::Relaxed);
    let words = system.bootargs().split_once(" -- ").map_or("reveille.panic=reset", |(_, words)| words);
    let timer = system.arg("timer").unwrap_or("");
    let interface = if interface::is_v3() { None } else { Some(v2_regions(system)?.1) };
    for guest in &GUESTS[..guests] {
        let taken = memory::take(size).zip(memory::take(1));
        let (ram, tables) = taken.ok_or("not enough free memory")?;
        ram[offset as usize..][..image.len()].copy_from_slice(image);
        ram[initrd_at as usize..][..initrd.len()].copy_from_slice(initrd);
        let initrd = (memory::RAM + initrd_at, memory::RAM + initrd_at + initrd.len() as u64);
        fdt::write(&mut ram[tree as usize..], vcpus, size, interface.is_none(), timer, words, initrd)
            .map_err(|_| "the guest's command line is too long")?;
        memory::publish(ram);
        let tables = memory::stage2(tables, ram, interface);
        guest.start(tables, vcpus, memory::RAM + offset, memory::RAM + tree);
        // One that turns no CPU on has all of them on.
        let others = guest.vcpus().iter().skip(1).filter(|_| is_spin);
        others.for_each(|vcpu| vcpu.begin(memory::RAM, 0));
    }
    Ok(())
}

/// What a machine does with its CPUs, while guests run on them.
fn drill(rounds: u64) {
    static POSTS: AtomicU64 = AtomicU64::new(0);
    let (mut done, mut calls, mut stops, mut moves) = (0_u64, 0_u64, 0_u64, 0_u64);
    while done < rounds && !GUESTS.iter().all(Guest::is_over) {
        let others = cpu::online().without(cpu::current());
        for other in others {
            calls += u64::from(call::on(other, cpu::current) == Ok(other));
            let _ = call::post(other, || _ = POSTS.fetch_add(1, Ordering::Relaxed));
        }
        stops += u64::from(stop_machine(PATIENCE, || ()).is_ok());
        let other = others.iter().nth(done as usize % others.len().max(1));
        let moves_on =
            |other| hotplug::cpu_down(other, PATIENCE).is_ok() && cpu_up(other, PATIENCE) == Verdict::Online;
        moves += u64::from(other.is_some_and(moves_on));
        done += 1;
    }
    let posts = POSTS.load(Ordering::Relaxed);
    println!(
        "hypervisor: {done} rounds: {calls} calls, {posts} posts, {stops} stops, {moves} CPUs down and up"
    );
}
