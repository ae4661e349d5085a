//! The backend of the `log` crate: time stamp and CPU before each line.

use crate::clock::Instant;
use crate::percpu::area;
use log::{LevelFilter, Log, Metadata, Record};

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = Instant::now().uptime();
        let cpu = area::try_current().map_or(0, |area| area.id.index());
        crate::println!(
            "[{:5}.{:06}] cpu {cpu} {}: {}",
            time.as_secs(),
            time.subsec_micros(),
            record.level(),
            record.args()
        );
    }

    fn flush(&self) {}
}

/// Starts logging: warnings and errors, or what the bootarg `log=LEVEL` says.
pub(crate) fn init(level: Option<LevelFilter>) {
    // Fails only if the application has installed a logger of its own, which then stays.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level.unwrap_or(LevelFilter::Warn));
    }
}
