//! What the runtime notes.

use super::site::{Event, Shape, Value};

macro_rules! events {
    ($($(#[$attribute:meta])* $name:ident: $text:literal, $shape:ident, $value:ident;)*) => {
        $($(#[$attribute])* pub(crate) static $name: Event = Event::new($text, Shape::$shape, Value::$value);)*
    };
}

events! {
    /// Firmware or a word in memory is about to be asked to let a CPU go.
    KICK: "kick", Instant, Cpu;
    /// This CPU has won its slot, and runs on its own stacks. With the generation.
    ARRIVE: "arrive", Instant, Number;
    /// It is a member of the system.
    ONLINE: "online", Instant, Number;
    /// The start of a CPU is over.
    SETTLED: "settled", Instant, Cpu;
    /// An SGI is sent.
    SGI: "sgi", Instant, Sgi;
    /// An interrupt was acknowledged.
    INTERRUPT: "interrupt", Begin, Interrupt;
    INTERRUPT_END: "interrupt", End, None;
    /// A call is sent, and waited for.
    CALL: "call", Begin, To;
    CALL_END: "call", End, None;
    /// A call of several: one for each.
    CALL_EACH: "call each", Begin, None;
    CALL_TO: "call to", Instant, To;
    CALL_EACH_END: "call each", End, None;
    /// What was called for is run.
    RUN: "run call", Begin, From;
    RUN_END: "run call", End, None;
    POST: "post", Instant, To;
    RUN_POST: "run post", Begin, From;
    RUN_POST_END: "run post", End, None;
    /// Waits for an interrupt.
    IDLE: "idle", Begin, None;
    IDLE_END: "idle", End, None;
    /// A round of stop-machine, of so many others, seen from the CPU that began it.
    GATHER: "stop machine", Begin, Number;
    /// All have come, and this CPU masks.
    GATHERED: "gathered", Instant, None;
    JOB: "job", Begin, None;
    JOB_END: "job", End, None;
    GATHER_END: "stop machine", End, None;
    /// The same, seen from the others.
    ATTEND: "attend", Begin, None;
    ATTEND_END: "attend", End, None;
    /// A CPU is to be taken down.
    DOWN: "cpu_down", Begin, Cpu;
    DOWN_END: "cpu_down", End, None;
    /// This CPU leaves.
    LEAVE: "leave", Begin, None;
    /// It could not.
    STAY: "leave", End, None;
    /// It goes.
    GONE: "gone", Instant, None;
    /// Keys were changed, at so many sites.
    KEYS: "keys", Instant, Number;
    /// This CPU was told to stop for good.
    STOPPED: "stopped", Instant, None;
    /// This CPU panics.
    PANIC: "panic", Instant, None;
}
