//! The dump in a log: from lines to a machine.

use crate::machine::{Cpu, Machine, Piece};
use reveille_machine::dump::{self, BadLine, call, frame, info, registers};
use reveille_symbolize::log::Log;
use std::collections::BTreeMap;

/// Complaints that are made one by one.
const SHOWN: usize = 10;
/// More than any machine has.
const MOST_CPUS: u64 = 65_536;
/// Words of memory in a log, which come through a console: half a GiB.
const MOST_WORDS: usize = 1 << 26;

/// The last dump in the log `name`, and what is wrong with it. `None` if there is none.
///
/// # Errors
///
/// If too little of it is left.
pub(crate) fn read(log: &Log, name: &str) -> Result<Option<(Machine, Vec<String>)>, String> {
    let lines: Vec<_> = log.lines().map(|line| line.bytes().trim_ascii()).collect();
    let is = |marker: &'static str| move |line: &&[u8]| line.ends_with(marker.trim_end().as_bytes());
    let Some(begin) = lines.iter().rposition(|line| is(dump::BEGIN)(line)) else { return Ok(None) };
    let mut words = BTreeMap::new();
    // Those beyond what is shown are counted.
    let (mut complaints, mut more) = (Vec::new(), 0);
    let mut complain =
        |what: String| if complaints.len() < SHOWN { complaints.push(what) } else { more += 1 };
    let mut next = 0_u16;
    let mut is_whole = false;
    let mut bad_before = false;
    for (at, line) in lines.iter().enumerate().skip(begin + 1) {
        if is(dump::END)(line) {
            is_whole = true;
            break;
        }
        // What a terminal has put before it, such as the time.
        let text = line.rsplit(|byte| *byte == b' ').next().unwrap_or(line);
        if text.is_empty() {
            continue;
        }
        let mut found = Vec::new();
        match dump::decode(text, |address, word| found.push((address, word))) {
            Ok(number) => {
                let lost = number.wrapping_sub(next);
                // A line that was bad has been complained of.
                if lost != 0 && !(bad_before && lost == 1) {
                    complain(format!("{name}:{}: {lost} lines are missing before it", at + 1));
                }
                bad_before = false;
                next = number.wrapping_add(1);
                words.extend(found);
                if words.len() > MOST_WORDS {
                    return Err(format!("{name}:{}: more memory than a core of a log may have", at + 1));
                }
            }
            Err(why) => {
                bad_before = why != BadLine::Form || !bad_before;
                complain(format!("{name}:{}: {why}", at + 1));
            }
        }
    }
    if !is_whole {
        complaints.insert(0, format!("{name}: the dump that begins in line {} has no end", begin + 1));
    }
    if more > 0 {
        complaints.push(format!("{name}: {more} more of this kind"));
    }
    let machine = machine(words).map_err(|lacks| {
        let first = complaints.first().map(|first| format!("; {first}")).unwrap_or_default();
        format!("of the dump in line {} of '{name}' {lacks}{first}", begin + 1)
    })?;
    Ok(Some((machine, complaints)))
}

/// What these words say, by their addresses.
fn machine(mut words: BTreeMap<u64, u64>) -> Result<Machine, String> {
    let about: Vec<_> =
        (0..info::WORDS as u64).map_while(|at| words.remove(&(dump::INFO + 8 * at))).collect();
    if about.len() < info::WORDS {
        return Err("the first line is lost, which says what it is of".to_owned());
    }
    if about[info::VERSION] != dump::VERSION {
        return Err(format!("the version is {}, and {} is known here", about[info::VERSION], dump::VERSION));
    }
    if !(1..=MOST_CPUS).contains(&about[info::CPUS]) {
        return Err(format!("the number of CPUs is {}", about[info::CPUS]));
    }
    let reporter = (about[info::REPORTER] != 0).then_some(about[info::REPORTER] & !(1 << 63));
    let cpus = (0..about[info::CPUS]).map(|number| cpu(&words, &about, number, reporter)).collect();
    // Whatever else is there is not memory.
    let beyond = dump::INFO..=dump::cpu(MOST_CPUS as usize);
    words.retain(|address, _| !beyond.contains(address) && address.is_multiple_of(8));
    let mut pieces: Vec<Piece> = Vec::new();
    for (address, word) in words {
        let bytes = word.to_le_bytes();
        match pieces.last_mut() {
            Some(piece) if piece.address + piece.bytes.len() as u64 == address => piece.bytes.extend(bytes),
            _ => pieces.push(Piece { address, bytes: bytes.into() }),
        }
    }
    Ok(Machine { image: about[info::IMAGE], build: about[info::BUILD], reporter, cpus, pieces })
}

/// The CPU `number`, as the words of its area and what it has left say; what of these is lost is 0, and if it is a register there are none.
fn cpu(words: &BTreeMap<u64, u64>, about: &[u64], number: u64, reporter: Option<u64>) -> Cpu {
    let word = |at: u64| words.get(&at).copied();
    let field = |word: usize, low: u32| about[word] >> low & 0xffff;
    let area = about[info::AREAS].wrapping_add(number * field(info::LAYOUT, 0));
    let of_area = |offset| word(area.wrapping_add(offset)).unwrap_or(0);
    let slot = of_area(field(info::LAYOUT, 32));
    let crumbs = of_area(field(info::MARKS, 16));
    let pen = word(crumbs.wrapping_add(8)).unwrap_or(0);
    let mut cpu = Cpu {
        mpidr: of_area(field(info::LAYOUT, 16)),
        state: slot as u8,
        reason: (slot >> 8) as u16,
        generation: (slot >> 32) as u32,
        // Bits 7:0 of the word; the others are for those who send to it.
        parked: of_area(field(info::LAYOUT, 48)) & 0xff,
        stage: word(crumbs).unwrap_or(0) as u8,
        pen: (pen >> 32 != 0).then_some(pen as u32),
        ..Cpu::default()
    };
    let runs = dump::cpu(number as usize);
    let evidence = of_area(field(info::MARKS, 0));
    let found = if words.contains_key(&runs) {
        (0..registers::WORDS as u64).map(|at| word(runs + 8 * at)).collect()
    } else if cpu.parked == 0 && Some(cpu.mpidr) != reporter || evidence == 0 {
        None
    } else {
        let at = |offset: u64| word((evidence & !3).wrapping_add(offset));
        if matches!(evidence & 3, 1 | 2) {
            if evidence & 3 == frame::OWN {
                cpu.esr = at(frame::ESR).unwrap_or(0);
                cpu.far = at(frame::ESR + 8).unwrap_or(0);
            }
            // Which of the stack pointers it used, is said by `PSTATE.SP`.
            let thread = at(frame::PC + 8).unwrap_or(0) & 1 == 0;
            let sp = frame::SP + if thread { 8 } else { 0 };
            (0..31).map(|n| frame::X + 8 * n).chain([sp, frame::PC, frame::PC + 8]).map(at).collect()
        } else {
            (0..19)
                .map(|_| Some(0))
                .chain((0..10).map(|n| at(call::X19 + 8 * n)))
                .chain([call::FP, call::FP + 8, call::SP, call::SP + 8, call::SP + 16].map(at))
                .collect::<Option<Vec<_>>>()
        }
    };
    if let Some([x @ .., sp, pc, pstate]) = found.as_deref() {
        cpu.is_known = true;
        cpu.x.copy_from_slice(x);
        (cpu.sp, cpu.pc, cpu.pstate) = (*sp, *pc, *pstate);
    }
    cpu
}

#[cfg(test)]
mod tests {
    use super::*;
    use dump::Encoder;
    use std::cell::RefCell;

    /// A dump of two CPUs with 600 words of memory, as text.
    fn sample() -> String {
        thread_local!(static TEXT: RefCell<String> = const { RefCell::new(String::new()) });
        let mut encoder = Encoder::new(|letter| TEXT.with_borrow_mut(|text| text.push(char::from(*letter))));
        // Areas of 64 bytes: affinity, slot, how it parked, what it left, breadcrumbs.
        let about =
            [1, 0x4020_0000, 0xb1, 2, 1 << 63 | 1, 0x4800_0000, 16 << 48 | 8 << 32 | 64, 24 | 32 << 16];
        for (at, word) in about.into_iter().enumerate() {
            encoder.word(dump::INFO + 8 * at as u64, word);
        }
        // The first was stopped by an interrupt, the second has reported.
        for (at, word) in [0, 7 << 32 | 4, 0x101, 0x4900_0001, 0x4a00_0000, 0, 0, 0].into_iter().enumerate() {
            encoder.word(0x4800_0000 + 8 * at as u64, word);
        }
        for (at, word) in [1, 9 << 32 | 4, 0, 0x4900_1003, 0, 0, 0, 0].into_iter().enumerate() {
            encoder.word(0x4800_0040 + 8 * at as u64, word);
        }
        for at in 0..38 {
            encoder.word(0x4900_0000 + 8 * at, 1000 + at);
            encoder.word(0x4900_1000 + 8 * at, 2000 + at);
        }
        encoder.word(0x4a00_0000, 2);
        encoder.word(0x4a00_0008, 1 << 32 | 5);
        for at in 0..600 {
            encoder.word(0x4023_0000 + 8 * at, at << 30 | 1);
        }
        encoder.finish();
        let lines = TEXT.take();
        format!("panic on cpu 1\n-----BEGIN REVEILLE CORE-----\n{lines}-----END REVEILLE CORE-----\nlater\n")
    }

    fn parsed(text: &str) -> Result<(Machine, Vec<String>), String> {
        read(&Log::parse(text.as_bytes().to_vec()), "log").map(|read| read.expect("a dump"))
    }

    #[test]
    fn a_whole_dump_is_whole() {
        let (machine, complaints) = parsed(&sample()).unwrap();
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!((machine.image, machine.build, machine.reporter), (0x4020_0000, 0xb1, Some(1)));
        assert_eq!(machine.cpus.len(), 2);
        let [stopped, reporter] = &machine.cpus[..] else { panic!("two") };
        assert!(stopped.is_known && reporter.is_known);
        assert_eq!((stopped.state, stopped.generation, stopped.parked), (4, 7, 1));
        assert_eq!((stopped.stage, stopped.pen, stopped.esr), (2, Some(5), 0));
        // PSTATE is 1034, so the stack pointer is that of a thread.
        assert_eq!((stopped.x[30], stopped.sp, stopped.pc, stopped.pstate), (1030, 1032, 1033, 1034));
        assert_eq!((reporter.x[18], reporter.x[19], reporter.x[28], reporter.x[29]), (0, 2002, 2011, 2000));
        assert_eq!((reporter.x[30], reporter.sp, reporter.pc, reporter.pstate), (2001, 2012, 2013, 2014));
        let piece = machine.pieces.iter().find(|piece| piece.address == 0x4023_0000).unwrap();
        assert_eq!(piece.bytes.len(), 4800);
    }

    #[test]
    fn a_terminal_may_add_to_lines() {
        let text = sample().replace("\n", "\r\n[12:00:00.123] ");
        let (machine, complaints) = parsed(&text).unwrap();
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(machine, parsed(&sample()).unwrap().0);
    }

    #[test]
    fn each_lost_line_is_named_and_costs_only_itself() {
        let text = sample();
        let lines: Vec<_> = text.lines().collect();
        let whole = parsed(&text).unwrap().0;
        let size = |machine: &Machine| machine.pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        // Not the first, which says what it is of.
        for lost in 3..lines.len() - 2 {
            let mut damaged = lines.clone();
            let other = damaged[lost].replacen(['A', 'Q', 'C', 'B'], "x", 1);
            assert_ne!(other, damaged[lost]);
            damaged[lost] = &other;
            let (machine, complaints) = parsed(&damaged.join("\n")).unwrap();
            assert_eq!(complaints, [format!("log:{}: its checksum is wrong", lost + 1)]);
            assert!(machine == whole || size(&machine) < size(&whole) || machine.cpus != whole.cpus);
            assert!(size(&machine) + 1024 > size(&whole));
            damaged.remove(lost);
            let (_, complaints) = parsed(&damaged.join("\n")).unwrap();
            if lost + 1 < lines.len() - 2 {
                assert_eq!(complaints, [format!("log:{}: 1 lines are missing before it", lost + 1)]);
            }
        }
        let mut damaged = lines.clone();
        damaged.remove(2);
        assert!(parsed(&damaged.join("\n")).unwrap_err().contains("the first line is lost"));
    }

    #[test]
    fn a_dump_may_end_anywhere() {
        let text = sample();
        let first = text.find(dump::BEGIN).unwrap() + dump::BEGIN.len();
        for length in (first..=text.len()).step_by(11).chain([text.len()]) {
            match parsed(&text[..length]) {
                Ok((_, complaints)) => {
                    assert_eq!(
                        complaints.is_empty(),
                        text[..length].contains(dump::END.trim_end()),
                        "{length}"
                    );
                }
                Err(why) => assert!(why.contains("line 2 of 'log'"), "{why}"),
            }
        }
    }

    #[test]
    fn a_log_without_a_dump_has_none() {
        assert!(read(&Log::parse(b"nothing\n".to_vec()), "log").unwrap().is_none());
    }
}
