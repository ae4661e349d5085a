//! The report of a panic in a log, or the last words that a boot has printed of the run before: what of a machine can be had of them.

use crate::machine::{Cpu, Machine};
use reveille_symbolize::log::Log;

/// What a report says in its first line, and what last words have before each of theirs.
const PANIC: &str = "panic on ";
const LAST_WORDS: &str = "| ";
const END: &str = "end of the report: ";

/// The machine of the last report in the log. `None` if there is none, or none that names its image.
pub(crate) fn read(log: &Log) -> Option<Machine> {
    let text: Vec<_> = log
        .lines()
        .map(|line| {
            let line = String::from_utf8_lossy(line.bytes()).into_owned();
            line.strip_prefix(LAST_WORDS).map(str::to_owned).unwrap_or(line)
        })
        .collect();
    let begin = text.iter().rposition(|line| line.starts_with(PANIC) && !line.starts_with("panic while "))?;
    let mut reader = Reader { machine: Machine::default(), current: None, has_image: false };
    for line in &text[begin..] {
        if line.starts_with(END) {
            break;
        }
        reader.line(line);
    }
    reader.has_image.then_some(reader.machine)
}

struct Reader {
    machine: Machine,
    /// The CPU that the lines are about.
    current: Option<usize>,
    has_image: bool,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["panic", "on", "cpu", number, ..] => {
                self.begin(number);
                // Affinities are in no report of a machine whose tree was read.
                if let Some(number) = self.current {
                    self.machine.reporter = Some(self.machine.cpus[number].mpidr);
                    self.machine.cpus[number].state = Cpu::state_named("online").unwrap_or(0);
                }
            }
            ["panic", "on", "mpidr", affinity, ..] => {
                self.begin("0");
                self.machine.cpus[0].mpidr = hexadecimal(affinity).unwrap_or(0);
                self.machine.reporter = Some(self.machine.cpus[0].mpidr);
            }
            ["image", start, "to", _, "build", build] => {
                let (start, build) = (hexadecimal(start), u64::from_str_radix(build, 16).ok());
                if let (Some(start), Some(build), false) = (start, build, self.has_image) {
                    (self.machine.image, self.machine.build) = (start, build);
                    self.has_image = true;
                }
            }
            ["cpu", number, state, "generation", generation, ..] if !line.starts_with(' ') => {
                self.begin(number);
                let Some(cpu) = self.current.map(|number| &mut self.machine.cpus[number]) else { return };
                cpu.state = Cpu::state_named(state).unwrap_or(0);
                cpu.generation = generation.trim_end_matches(':').parse().unwrap_or(0);
                let fate = line.split_once(": ").map_or("", |(_, fate)| fate);
                cpu.parked = Cpu::parked_as(fate);
            }
            // What does not run on a CPU.
            ["context" | "home", ..] if !line.starts_with(' ') => self.current = None,
            _ => self.registers(&words),
        }
    }

    /// The lines from here on are about this CPU.
    fn begin(&mut self, number: &str) {
        self.current = number.parse().ok().filter(|number| *number < 65_536);
        let Some(number) = self.current else { return };
        while self.machine.cpus.len() <= number {
            let mpidr = self.machine.cpus.len() as u64;
            self.machine.cpus.push(Cpu { mpidr, ..Cpu::default() });
        }
    }

    fn registers(&mut self, words: &[&str]) {
        let Some(cpu) = self.current.map(|number| &mut self.machine.cpus[number]) else { return };
        if words.first() == Some(&"pc") {
            let value = |name| {
                let at = words.iter().position(|word| *word == name)?;
                hexadecimal(words.get(at + 1)?)
            };
            let [pc, lr, sp, pstate] = ["pc", "lr", "sp", "spsr"].map(value);
            cpu.is_known = pc.is_some();
            (cpu.pc, cpu.x[30], cpu.sp) = (pc.unwrap_or(0), lr.unwrap_or(0), sp.unwrap_or(0));
            cpu.pstate = pstate.unwrap_or(cpu.pstate);
            // An exception names both stack pointers, and its state before.
            let thread = words.iter().position(|word| *word == "thread").and_then(|at| words.get(at + 2));
            if let Some(thread) = thread.and_then(|word| hexadecimal(word))
                && cpu.pstate & 1 == 0
            {
                cpu.sp = thread;
            }
            return;
        }
        if words.first() == Some(&"ESR") {
            let value = |name| {
                let at = words.iter().position(|word| *word == name)?;
                hexadecimal(words.get(at + 1)?)
            };
            (cpu.esr, cpu.far) = (value("ESR").unwrap_or(0), value("FAR").unwrap_or(0));
            cpu.pstate = value("SPSR").unwrap_or(0);
            return;
        }
        let first =
            words.first().and_then(|word| word.strip_prefix('x')).and_then(|number| number.parse().ok());
        let Some(first) = first.filter(|first: &usize| *first < 31) else { return };
        for (register, word) in cpu.x[first..].iter_mut().zip(&words[1..]) {
            *register = u64::from_str_radix(word, 16).unwrap_or(0);
        }
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_end_matches(',').strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
panic on cpu 1 at 0.089537 s: on a secondary
  at tests/target/src/bin/crash.rs:304:41
  image 0x40200000 to 0x40284000, build b58989421949085f
  pc 0x40226830 lr 0x40226834 sp 0xf00000033ec0 spsr 0x60000204
  x19 0000000000000001 000000004006d410 000000004006d7a8 000000000000001b
  x27 0000000000000005 0000000000000006
  backtrace: 0x4020bab0
cpu 0 online generation 3: stopped by NMI, it had interrupts masked
  pc 0x40221028 lr 0x40220fc8 sp 0xf000000036b0 spsr 0x204
  x0  0000000005194fea 0000000000000001 0000000000000000 00000000000efa89
  backtrace: 0x40221028
cpu 2 gone generation 9: was not running
end of the report: 3 CPUs
  pc 0x1 lr 0x2
";

    fn parsed(text: &str) -> Option<Machine> {
        read(&Log::parse(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_report_has_registers() {
        let words: String = REPORT.lines().map(|line| format!("| {line}\n")).collect();
        for text in [REPORT, &words] {
            let machine = parsed(&format!("before\n{text}after\n")).unwrap();
            assert_eq!((machine.image, machine.build), (0x4020_0000, 0xb589_8942_1949_085f));
            assert_eq!((machine.cpus.len(), machine.reporter), (3, Some(1)));
            let [first, second, third] = &machine.cpus[..] else { panic!("three") };
            assert_eq!((first.pc, first.x[3], first.generation, first.parked), (0x4022_1028, 0xe_fa89, 3, 2));
            assert_eq!((second.pc, second.x[30], second.x[20]), (0x4022_6830, 0x4022_6834, 0x4006_d410));
            assert_eq!((second.x[27], second.x[28], second.sp), (5, 6, 0xf000_0003_3ec0));
            assert!(!third.is_known && third.generation == 9);
            assert!(machine.pieces.is_empty());
        }
    }

    #[test]
    fn a_report_that_names_no_image_is_none() {
        assert!(parsed("nothing\n").is_none());
        assert!(parsed("panic on cpu 0 at 1 s: x\n").is_none());
        assert!(parsed("panic on cpu many\n  image 0x1 to 0x2, build 0\n").is_some());
    }
}
