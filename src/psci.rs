//! The Power State Coordination Interface (Arm DEN 0022), through the conduit and with the function ids that the
//! device tree gives.

use crate::arch::regs;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use reveille_machine::{BootArgs, Conduit, Psci};
use smccc::{Call, Hvc, Smc};
use spin::Once;

/// An error of PSCI (DEN 0022, 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PsciError(i32);

const NOT_SUPPORTED: i32 = -1;
const ALREADY_ON: i32 = -4;
const ON_PENDING: i32 = -5;
const INVALID_ADDRESS: i32 = -9;

impl PsciError {
    /// The code.
    pub(crate) const fn code(self) -> i32 {
        self.0
    }

    /// Whether asking again may help: the CPU is not quite off yet, or an older start is still out there.
    pub(crate) const fn may_pass(self) -> bool {
        matches!(self.0, ALREADY_ON | ON_PENDING)
    }
}

#[derive(Clone, Copy)]
struct Firmware {
    conduit: Conduit,
    cpu_on: u32,
    cpu_off: Option<u32>,
    #[cfg(feature = "fault-injection")]
    affinity_info: Option<u32>,
    system_off: Option<u32>,
    system_reset: Option<u32>,
}

static FIRMWARE: Once<Firmware> = Once::new();

/// Bit 30 of a function id: 64-bit calling convention (Arm DEN 0028, 2.5). The ids of PSCI 0.1 are firmware's own
/// choice, and mean the caller's register width.
const SMC64: u32 = 1 << 30;
/// Bit 31: a fast call of SMCCC at all.
const FAST: u32 = 1 << 31;

fn is_32_bit(function: u32) -> bool {
    function & FAST != 0 && function & SMC64 == 0
}

/// Whether firmware has been called. Relaxed: at worst that is said twice.
static CALLED: AtomicBool = AtomicBool::new(false);

/// How firmware is called, and what for.
struct Called<'a>(Conduit, &'a str);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(conduit, name) = self;
        let conduit = match conduit {
            Conduit::Hvc => "HVC",
            Conduit::Smc => "SMC",
        };
        write!(f, "PSCI by {conduit}, called from EL{}, first for {name}", if regs::at_el2() { 2 } else { 1 })
    }
}

impl Firmware {
    fn call(&self, name: &str, function: u32, arguments: [u64; 3]) -> i32 {
        if !CALLED.load(Ordering::Relaxed) {
            CALLED.store(true, Ordering::Relaxed);
            // If it never returns, or is no instruction here, this is the last line.
            log::info!("firmware: {}", Called(self.conduit, name));
        }
        let mut args = [0; 17];
        args[..3].copy_from_slice(&arguments);
        let result = match self.conduit {
            Conduit::Hvc => Hvc::call64(function, args),
            Conduit::Smc => Smc::call64(function, args),
        };
        // Results are 32-bit signed in either convention.
        result[0] as i32
    }
}

/// Learns how to call firmware. By the boot CPU, once.
pub(crate) fn init(psci: &Psci<'_>) {
    FIRMWARE.call_once(|| Firmware {
        conduit: psci.conduit,
        cpu_on: psci.cpu_on,
        cpu_off: psci.cpu_off,
        #[cfg(feature = "fault-injection")]
        affinity_info: psci.affinity_info,
        system_off: psci.system_off,
        system_reset: psci.system_reset,
    });
}

/// CPU_ON (DEN 0022, 5.6).
pub(crate) fn cpu_on(mpidr: u64, entry: u64, context: u64) -> Result<(), PsciError> {
    let Some(firmware) = FIRMWARE.get() else { return Err(PsciError(NOT_SUPPORTED)) };
    if is_32_bit(firmware.cpu_on) && entry > u64::from(u32::MAX) {
        return Err(PsciError(INVALID_ADDRESS));
    }
    match firmware.call("CPU_ON", firmware.cpu_on, [mpidr, entry, context]) {
        0 => Ok(()),
        code => Err(PsciError(code)),
    }
}

/// The bootarg `reveille.cpu_off=pen`, or what the board is: no CPU is turned off.
static TO_THE_PEN: AtomicBool = AtomicBool::new(false);

/// Reads the bootarg `reveille.cpu_off`: `firmware` (default), or `pen` for firmware that does not bring back what it has
/// turned off. CPUs that leave then wait in the pen, as they do on machines without such firmware. `stays_off` names a board whose
/// firmware is known for that: there `pen` is the default. By the boot CPU.
pub(crate) fn choose_off(args: BootArgs<'_>, stays_off: Option<&str>) {
    let pen = match stays_off {
        Some(board) => {
            let pen = !args.chooses("reveille.cpu_off", "pen", "firmware");
            if pen {
                log::info!(
                    "firmware of {board} does not start a CPU again: those that leave wait in the pen"
                );
            }
            pen
        }
        None => args.chooses("reveille.cpu_off", "firmware", "pen"),
    };
    // Relaxed: before any other CPU runs.
    TO_THE_PEN.store(pen, Ordering::Relaxed);
}

/// How a CPU turns itself off: (conduit as `reveille_leave` wants it, function id). `(0, 0)` if it cannot.
pub(crate) fn cpu_off() -> (u64, u32) {
    if TO_THE_PEN.load(Ordering::Relaxed) {
        return (0, 0);
    }
    match FIRMWARE.get() {
        Some(Firmware { conduit, cpu_off: Some(function), .. }) => match conduit {
            Conduit::Hvc => (1, *function),
            Conduit::Smc => (2, *function),
        },
        _ => (0, 0),
    }
}

/// AFFINITY_INFO of one CPU (DEN 0022, 5.7): 0 on, 1 off, 2 on its way; `None` if there is no such call.
#[cfg(feature = "fault-injection")]
pub(crate) fn affinity_info(mpidr: u64) -> Option<i32> {
    let firmware = FIRMWARE.get()?;
    Some(firmware.call("AFFINITY_INFO", firmware.affinity_info?, [mpidr, 0, 0]))
}

/// SYSTEM_OFF (DEN 0022, 5.10). Returns only if there is none.
pub(crate) fn system_off() {
    if let Some(Firmware { system_off: Some(function), .. }) = FIRMWARE.get() {
        FIRMWARE.get().map(|firmware| firmware.call("SYSTEM_OFF", *function, [0; 3]));
    }
}

/// SYSTEM_RESET (DEN 0022, 5.11). Returns only if there is none.
pub(crate) fn system_reset() {
    if let Some(Firmware { system_reset: Some(function), .. }) = FIRMWARE.get() {
        FIRMWARE.get().map(|firmware| firmware.call("SYSTEM_RESET", *function, [0; 3]));
    }
}

/// The image was entered at EL3: there is no firmware below.
static FIRMWARE_IS_OURS: AtomicBool = AtomicBool::new(false);

/// Says whether the image was entered at EL3. By the boot CPU.
pub(crate) fn set_ours(ours: bool) {
    // Relaxed: before any other CPU runs.
    FIRMWARE_IS_OURS.store(ours, Ordering::Relaxed);
}

/// Whether there is no firmware below: the image was entered at EL3.
pub(crate) fn firmware_is_ours() -> bool {
    FIRMWARE_IS_OURS.load(Ordering::Relaxed)
}
