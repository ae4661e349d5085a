//! The boot CPU's way from the entry code to `main`, in order.

use super::area::enter_early;
use super::by_hand::Consoles;
use super::carve::carve;
#[cfg(feature = "fault-injection")]
use super::fault;
use super::left::Left;
use super::system::{SYSTEM, System};
use super::{arrival, interrupt, outset};
use crate::arch::{self, cache, regs};
use crate::bringup::{self, record};
use crate::clock::{self, Deadline};
use crate::dt::Machine;
use crate::ending::{self, ExitCode};
use crate::holds::Holds;
use crate::launch::Mailbox;
use crate::lifecycle::Lifecycle;
use crate::memory::{self, MemoryMap};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part as _};
use crate::{
    call, console, context, gic, masking, nmi, panic, patch, platform, power, psci, slow_lock, stop, time,
    watchdog,
};
use core::fmt;
use reveille_machine::BootArgs;

unsafe extern "C" {
    fn reveille_enter_stacks(area: u64) -> !;
}

unsafe extern "Rust" {
    safe fn reveille_main(system: &'static System) -> ExitCode;
}

/// The first Rust code of the image: on the boot stack, MMU on with the early tables, alone.
///
/// `blob` is what firmware left in x0: the device tree, if it keeps to the arm64 boot protocol.
pub(crate) extern "C" fn boot(blob: u64, entry_el: u64) -> ! {
    // SAFETY: the entry code calls this function once, on one CPU, and nothing before it.
    unsafe { enter_early() };
    arch::timer::know_cpu(regs::midr());
    // A build error.
    let Ok(regime) = memory::init() else {
        arch::last_word(c"cannot start: the image does not fit its own page tables")
    };
    psci::set_ours(entry_el == 3);
    cache::join(cache::own_type());

    // SAFETY: the first word of the image, mapped; alone, masked, on the boot stack. The word answers, so what comes instead
    // has been waiting.
    let stale_serror = unsafe { arch::probe(memory::image().0) }.is_none();
    clock::assume();
    // SAFETY: alone, masked, on the boot stack.
    unsafe { console::init_early() };
    let mut left = Left::find(blob);
    // SAFETY: alone, masked, on the boot stack.
    let consoles = unsafe { Consoles::find(left.tree.as_ref(), left.arguments) };
    let tree = left.tree.map(|blob| {
        #[cfg(feature = "fault-injection")]
        fault::about_to_read_the_tree(&blob);
        Machine::parse(blob.bytes).unwrap_or_else(|error| {
            // SAFETY: alone, masked, on the boot stack.
            unsafe { consoles.settle(None) };
            give_up(error)
        })
    });
    if let Some(tree) = &tree {
        left.follow(tree);
    }
    let args = BootArgs(left.command_line(tree.as_ref()));
    if args.get("reveille.exit") == Some("semihosting") {
        ending::use_semihosting();
    }
    console::init_log(args.get("log").and_then(|level| level.parse().ok()));
    let mut machine = left.machine(tree);
    // SAFETY: alone, masked, on the boot stack.
    unsafe { consoles.settle(machine.as_mut().ok()) };
    let machine = machine.unwrap_or_else(|error| give_up(error));
    if let Err(error) = clock::init(machine.timer.as_ref().ok()) {
        give_up(error);
    }
    if entry_el == 1 {
        // SAFETY: at the level of entry, alone, masked, on the boot stack.
        unsafe { clock::learn_offset() };
    }
    time::init(machine.timer.as_ref().ok());
    gic::init_reminders();
    left.report();
    report_notes(&machine, args);
    outset::tell(&machine, entry_el);
    if stale_serror {
        log::warn!("an SError from before this image was pending when it was entered");
    }
    platform::init(&machine);
    time::init_look_around(args);
    call::init(args);
    slow_lock::init(args);
    stop::init(args);
    masking::init(args);
    psci::choose_off(args, platform::stays_off(&machine));
    panic::init_stop(args);
    nmi::init(args);
    panic::init_action(args);
    panic::init_dump(args);
    let mut memory = MemoryMap::EMPTY;
    if let Err(error) = carve(&mut memory, &machine, &left, regime, boot_on_own_stacks) {
        give_up(error);
    }
    let deadline = bringup::default_deadline(args);
    let entry_el = entry_el as u8;
    SYSTEM.call_once(|| System { machine, args, memory, deadline, entry_el }).memory.publish();
    // SAFETY: CPU 0's own area; nothing on the boot stack is needed any more, all that outlives it is in `SYSTEM`.
    unsafe { reveille_enter_stacks(core::ptr::from_ref(area::of(CpuId::BOOT)) as u64) }
}

/// The rest, on the boot CPU's own stacks.
extern "C" fn boot_on_own_stacks(area: &'static Area) -> ! {
    regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
    regs::serror_open();
    area::slot(area).adopt_boot();
    area.set_entry(arrival::secondary);
    Holds::of(area).set_main(true);
    context::begin(area);
    record(area).boot();
    arrival::record_features();
    let system = SYSTEM.get().expect("set before the stacks were changed");
    let ours = psci::firmware_is_ours();
    if ours {
        bringup::expect_uninvited();
    } else if let Ok(psci) = &system.machine.psci {
        psci::init(psci);
    }
    match &system.machine.gic {
        Err(error) => give_up(error),
        Ok(found) => {
            if let Err(error) = gic::init(found, ours) {
                give_up(format_args!("interrupt controller at {:#x}: {error}", found.distributor().base));
            }
        }
    }
    gic::find_cpu_parts();
    if let Err(error) = gic::init_cpu(ours) {
        give_up(format_args!("interrupt controller: {error}"));
    }
    time::init_interrupt(interrupt::timer);
    time::init_cpu();
    watchdog::apply();
    if let Err(error) = gic::prove(time::interrupt()) {
        give_up(format_args!("interrupt controller: {error}"));
    }
    Mailbox::of(area).open();
    call::open(area);
    // SAFETY: vectors, interrupt controller and stacks are in place.
    unsafe { regs::daif_open() };
    patch::use_lse();
    if let Ok(lock) = Lifecycle::lock(Deadline::after(system.deadline)) {
        patch::settle(&lock);
    }
    #[cfg(feature = "trace")]
    crate::trace::init(system.args);
    power::exit(reveille_main(system))
}

/// Says what in the description of the machine is not as it should be and can be lived with.
#[inline(never)]
fn report_notes(machine: &Machine<'_>, args: BootArgs<'_>) {
    if let Some(level) = args.get("log").filter(|level| level.parse::<log::LevelFilter>().is_err()) {
        log::error!("bootargs: log={level}: not one of off, error, warn, info, debug, trace");
    }
    if let Some(exit) = args.get("reveille.exit").filter(|exit| *exit != "semihosting") {
        log::error!("bootargs: reveille.exit={exit}: only \"semihosting\" is known");
    }
    for error in [
        machine.bootargs.err(),
        machine.psci.err().filter(|error| !error.is_absent()),
        machine.timer.err(),
        machine.timer_note,
        machine.console_note.filter(|error| !error.is_absent()),
        machine.source_note,
    ]
    .into_iter()
    .flatten()
    {
        log::warn!("{error}");
    }
    if cfg!(feature = "el2") && !regs::at_el2() {
        log::warn!("built to stay at EL2, but entered at EL1: running at EL1");
    }
}

/// The machine cannot be started: one line, and the end.
fn give_up(error: impl fmt::Display) -> ! {
    console::print_raw(format_args!("reveille: cannot start: {error}\n"));
    console::flush();
    if ending::exits_to_host() {
        power::exit(ExitCode::FAILURE);
    }
    arch::park()
}
