//! Where something is noted, and what.

/// What a record is to whoever draws it.
///
/// ```no_run
/// use reveille::trace::{Event, Shape};
///
/// # fn example(event: &Event, depth: &mut usize) {
/// match event.shape() {
///     Shape::Begin => *depth += 1,
///     Shape::End => *depth = depth.saturating_sub(1),
///     Shape::Instant => {}
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shape {
    /// A moment.
    Instant = b'I',
    /// Something begins that ends on the same CPU.
    Begin = b'B',
    /// It ends.
    End = b'E',
}

/// What the value of a record is.
///
/// ```no_run
/// use reveille::trace::{Event, Record, Value};
///
/// # fn example(event: &Event, record: Record) {
/// if event.value() == Value::Interrupt {
///     reveille::println!("interrupt {}", record.value);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Value {
    /// Nothing.
    None = b'-',
    /// A number.
    Number = b'n',
    /// A number of the application's.
    Application = b'a',
    /// The id of a CPU.
    Cpu = b'c',
    /// The number of an interrupt.
    Interrupt = b'i',
    /// What an SGI takes, as the register ICC_SGI1R_EL1 has it; bit 63: of a GICv2; with bit 62: of a BCM2836.
    Sgi = b's',
    /// What a message is told by, an address; above bit 48 the CPU that it goes to.
    To = b't',
    /// What a message is told by that has come here.
    From = b'f',
}

/// What is noted at a site.
///
/// ```no_run
/// # fn example(record: reveille::trace::Record) {
/// if let Some(event) = reveille::trace::event(record.site) {
///     reveille::println!("{} {:?}", event.name(), event.shape());
/// }
/// # }
/// ```
// `repr(C)`, as it is read from memory cores too.
#[derive(Debug)]
#[repr(C)]
pub struct Event {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) value: Value,
}

impl Event {
    /// For [`trace!`](crate::trace!) and the runtime.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape, value: Value) -> Self {
        Self { name, shape, value }
    }

    /// Its name.
    ///
    /// ```no_run
    /// # fn example(event: &reveille::trace::Event) {
    /// let is_idle = event.name() == "idle";
    /// # }
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether something begins, ends or happens.
    ///
    /// ```no_run
    /// # fn example(event: &reveille::trace::Event) {
    /// let is_moment = event.shape() == reveille::trace::Shape::Instant;
    /// # }
    /// ```
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// What its value is.
    ///
    /// ```no_run
    /// # fn example(event: &reveille::trace::Event) {
    /// let has_cpu = event.value() == reveille::trace::Value::Cpu;
    /// # }
    /// ```
    #[must_use]
    pub const fn value(&self) -> Value {
        self.value
    }
}

/// What [`trace!`](crate::trace!) takes: a whole number, a `bool`, or a pointer.
///
/// ```no_run
/// use reveille::trace::Traced;
///
/// struct Celsius(i16);
///
/// impl Traced for Celsius {
///     fn bits(self) -> u64 {
///         self.0.bits()
///     }
/// }
///
/// # fn example(now: Celsius) {
/// reveille::trace!("temperature", now);
/// # }
/// ```
pub trait Traced {
    /// As 64 bits; signs are extended.
    fn bits(self) -> u64;
}

macro_rules! traced {
    ($($type:ty)*) => {
        $(impl Traced for $type {
            #[allow(clippy::cast_lossless, reason = "one form for all types")]
            #[inline(always)]
            fn bits(self) -> u64 {
                self as u64
            }
        })*
    };
}
traced!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize bool);

impl<T> Traced for *const T {
    #[inline(always)]
    fn bits(self) -> u64 {
        self as usize as u64
    }
}

/// One site, as the section `.trace_sites` lists it: distances from each field to what it means.
#[repr(C)]
pub(crate) struct SiteEntry {
    site: i32,
    event: i32,
}

impl SiteEntry {
    /// What records of this site have as that: the low half of its address.
    pub(crate) fn site(&self) -> u32 {
        (&raw const self.site as u64).wrapping_add_signed(i64::from(self.site)) as u32
    }

    pub(crate) fn event(&self) -> &'static Event {
        let event = (&raw const self.event as u64).wrapping_add_signed(i64::from(self.event));
        // SAFETY: the assembly of `__trace_site!` wrote the distance to a static `Event`.
        unsafe { &*(event as *const Event) }
    }
}

/// All sites of the image.
pub(crate) fn sites() -> &'static [SiteEntry] {
    unsafe extern "C" {
        static __trace_sites_start: SiteEntry;
        static __trace_sites_end: SiteEntry;
    }
    let (start, end) = (&raw const __trace_sites_start, &raw const __trace_sites_end);
    // SAFETY: the linker script puts all entries, and nothing else, between the two symbols.
    unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) }
}

/// The address of the place where it stands, which is listed as a site of the static `$event`.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace_site {
    ($($event:tt)+) => {{
        let site: u64;
        // SAFETY: an address is computed, nothing else. The section gets one entry, as `SiteEntry` has it. Not `pure`, so that each use is
        // a site of its own.
        unsafe {
            ::core::arch::asm!(
                "2: adr {site}, 2b",
                ".pushsection .trace_sites, \"a\"",
                ".balign 8",
                ".long 2b - .",
                ".long {event} - .",
                ".popsection",
                site = out(reg) site,
                event = sym $($event)+,
                options(nomem, nostack, preserves_flags)
            );
        }
        site
    }};
}
