//! Guests and their CPUs, and how these get onto CPUs of the machine.
//!
//! A vCPU has a home, which is one of the CPUs online: that runs its vCPUs in turn, each until an interrupt comes, which ends the turn. So
//! whatever asks something of the CPU is served there, between two turns it may leave, and homes are others then.

use crate::gic::{self, Bank};
use crate::interface::{self, Interface};
use crate::registers::{Registers, Simd, isb, read, write};
use crate::{exits, memory};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::exception::{self, Frame, Kind};
use reveille::sync::Mutex;
use reveille::time::{Alarm, Instant};
use reveille::{call, irq};

pub const MAX_VCPUS: usize = 4;
pub static GUESTS: [Guest; 2] = [Guest::new(0), Guest::new(1)];
/// What the report of a panic says of a CPU that runs one.
static LABELS: [[&str; MAX_VCPUS]; 2] = [
    ["guest 0 vcpu 0", "guest 0 vcpu 1", "guest 0 vcpu 2", "guest 0 vcpu 3"],
    ["guest 1 vcpu 0", "guest 1 vcpu 1", "guest 1 vcpu 2", "guest 1 vcpu 3"],
];
/// The CPU that booted has something else to do, if there is another.
pub static SPARES_BOOT_CPU: AtomicBool = AtomicBool::new(false);

reveille::percpu! {
    /// The vCPU whose registers are on this CPU.
    static LOADED: AtomicPtr<Vcpu> = AtomicPtr::new(core::ptr::null_mut());
    /// The last one, whose translations may be in its TLB.
    static LAST: AtomicPtr<Vcpu> = AtomicPtr::new(core::ptr::null_mut());
    /// An interrupt at the end of a turn, or when there may be something to do.
    static ALARM: Alarm = Alarm::new(|| ());
}

/// Time that a vCPU has before the next one's turn, if there is one, and exits that it may cause in it.
const TURN: Duration = Duration::from_millis(5);
const EXITS: usize = 200;

/// `HCR_EL2`: stage 2, EL1 in AArch64; interrupts are ours; WFI, SMC and identification registers trap; TLB and cache maintenance of a guest
/// reaches every CPU that its vCPUs may move to. Pointer authentication traps, which the identification registers do not tell of.
const HCR: u64 = 1 << 31 | 1 << 19 | 1 << 18 | 1 << 13 | 1 << 10 | 1 << 9 | 0b111 << 3 | 1 << 1 | 1;
/// `MDCR_EL2`: performance monitors and what debugs trap.
const MDCR_TRAPS: u64 = 0b111 << 9 | 0b11 << 5;
/// `SCTLR_EL1` with MMU and caches off, and EL1h with everything masked.
const SCTLR_OFF: u64 = 0x30d0_0800;
const EL1H: u64 = 0x3c5;
/// How a guest is, and what that is called.
pub const ABSENT: u8 = 0;
const RUNNING: u8 = 1;
pub const SWITCHED_OFF: u8 = 2;
pub const RESET: u8 = 3;
pub const STOPPED: u8 = 4;
pub const FAILED: u8 = 5;
pub const NAMES: [&str; 6] = ["absent", "running", "off", "reset", "stopped", "failed"];
/// Whether a vCPU is on: it is not; somebody turns it on; it is to begin; it is.
pub const OFF: u8 = 0;
pub const STARTING: u8 = 1;
const READY: u8 = 2;
pub const ON: u8 = 3;

pub struct Guest {
    pub index: usize,
    vcpus: [Vcpu; MAX_VCPUS],
    count: AtomicUsize,
    state: AtomicU8,
    /// `VTTBR_EL2`.
    tables: AtomicU64,
    /// `CNTVOFF_EL2`.
    offset: AtomicU64,
    pub exits: AtomicU64,
    /// `GICD_CTLR`.
    pub control: AtomicU32,
    /// The registers of shared interrupts.
    pub shared: [Bank; gic::SHARED],
    /// What it prints, until the line is complete, and how long that is.
    pub console: Mutex<([u8; 160], usize)>,
}

impl Guest {
    const fn new(index: usize) -> Self {
        Self {
            index,
            vcpus: [Vcpu::new(index, 0), Vcpu::new(index, 1), Vcpu::new(index, 2), Vcpu::new(index, 3)],
            count: AtomicUsize::new(0),
            state: AtomicU8::new(ABSENT),
            tables: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            exits: AtomicU64::new(0),
            control: AtomicU32::new(0),
            shared: [const { Bank::new() }; gic::SHARED],
            console: Mutex::new(([0; 160], 0)),
        }
    }

    pub fn vcpus(&self) -> &[Vcpu] {
        &self.vcpus[..self.count.load(Relaxed)]
    }

    pub fn state(&self) -> u8 {
        self.state.load(SeqCst)
    }

    /// Whether it runs no longer, and all of its vCPUs have noticed.
    pub fn is_over(&self) -> bool {
        self.state() != RUNNING && self.vcpus().iter().all(|vcpu| vcpu.running_on.load(SeqCst) == 0)
    }

    /// The guest begins: with its first vCPU at `entry`, which is told `context`.
    pub fn start(&self, tables: u64, vcpus: usize, entry: u64, context: u64) {
        self.count.store(vcpus, Relaxed);
        self.tables.store(tables | (self.index as u64 + 1) << 48, Relaxed);
        self.offset.store(Instant::now().ticks(), Relaxed);
        self.state.store(RUNNING, SeqCst);
        self.vcpus[0].begin(entry, context);
    }

    /// The guest ends so. The first one counts.
    pub fn end(&self, how: u8) {
        if self.state.compare_exchange(RUNNING, how, SeqCst, SeqCst).is_ok() {
            self.vcpus().iter().filter_map(Vcpu::place).for_each(cpu::wake);
        }
    }
}

pub struct Vcpu {
    guest: usize,
    pub index: usize,
    pub power: AtomicU8,
    entry: AtomicU64,
    context: AtomicU64,
    /// The registers of its own interrupts.
    pub bank: Bank,
    /// It waits for an interrupt.
    pub waits: AtomicBool,
    /// When its timer fires, in ticks of the machine's counter.
    due: AtomicU64,
    /// One more than the number of the CPU that runs it; 0: none does.
    running_on: AtomicUsize,
    saved: Mutex<Saved>,
}

/// What a vCPU has that is on a CPU while it runs there.
struct Saved {
    frame: Frame,
    registers: Registers,
    interface: Interface,
    simd: Simd,
}

impl Saved {
    const NEW: Self = Self {
        frame: Frame::new(),
        registers: Registers::NEW,
        interface: Interface::NEW,
        simd: Simd([0; 32]),
    };
}

/// The vCPU whose registers are on this CPU. In a handler, or with interrupts masked.
pub fn loaded() -> Option<&'static Vcpu> {
    // SAFETY: null, or stored by `load`, which has a `&'static`.
    unsafe { LOADED.load(Relaxed).as_ref() }
}

/// There may be something new for `vcpu`: whoever runs it looks. Its own CPU does so before it goes on.
pub fn tell(vcpu: &Vcpu) {
    // A call comes between any two instructions of whatever the CPU does, so that nothing is missed between looking and entering the guest.
    let look = || _ = loaded().map(gic::inject);
    if let Some(cpu) = vcpu.place().filter(|&cpu| cpu != cpu::current())
        && call::post(cpu, look).is_err()
    {
        cpu::wake(cpu);
    }
}

impl Vcpu {
    const fn new(guest: usize, index: usize) -> Self {
        Self {
            guest,
            index,
            power: AtomicU8::new(OFF),
            entry: AtomicU64::new(0),
            context: AtomicU64::new(0),
            bank: Bank::new(),
            waits: AtomicBool::new(false),
            due: AtomicU64::new(u64::MAX),
            running_on: AtomicUsize::new(0),
            saved: Mutex::new(Saved::NEW),
        }
    }

    pub fn guest(&self) -> &'static Guest {
        &GUESTS[self.guest]
    }

    /// The CPU that runs it, or is to.
    fn place(&self) -> Option<CpuId> {
        match self.running_on.load(SeqCst) {
            0 => self.home(),
            cpu => cpu::get(cpu - 1),
        }
    }

    /// The CPU that is to run it.
    fn home(&self) -> Option<CpuId> {
        let mut hosts = cpu::online();
        if SPARES_BOOT_CPU.load(Relaxed) && hosts.len() > 1 {
            hosts.remove(CpuId::BOOT);
        }
        hosts.iter().nth((self.guest * MAX_VCPUS + self.index) % hosts.len())
    }

    /// It begins at `entry`, with `context` in x0. By whoever turns it on.
    pub fn begin(&self, entry: u64, context: u64) {
        self.entry.store(entry, Relaxed);
        self.context.store(context, Relaxed);
        self.power.store(READY, SeqCst);
        self.place().into_iter().for_each(cpu::wake);
    }

    /// Whether it has anything to do.
    fn is_runnable(&self) -> bool {
        let power = self.power.load(SeqCst);
        let waits = || self.waits.load(SeqCst) && gic::next(self, 0).is_none();
        let is_due = || self.due.load(Relaxed) <= Instant::now().ticks();
        self.guest().state() == RUNNING && (power == READY || power == ON && (!waits() || is_due()))
    }

    /// Gives it a turn, if nobody else does.
    fn run(&'static self, has_company: bool) {
        let Some(mut saved) = self.saved.try_lock() else { return };
        if self.power.compare_exchange(READY, ON, SeqCst, SeqCst).is_ok() {
            *saved = Saved::NEW;
            saved.frame.x[0] = self.context.load(Relaxed);
            saved.frame.elr = self.entry.load(Relaxed);
            saved.frame.spsr = EL1H;
            saved.registers.0[0] = SCTLR_OFF;
        }
        self.waits.store(false, SeqCst);
        let _ = has_company.then(|| ALARM.after(TURN));
        self.load(&saved);
        for _ in 0..EXITS {
            gic::inject(self);
            // SAFETY: stage 2 keeps the guest to its RAM and the virtual CPU interface; `load` has put there what it needs.
            let kind = unsafe { exception::enter(&mut saved.frame) };
            if kind == Ok(Kind::LowerIrq) || self.guest().state() != RUNNING {
                break;
            }
            self.guest().exits.fetch_add(1, Relaxed);
            let goes_on = match kind {
                Ok(Kind::Lower) => exits::handle(self, &mut saved.frame),
                kind => exits::failed(self, &saved.frame, format_args!("{kind:?}")),
            };
            if !goes_on {
                break;
            }
        }
        self.unload(&mut saved);
    }

    /// Puts its registers on this CPU.
    fn load(&'static self, saved: &Saved) {
        let guest = self.guest();
        let _masked = irq::mask();
        self.running_on.store(cpu::current().index() + 1, SeqCst);
        write!("vtcr_el2", memory::vtcr());
        write!("vttbr_el2", guest.tables.load(Relaxed));
        write!("vmpidr_el2", 1 << 31 | self.index as u64);
        write!("cntvoff_el2", guest.offset.load(Relaxed));
        write!("mdcr_el2", read!("mdcr_el2") | MDCR_TRAPS);
        write!("hcr_el2", HCR);
        isb();
        let this = core::ptr::from_ref(self).cast_mut();
        if LAST.swap(this, Relaxed) != this {
            // Another vCPU of this guest may have left translations of its own here, which have the same VMID.
            memory::forget_translations();
        }
        saved.simd.load();
        saved.interface.load();
        LOADED.store(this, Relaxed);
        saved.registers.load();
        isb();
        cpu::set_label(Some(&LABELS[self.guest][self.index]));
    }

    /// Takes them off again.
    fn unload(&self, saved: &mut Saved) {
        let _masked = irq::mask();
        gic::take_back(self);
        saved.interface.save();
        saved.simd.save();
        saved.registers.save();
        self.due.store(gic::stop_timers(self.guest().offset.load(Relaxed)), Relaxed);
        isb();
        cpu::set_label(None);
        LOADED.store(core::ptr::null_mut(), Relaxed);
        self.running_on.store(0, SeqCst);
    }
}

fn own() -> impl Iterator<Item = &'static Vcpu> {
    GUESTS.iter().flat_map(|guest| guest.vcpus()).filter(|vcpu| vcpu.home() == Some(cpu::current()))
}

/// Gives each vCPU at home here a turn that has something to do. `false`: none has. In thread context.
pub fn serve() -> bool {
    let runnable = own().filter(|vcpu| vcpu.is_runnable()).count();
    own().filter(|vcpu| vcpu.is_runnable()).for_each(|vcpu| vcpu.run(runnable > 1));
    runnable != 0
}

/// Waits until one may have. An offline point, in thread context.
pub fn rest() {
    let due = own().filter(|vcpu| vcpu.power.load(SeqCst) == ON).map(|vcpu| vcpu.due.load(Relaxed)).min();
    // `idle` comes back every 100 ms by itself, should it not be to be had.
    let _ = ALARM.set(Instant::from_ticks(due.unwrap_or(u64::MAX)));
    cpu::idle();
}

/// What every CPU but the first does, each time it comes online.
pub fn host(_: CpuId) -> ! {
    // Its TLB is that of another life.
    LAST.store(core::ptr::null_mut(), Relaxed);
    interface::enable(false, false);
    loop {
        if serve() {
            cpu::offline_point();
        } else {
            rest();
        }
    }
}
