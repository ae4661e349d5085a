//! The guest's end of the shim at EL2, firmware that lies: `tests/shim`.
//!
//! What is planned for a CPU holds from its next start on, or its next power-off.

use core::arch::asm;
use reveille::System;
use reveille::cpu::{self, CpuId};
use reveille::dt::Conduit;

/// What is to become of a CPU. All but `Honest` add to what is planned already.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// No plan: everything is passed on as it comes.
    Honest,
    /// So many CPU_ON are answered with the code, and nothing else happens.
    Answer {
        /// What CPU_ON returns.
        code: i32,
        /// How often.
        times: u64,
    },
    /// CPU_ON starts the CPU, and returns this.
    Say(i32),
    /// The context id arrives as `(it & keep) + add`.
    Context {
        /// Bits that stay.
        keep: u64,
        /// What is added then, wrapping.
        add: u64,
    },
    /// It arrives so many ticks after CPU_ON, not before.
    Delay(u64),
    /// It arrives after [`release`], not before.
    Hold,
    /// CPU_OFF returns this, and nothing else happens.
    Stay(i32),
    /// It arrives with the MMU on, as it was when it left.
    MmuOn,
    /// It arrives at EL2. There the shim has no hold on it any more: no plan reaches it until the next start after it is off.
    AtEl2,
    /// It arrives with an SError pending.
    SError,
}

/// What the shim knows of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// 0 off, 1 on its way, 2 held at EL2, 3 at EL1.
    pub stage: u64,
    /// Calls of CPU_ON for it.
    pub calls: u64,
    /// How often it was really started.
    pub starts: u64,
    /// How often it has entered EL1.
    pub entries: u64,
}

/// Held at EL2: [`Look::stage`].
pub const HELD: u64 = 2;

fn hvc(function: u64, arguments: [u64; 4]) -> [u64; 4] {
    let [a, b, c, d] = arguments;
    let mut result = [function, a, b, c];
    // SAFETY: a call to the hypervisor by the convention of Arm DEN 0028: x0 to x17 are its to change. It changes no
    // memory of this image.
    unsafe {
        asm!("hvc #0",
            inout("x0") function => result[0],
            inout("x1") a => result[1],
            inout("x2") b => result[2],
            inout("x3") c => result[3],
            inout("x4") d => _,
            clobber_abi("C"),
            options(nostack));
    }
    result
}

/// Whether the shim is there. Without it the machine that has SMC as its conduit is entered at EL2.
pub fn is_present(system: &System) -> bool {
    let by_smc = system.machine().psci.as_ref().is_ok_and(|psci| psci.conduit == Conduit::Smc);
    system.entry_el() == 1 && by_smc && hvc(0xc600_0000, [0; 4])[0] == u64::from(u32::from_be_bytes(*b"SHIM"))
}

/// Plans something for `cpu`.
pub fn plan(cpu: CpuId, plan: Plan) {
    let code = |code: i32| i64::from(code) as u64;
    let (kind, a, b) = match plan {
        Plan::Honest => (0, 0, 0),
        Plan::Answer { code: answer, times } => (1, code(answer), times),
        Plan::Say(answer) => (2, code(answer), 0),
        Plan::Context { keep, add } => (3, keep, add),
        Plan::Delay(ticks) => (4, ticks, 0),
        Plan::Hold => (5, 0, 0),
        Plan::Stay(answer) => (6, code(answer), 0),
        Plan::MmuOn => (7, 0, 0),
        Plan::AtEl2 => (8, 0, 0),
        Plan::SError => (9, 0, 0),
    };
    let [answer, ..] = hvc(0xc600_0001, [cpu::mpidr(cpu), kind, a, b]);
    assert!(answer == 0, "the shim has no plan {plan:?} for cpu {cpu}");
}

/// Lets `cpu` go that a plan holds.
pub fn release(cpu: CpuId) {
    hvc(0xc600_0002, [cpu::mpidr(cpu), 0, 0, 0]);
}

/// Where `cpu` is.
pub fn look(cpu: CpuId) -> Look {
    let [stage, calls, starts, entries] = hvc(0xc600_0003, [cpu::mpidr(cpu), 0, 0, 0]);
    Look { stage, calls, starts, entries }
}

/// Sends `cpu` to the entry point of secondaries, at its next WFI or call; with the MMU off, or as it is.
pub fn again(cpu: CpuId, context: u64, keep_mmu: bool) {
    hvc(0xc600_0004, [cpu::mpidr(cpu), context, keep_mmu.into(), 0]);
}

/// Starts `cpu`, which nobody has asked for. What firmware would have said: 0 is success.
pub fn start(cpu: CpuId, context: u64) -> i32 {
    hvc(0xc600_0005, [cpu::mpidr(cpu), context, 0, 0])[0] as i32
}

/// This CPU gets an SError, now or as soon as it lets SErrors through.
pub fn serror() {
    hvc(0xc600_0007, [0; 4]);
}

/// This CPU stands still at EL2 for so many ticks, in whatever context it calls this.
pub fn freeze(ticks: u64) {
    hvc(0xc600_0006, [ticks, 0, 0, 0]);
}
