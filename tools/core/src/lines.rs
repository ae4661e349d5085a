//! The dump in a log: from lines to a machine.

use crate::machine::{Cpu, Machine, Piece};
use reveille_machine::dump::{self, BadLine, cpus, info};
use reveille_symbolize::log::Log;
use std::collections::BTreeMap;

/// Complaints that are made one by one.
const SHOWN: usize = 10;
/// More than any machine has.
const MOST_CPUS: u64 = 65_536;

/// The last dump in the log `name`, and what is wrong with it. `None` if there is none.
///
/// # Errors
///
/// If too little of it is left.
pub(crate) fn read(log: &Log, name: &str) -> Result<Option<(Machine, Vec<String>)>, String> {
    let lines: Vec<_> = log.lines().map(|line| line.bytes().trim_ascii()).collect();
    let is = |marker: &'static str| move |line: &&[u8]| line.ends_with(marker.as_bytes());
    let Some(begin) = lines.iter().rposition(|line| is(dump::BEGIN)(line)) else { return Ok(None) };
    let mut words = BTreeMap::new();
    let mut complaints = Vec::new();
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
                    complaints.push(format!("{name}:{}: {lost} lines are missing before it", at + 1));
                }
                bad_before = false;
                next = number.wrapping_add(1);
                words.extend(found);
            }
            Err(why) => {
                bad_before = why != BadLine::Form || !bad_before;
                complaints.push(format!("{name}:{}: {why}", at + 1));
            }
        }
    }
    if !is_whole {
        complaints.push(format!("{name}: the dump that begins in line {} has no end", begin + 1));
    }
    if complaints.len() > SHOWN {
        let more = complaints.len() - SHOWN;
        complaints.truncate(SHOWN);
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
    let about: Vec<_> = (0..info::WORDS as u64).map_while(|at| words.remove(&(dump::INFO + 8 * at))).collect();
    if about.len() < info::WORDS {
        return Err("the first line is lost, which says what it is of".to_owned());
    }
    if about[info::VERSION] != dump::VERSION {
        return Err(format!("the version is {}, and {} is known here", about[info::VERSION], dump::VERSION));
    }
    if !(1..=MOST_CPUS).contains(&about[info::CPUS]) {
        return Err(format!("the number of CPUs is {}", about[info::CPUS]));
    }
    let cpus = (0..about[info::CPUS] as usize)
        .map(|number| {
            let words: Vec<_> =
                (0..cpus::WORDS as u64).map(|at| words.remove(&(dump::cpu(number) + 8 * at))).collect();
            cpu(&words)
        })
        .collect();
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
    Ok(Machine {
        image: about[info::IMAGE],
        build: about[info::BUILD],
        reporter: (about[info::REPORTER] != 0).then_some(about[info::REPORTER] & !(1 << 63)),
        cpus,
        pieces,
    })
}

/// What the words of a CPU say; those that are lost are 0, and without all of its registers it has none.
fn cpu(words: &[Option<u64>]) -> Cpu {
    let word = |at: usize| words[at].unwrap_or(0);
    let is_whole = words.iter().all(Option::is_some);
    let mut cpu = Cpu {
        mpidr: word(cpus::MPIDR),
        state: word(cpus::SLOT) as u8,
        reason: (word(cpus::SLOT) >> 8) as u16,
        generation: (word(cpus::SLOT) >> 32) as u32,
        parked: word(cpus::PARKED),
        stage: word(cpus::STAGE) as u8,
        pen: (word(cpus::STAGE) & 1 << 8 != 0).then_some((word(cpus::STAGE) >> 32) as u32),
        ..Cpu::default()
    };
    if is_whole && word(cpus::KIND) != cpus::NOTHING {
        cpu.is_known = true;
        cpu.x = std::array::from_fn(|n| word(cpus::X + n));
        cpu.sp = word(cpus::SP);
        cpu.pc = word(cpus::PC);
        cpu.pstate = word(cpus::PSTATE);
        cpu.esr = word(cpus::ESR);
        cpu.far = word(cpus::FAR);
    }
    cpu
}

#[cfg(test)]
mod tests {
    use super::*;
    use dump::Encoder;

    /// A dump of two CPUs with 600 words of memory, as text.
    fn sample() -> String {
        let mut text = String::from("panic on cpu 1\n-----BEGIN REVEILLE CORE-----\n");
        let mut encoder = Encoder::new(|line: &[u8]| text.push_str(std::str::from_utf8(line).unwrap()));
        for (at, word) in [1, 0x4020_0000, 0xb1, 2, 1 << 63 | 1].into_iter().enumerate() {
            encoder.word(dump::INFO + 8 * at as u64, word);
        }
        for number in 0..2 {
            for at in 0..cpus::WORDS {
                let word = match at {
                    cpus::MPIDR => number as u64,
                    cpus::SLOT => 7 << 32 | 4,
                    cpus::KIND => cpus::ALL,
                    _ => (1000 * number + at) as u64,
                };
                encoder.word(dump::cpu(number) + 8 * at as u64, word);
            }
        }
        for at in 0..600 {
            encoder.word(0x4023_0000 + 8 * at, at << 30 | 1);
        }
        encoder.finish();
        text + "-----END REVEILLE CORE-----\nlater\n"
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
        let cpu = &machine.cpus[1];
        assert!(cpu.is_known);
        assert_eq!((cpu.state, cpu.generation, cpu.x[30], cpu.pc), (4, 7, 1037, 1039));
        assert_eq!(machine.pieces.len(), 1);
        assert_eq!((machine.pieces[0].address, machine.pieces[0].bytes.len()), (0x4023_0000, 4800));
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
                    assert_eq!(complaints.is_empty(), text[..length].contains(dump::END), "{length}");
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
