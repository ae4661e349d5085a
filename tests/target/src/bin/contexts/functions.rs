//! The public functions, as they are called by the test. Each says what its call came to, and may be called anywhere.

use crate::cell::{Outcome, holds, keep, promise, promised, refused, result, value};
use crate::places;
use crate::{ENDED, LIMIT, RAN_AND_ENDED, system};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict, cpu_up};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::dt::Region;
use reveille::hotplug::Callbacks;
use reveille::irq::{self, Handler, Priority, Sgi, Trigger};
use reveille::memory::{self, Pages, Stack};
use reveille::panic::{self, Action};
use reveille::patch::{self, Batch};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::{self, Deadline, Instant};
#[cfg(feature = "trace")]
use reveille::trace;
use reveille::watchdog::{self, Response};
use reveille::{ExitCode, call, console, hotplug, nmi, power, print, println};
use reveille::{static_key, stop_machine, stop_machine_each};

/// One way to call a public function.
pub struct Function {
    /// As in the table.
    pub name: &'static str,
    pub call: fn() -> Outcome,
}

/// The CPU that is called, started and stopped; none of the contexts is there.
pub const OTHER: usize = 2;
/// The CPU that is not online.
pub const SPARE: usize = 3;

fn other() -> CpuId {
    cpu::get(OTHER).expect("the machine has four CPUs")
}

fn spare() -> CpuId {
    cpu::get(SPARE).expect("the machine has four CPUs")
}

fn only(cpu: CpuId) -> CpuSet {
    [cpu].into_iter().collect()
}

static_key! {
    /// What is turned on and off.
    pub KEY, false
}
static_key! {
    pub SECOND_KEY, false
}

pub static LOCK: SpinLock<u32> = SpinLock::new(0);
pub static MUTEX: Mutex<u32> = Mutex::new(0);
static HELD_LOCK: SpinLock<u32> = SpinLock::new(0);
static HELD_MUTEX: Mutex<u32> = Mutex::new(0);
#[cfg(feature = "critical-section")]
static SECTION: critical_section::Mutex<core::cell::Cell<u32>> =
    critical_section::Mutex::new(core::cell::Cell::new(0));

reveille::percpu! {
    static HERE: AtomicU32 = AtomicU32::new(0);
}

/// A shared interrupt that nobody raises; each time another.
fn unused_interrupt() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(200);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The same of private ones.
fn unused_private() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(16);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

static HANDLER: Handler = Handler::new(&|_| ());

/// An interrupt that has a handler, where one can be registered.
fn registered() -> u32 {
    const SPI: u32 = 198;
    let _ = irq::register(SPI, Trigger::Edge, |_| ());
    SPI
}

/// The SGI of the application's, from [`set_up`] on.
static SGI: AtomicU32 = AtomicU32::new(0);

/// What has to be there before the context is entered.
pub fn set_up() {
    let sgi = irq::register_sgi(&HANDLER).expect("there is an SGI");
    SGI.store(sgi.intid(), Ordering::Relaxed);
}

fn verdict(verdict: Verdict) -> Outcome {
    if verdict == Verdict::Online { Outcome::Ran } else { refused(verdict) }
}

fn answers(answers: nmi::Answers) -> Outcome {
    let what = match answers {
        _ if !answers.silent.is_empty() => "silent",
        _ if !answers.running.is_empty() => "running",
        _ => "offline",
    };
    holds(answers.is_complete(), what)
}

/// Its runs are counted nowhere: they coalesce.
static BELL: call::Doorbell = call::Doorbell::new(|| ());

reveille::percpu! {
    static ALARM: time::Alarm = time::Alarm::new(|| ());
}

fn rung(rung: call::Rung) -> Outcome {
    if rung == call::Rung::Heard { Outcome::Ran } else { refused(rung) }
}

fn posted(posted: call::Posted) -> Outcome {
    promised(posted.accepted.len() as u64);
    let all = posted.busy.is_empty() && posted.offline.is_empty();
    holds(all, if posted.busy.is_empty() { "offline" } else { "busy" })
}

macro_rules! functions {
    ($($(#[$attribute:meta])* $name:literal => $body:expr;)*) => {
        &[$($(#[$attribute])* Function { name: $name, call: || $body }),*]
    };
}

/// In the order in which they are called.
pub static FUNCTIONS: &[Function] = functions! {
    "call::post(self)" => promise(call::post(cpu::current(), keep));
    "call::post(other)" => promise(call::post(other(), keep));
    "call::post_each" => posted(call::post_each(&[cpu::current(), other()].into_iter().collect(), |_| keep()));
    "call::Doorbell::register" => {
        // The first time, or never again.
        let _ = BELL.register();
        holds(BELL.register() == Err(call::DoorbellError::Registered), "wrong")
    };
    "call::Doorbell::ring(self)" => rung(BELL.ring(cpu::current()));
    "call::Doorbell::ring(other)" => rung(BELL.ring(other()));
    "call::on(self)" => result(call::on(cpu::current(), || ()));
    "call::on(other)" => result(call::on(other(), || ()));
    "call::on_each" => match call::on_each(&[cpu::current(), other()].into_iter().collect(), |_| ()) {
        Ok(offline) => holds(offline.is_empty(), "offline"),
        Err(error) => refused(error),
    };
    "call::on_deadline(self)" => result(call::on_deadline(cpu::current(), LIMIT, || ()));
    "call::on_deadline(other)" => result(call::on_deadline(other(), LIMIT, || ()));

    "cpu::{current,possible,online,is_online,mpidr,get,status}" => {
        let own = cpu::current();
        let told = cpu::status(own).mpidr == cpu::mpidr(own)
            && cpu::get(own.index()) == Some(own)
            && cpu::is_online(own) == cpu::online().contains(own);
        holds(told && cpu::possible().contains(own) && cpu::online().len() <= cpu::possible().len(), "wrong")
    };
    "percpu!::{here,of}" => {
        let before = HERE.load(Ordering::Relaxed);
        HERE.of(cpu::current()).fetch_add(1, Ordering::Relaxed);
        holds(HERE.load(Ordering::Relaxed) == before.wrapping_add(1), "wrong")
    };
    "cpu::wake" => {
        cpu::wake(other());
        Outcome::Ran
    };
    "cpu::launch(self)" => promise(cpu::launch(cpu::current(), keep));
    "cpu::launch(other)" => promise(cpu::launch(other(), keep));
    "cpu::idle" => {
        cpu::idle();
        Outcome::Ran
    };
    "cpu::idle_unless" => {
        cpu::idle_unless(|| true);
        Outcome::Ran
    };
    "cpu::is_home" => value(cpu::is_home());
    "cpu::set_label" => {
        let before = cpu::set_label(Some(&"in a context"));
        holds(cpu::set_label(before) == Some(&"in a context"), "wrong")
    };
    "cpu::offline_point" => {
        cpu::offline_point();
        Outcome::Ran
    };
    "cpu::become_secondary" => cpu::become_secondary();

    "bringup::is_online" => {
        let _ = bringup::is_online(other());
        Outcome::Ran
    };
    "bringup::cpu_up(other)" => verdict(cpu_up(other(), LIMIT));
    "bringup::cpu_up(offline)" => verdict(cpu_up(spare(), LIMIT));
    "System::bring_up_all" => {
        let roll_call = system().bring_up_all(LIMIT);
        let worst = roll_call.iter().map(|entry| entry.verdict).find(|verdict| *verdict != Verdict::Online);
        worst.map_or(Outcome::Ran, refused)
    };
    "System::{machine,bootargs,arg,entry_el,deadline,free_memory}" => {
        let system = system();
        let read = system.machine().cpu_count() != 0 && system.arg("context").is_some() && !system.bootargs().is_empty();
        let free = system.free_memory().count() != 0 && system.entry_el() != 0;
        holds(read && free && !system.deadline().is_zero(), "wrong")
    };
    // Where QEMU's `virt` has devices that nobody uses.
    "System::map_device" => result(system().map_device(0x0a00_0000, 0x1000));

    "memory::free" => match memory::free() {
        Ok(free) => holds(free.largest != 0 && free.bytes >= free.largest && free.pieces != 0, "wrong"),
        Err(error) => refused(error),
    };
    "Pages::{new,aligned,below,zeroed}" => match Pages::aligned(5000, 1 << 16) {
        Ok(pages) => {
            let mut pages = pages.zeroed();
            let same = pages.as_mut_ptr().cast_const() == pages.as_ptr() && pages.bytes_mut().len() == pages.len();
            holds(same && pages.len() == 8192 && pages.physical() & 0xffff == 0, "wrong")
        }
        Err(error) => refused(error),
    };
    "Pages::{take,leak}" => {
        let highest = system().free_memory().last().map(|piece| piece.base + piece.size).unwrap_or(0);
        let page = |from_top: u64| Region { base: highest - from_top * 0x1000, size: 0x1000 };
        match (1..1000).find_map(|from_top| Pages::take(page(from_top)).ok()) {
            Some(pages) => holds(pages.leak().len() == 0x1000, "wrong"),
            None => result(Pages::take(page(1))),
        }
    };
    "Stack::new" => match Stack::new("context", 10_000) {
        Ok(stack) => holds(stack.name() == "context" && stack.top() - stack.bottom() == stack.len(), "wrong"),
        Err(error) => refused(error),
    };

    "hotplug::register" => result(hotplug::register(|_| Ok(()), |_| ()));
    "hotplug::register_callbacks" => {
        let callbacks = Callbacks { online: |_| Ok(()), offline: |_| (), asked: |_| Ok(()) };
        result(hotplug::register_callbacks(callbacks))
    };
    "hotplug::pin" => {
        drop(hotplug::pin());
        Outcome::Ran
    };
    "hotplug::cpu_down(other)" => result(hotplug::cpu_down(other(), LIMIT));
    "hotplug::cpu_down(self)" => result(hotplug::cpu_down(cpu::current(), LIMIT));

    "irq::mask" => {
        let masked = irq::mask();
        let holds_back = irq::is_masked();
        drop(masked);
        holds(holds_back, "open")
    };
    "irq::is_masked" => value(irq::is_masked());
    "irq::in_interrupt" => value(irq::in_interrupt());
    "irq::in_nmi" => value(irq::in_nmi());
    "irq::register" => result(irq::register(unused_interrupt(), Trigger::Edge, |_| ()));
    "irq::register_with" => result(irq::register_with(unused_interrupt(), Trigger::Edge, &HANDLER));
    "irq::register_per_cpu" => result(irq::register_per_cpu(unused_private(), &HANDLER));
    "irq::register_sgi" => result(irq::register_sgi(&HANDLER));
    "irq::Sgi::{with_intid,intid,send}" => match Sgi::with_intid(SGI.load(Ordering::Relaxed)) {
        Some(sgi) => result(sgi.send(&only(other()))),
        None => refused("none"),
    };
    "irq::{enable,disable}" => {
        let intid = registered();
        result(irq::disable(intid).and_then(|()| irq::enable(intid)))
    };
    "irq::{set_pending,clear_pending}" => {
        let intid = registered();
        result(irq::set_pending(intid).and_then(|()| irq::clear_pending(intid)))
    };
    "irq::{is_pending,is_active}" => {
        let intid = registered();
        result(irq::is_pending(intid).and_then(|_| irq::is_active(intid)))
    };
    "irq::set_priority" => result(irq::set_priority(registered(), Priority::High));
    "irq::unregister" => result(irq::unregister(registered(), LIMIT));
    "irq::set_affinity" => result(irq::set_affinity(199, CpuId::BOOT));

    "nmi::on_each(self)" => answers(nmi::on_each(&only(cpu::current()), || ()));
    "nmi::on_each(other)" => answers(nmi::on_each(&only(other()), || ()));
    "nmi::backtrace" => {
        nmi::backtrace(&only(other()));
        Outcome::Ran
    };

    "stop_machine" => result(stop_machine(LIMIT, || ()));
    "stop_machine_each" => result(stop_machine_each(LIMIT, |_| ()));

    "static_key!::is_enabled" => holds(!KEY.is_enabled() && !SECOND_KEY.is_enabled(), "on");
    "static_key!::enable" => match KEY.enable() {
        Ok(_) => holds(KEY.is_enabled(), "off"),
        Err(error) => refused(error),
    };
    "static_key!::disable" => match KEY.disable() {
        Ok(_) => holds(!KEY.is_enabled(), "on"),
        Err(error) => refused(error),
    };
    "patch::Batch::apply" => match Batch::new().enable(&KEY).enable(&SECOND_KEY).apply() {
        Ok(_) => holds(KEY.is_enabled() && SECOND_KEY.is_enabled(), "off"),
        Err(error) => refused(error),
    };
    "patch::sites" => holds(patch::sites().count() != 0, "none");

    "SpinLock::lock" => {
        *LOCK.lock() += 1;
        Outcome::Ran
    };
    "SpinLock::try_lock" => holds(LOCK.try_lock().is_some(), "None");
    "SpinLock::try_lock(held)" => {
        let held = HELD_LOCK.try_lock();
        let again = HELD_LOCK.try_lock().is_some();
        drop(held);
        holds(again, "None")
    };
    "Mutex::lock" => {
        *MUTEX.lock() += 1;
        Outcome::Ran
    };
    "Mutex::try_lock" => holds(MUTEX.try_lock().is_some(), "None");
    "Mutex::try_lock(held)" => {
        let held = HELD_MUTEX.try_lock();
        let again = HELD_MUTEX.try_lock().is_some();
        drop(held);
        holds(again, "None")
    };
    #[cfg(feature = "critical-section")]
    "critical_section::with" => {
        critical_section::with(|section| SECTION.borrow(section).set(1));
        Outcome::Ran
    };

    "print!" => {
        print!("a line in two ");
        println!("pieces");
        Outcome::Ran
    };
    "log::error!" => {
        log::error!("an error that is none");
        Outcome::Ran
    };
    "console::read_byte" => holds(console::read_byte().is_none(), "typed");
    "console::write" => {
        console::write(b"a line of bytes\n");
        Outcome::Ran
    };
    "console::flush" => {
        console::flush();
        Outcome::Ran
    };
    "console::listen" => match &system().machine().console {
        Ok(console) => result(console::listen(console, || ())),
        Err(_) => holds(false, "NoConsole"),
    };

    "time::{Instant::now,Deadline::after}" => {
        let deadline = Deadline::after(Duration::from_secs(1000));
        holds(!deadline.has_passed() && Instant::now().uptime() > Duration::ZERO, "wrong")
    };
    "time::after" => {
        let timer = time::after(Duration::from_micros(10), keep);
        if places::drops_timers() { result(timer) } else { promise(timer) }
    };
    "time::Timer::cancel" => match time::after(Duration::from_secs(1000), keep) {
        Ok(timer) => holds(timer.cancel(), "late"),
        Err(error) => refused(error),
    };

    "time::Timer::set_again" => match time::after(Duration::from_secs(1000), keep) {
        Ok(timer) => {
            let again = timer.set_again(Duration::from_secs(2000));
            holds(again == Ok(true) && timer.cancel(), "late")
        }
        Err(error) => refused(error),
    };
    "time::Alarm::{set,after}" => result(ALARM.after(Duration::from_secs(1000)));
    "time::Alarm::cancel" => result(ALARM.cancel());
    "time::{frequency,Alarm::due}" => {
        let _ = ALARM.due();
        holds(time::frequency() > 0, "wrong")
    };

    #[cfg(feature = "trace")]
    "trace!" => {
        reveille::trace!("noted", 7);
        Outcome::Ran
    };
    #[cfg(feature = "trace")]
    "trace::dump" => {
        trace::dump();
        Outcome::Ran
    };
    #[cfg(feature = "trace")]
    "trace::{event,is_on,name,read}" => {
        let _ = trace::is_on();
        let mut read = 0;
        let count = trace::read(cpu::current(), |record| {
            read += 1;
            let event = trace::event(record.site).expect("a record of a site");
            assert!(trace::name(record.site) == Some(event.name()));
        });
        holds(count.read == read, "wrong")
    };
    #[cfg(feature = "trace")]
    "trace::start" => match trace::start(trace::Mode::Overwrite) {
        Ok(()) => holds(trace::is_on(), "off"),
        Err(error) => refused(error),
    };
    #[cfg(feature = "trace")]
    "trace::stop" => match trace::stop() {
        Ok(()) => holds(!trace::is_on(), "on"),
        Err(error) => refused(error),
    };

    "watchdog::start" => result(watchdog::start(Duration::from_secs(10)));
    "watchdog::stop" => {
        watchdog::stop();
        holds(!watchdog::is_running(), "running")
    };
    "watchdog::{is_running,set_response}" => {
        let _ = watchdog::is_running();
        watchdog::set_response(Response::Report);
        Outcome::Ran
    };

    "panic::set_action" => {
        panic::set_action(Action::Exit(ExitCode::from(101)));
        Outcome::Ran
    };
    "panic::last_words" => {
        let _ = panic::last_words();
        Outcome::Ran
    };
    "CrashReport::{cpu,uptime,text,stop}" => places::crash_report().map_or(Outcome::Absent, |report| {
        let told = report.cpu() == Some(cpu::current()) && report.uptime() > Duration::ZERO;
        holds(told && report.text().contains("panic on cpu") && report.stop().is_complete(), "wrong")
    });
    // There is no way back from here: the exit code says what became of it.
    "panic::stop_others" => {
        let report = panic::stop_others(LIMIT);
        if report.is_complete() {
            power::exit(ExitCode::from(RAN_AND_ENDED));
        }
        holds(false, "incomplete")
    };
    "panic!" => panic!("on purpose: panic!");
    "power::exit" => power::exit(ExitCode::from(ENDED));
    "power::off" => power::off();
    "power::reset" => power::reset();
};
