//! A trace in a console log: lines that begin with `~` and end with their checksum. docs/trace.md has them.

use std::collections::BTreeMap;

/// What an image says of the rings of its CPUs.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    /// Of the counter, Hz.
    pub frequency: u64,
    pub sites: BTreeMap<u32, Site>,
    pub cpus: Vec<Cpu>,
}

/// What is noted at a site.
#[derive(Clone, Debug)]
pub struct Site {
    pub name: String,
    /// `I`, `B`, `E`.
    pub shape: char,
    /// What the value is: a letter, as `Value` of src/note/site.rs has it.
    pub value: char,
}

/// The ring of a CPU.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    pub mpidr: u64,
    /// In the order in which they were begun.
    pub records: Vec<Record>,
    /// Dropped, overwritten, half written.
    pub lost: [u64; 3],
    /// Whether the end of its records was found.
    pub whole: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub time: u64,
    pub site: u32,
    pub value: u64,
}

/// More CPUs than this no image has.
const MAX_CPUS: u64 = 512;

/// The last trace of a log. With `partial` what is whole of it, and what is not comes back too.
pub fn read(log: &str, partial: bool) -> Result<(Dump, Vec<String>), String> {
    let mut reading: Option<Reading> = None;
    let mut faults = Vec::new();
    let mut last = 0;
    for (index, line) in log.lines().enumerate() {
        last = index + 1;
        let Some(line) = of_trace(line.trim_end_matches('\r')) else { continue };
        let taken = payload(line).and_then(|text| match text.strip_prefix("T ") {
            Some(rest) => {
                faults.clear();
                Reading::begin(rest).map(|begun| reading = Some(begun))
            }
            None => {
                reading.as_mut().ok_or_else(|| "a line of a trace that has not begun".to_owned())?.take(text)
            }
        });
        if let Err(error) = taken {
            let fault = format!("line {last}: {error}");
            if !partial {
                return Err(fault);
            }
            faults.push(fault);
        }
    }
    let Some(reading) = reading else {
        let first = faults.into_iter().next().map_or(String::new(), |fault| format!(" ({fault})"));
        return Err(format!(
            "no trace in these {last} lines{first}: was the image built with the feature `trace`, and did it end?"
        ));
    };
    if !reading.ended {
        let fault = format!("line {last}: the trace ends here, without its last line");
        if !partial {
            return Err(fault);
        }
        faults.push(fault);
    }
    Ok((reading.dump, faults))
}

/// What there is of a trace in a line of a log: all behind the mark. There may be something before it that was printed without an end, or
/// that a terminal put there: then the checksum has to be right.
fn of_trace(line: &str) -> Option<&str> {
    line.strip_prefix('~').or_else(|| {
        line.match_indices('~').map(|(at, mark)| &line[at + mark.len()..]).find(|rest| payload(rest).is_ok())
    })
}

/// What a line says, if its checksum is right.
fn payload(line: &str) -> Result<&str, String> {
    let (text, sum) = line.rsplit_once(' ').ok_or("it has no checksum")?;
    let said = u32::from_str_radix(sum, 16).map_err(|_| "it has no checksum".to_owned())?;
    let right = crc32fast::hash(text.as_bytes());
    if sum.len() != 8 || said != right {
        return Err(format!("the checksum is {sum}, that of the line {right:08x}"));
    }
    Ok(text)
}

struct Reading {
    dump: Dump,
    /// Lines, with the first.
    lines: u64,
    ended: bool,
}

fn number(word: Option<&str>) -> Result<u64, String> {
    let word = word.ok_or("a number is missing")?;
    u64::from_str_radix(word, 16).map_err(|_| format!("'{word}' is no number"))
}

impl Reading {
    fn begin(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let version = number(words.next())?;
        if version != 1 {
            return Err(format!("a trace of version {version}; this reads version 1"));
        }
        let frequency = number(words.next())?;
        let count = number(words.next())?;
        if frequency == 0 || count == 0 || count > MAX_CPUS {
            return Err(format!("a trace of {count} CPUs with a counter of {frequency} Hz"));
        }
        let dump = Dump { frequency, cpus: vec![Cpu::default(); count as usize], ..Dump::default() };
        Ok(Self { dump, lines: 1, ended: false })
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        if self.ended {
            return Err("a line behind the end of the trace".to_owned());
        }
        let (kind, rest) = text.split_once(' ').ok_or("an empty line")?;
        match kind {
            "S" => self.site(rest)?,
            "R" => self.records(rest)?,
            "C" => self.cpu(rest)?,
            "E" => return self.end(rest),
            _ => return Err(format!("a line that begins with '{kind}'")),
        }
        self.lines += 1;
        Ok(())
    }

    fn site(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.splitn(3, ' ');
        let address = number(words.next())?;
        let kind: Vec<char> = words.next().unwrap_or_default().chars().collect();
        let [shape @ ('I' | 'B' | 'E'), value] = kind[..] else {
            return Err("a site of no known shape".to_owned());
        };
        let name = words.next().unwrap_or_default().to_owned();
        self.dump.sites.insert(address as u32, Site { name, shape, value });
        Ok(())
    }

    fn own(&mut self, word: Option<&str>) -> Result<&mut Cpu, String> {
        let cpu = number(word)?;
        self.dump
            .cpus
            .get_mut(usize::try_from(cpu).unwrap_or(usize::MAX))
            .ok_or_else(|| format!("there is no CPU {cpu}"))
    }

    fn records(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.split(' ');
        let cpu = words.next();
        let mut records = Vec::new();
        for word in words {
            let mut parts = word.split(',');
            let (time, site, value) =
                (number(parts.next())?, number(parts.next())? as u32, number(parts.next())?);
            if !self.dump.sites.contains_key(&site) {
                return Err(format!("a record of {site:#x}, which is no site"));
            }
            records.push(Record { time, site, value });
        }
        self.own(cpu)?.records.extend(records);
        Ok(())
    }

    fn cpu(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.split(' ');
        let index = words.next();
        let cpu = self.own(index)?;
        cpu.mpidr = number(words.next())?;
        let (noted, read) = (number(words.next())?, number(words.next())?);
        cpu.lost = [number(words.next())?, number(words.next())?, number(words.next())?];
        cpu.whole = true;
        let found = cpu.records.len() as u64;
        if found != read {
            return Err(format!(
                "CPU {} has written {read} records, and {found} are here",
                index.unwrap_or_default()
            ));
        }
        let lost: u64 = cpu.lost.iter().sum();
        if read + lost != noted {
            return Err(format!("{noted} records noted are not {read} read and {lost} lost"));
        }
        Ok(())
    }

    fn end(&mut self, text: &str) -> Result<(), String> {
        let lines = number(Some(text))?;
        self.ended = true;
        if lines != self.lines {
            return Err(format!("the trace has {lines} lines, and {} are here", self.lines));
        }
        if let Some(cpu) = self.dump.cpus.iter().position(|cpu| !cpu.whole) {
            return Err(format!("nothing is said of CPU {cpu}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        format!("~{text} {:08x}\r\n", crc32fast::hash(text.as_bytes()))
    }

    fn log() -> Vec<String> {
        ["T 1 3b9aca00 1", "S 40200010 Bi interrupt", "R 0 10,40200010,1b", "C 0 0 3 1 2 0 0", "E 4"]
            .map(line)
            .to_vec()
    }

    #[test]
    fn whole() {
        let (dump, faults) = read(&format!("hello\r\n{}bye\r\n", log().concat()), false).unwrap();
        assert!(faults.is_empty());
        assert_eq!((dump.cpus[0].records.len(), dump.cpus[0].lost), (1, [2, 0, 0]));
    }

    #[test]
    fn something_stands_before_it() {
        let lines: String = log().iter().map(|line| format!("[    1.5 ~] not ended{line}")).collect();
        let (dump, faults) = read(&lines, false).unwrap();
        assert!(faults.is_empty());
        assert_eq!(dump.cpus[0].records.len(), 1);
        // A mark in what is printed is none.
        assert!(
            read("a ~ b 00000000", true).is_err_and(|error| error.starts_with("no trace in these 1 lines:"))
        );
    }

    #[test]
    fn each_line_is_missed() {
        for missing in 0..log().len() {
            let mut lines = log();
            lines.remove(missing);
            assert!(read(&lines.concat(), false).is_err(), "without line {missing}");
        }
    }

    #[test]
    fn each_character_counts() {
        let whole = log().concat();
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            if bytes[at] == b'\r' || bytes[at] == b'\n' {
                continue;
            }
            bytes[at] ^= 1;
            assert!(read(&String::from_utf8(bytes).unwrap(), false).is_err(), "character {at}");
        }
    }

    #[test]
    fn what_is_whole() {
        let mut lines = log();
        lines[2].replace_range(5..6, "9");
        assert!(read(&lines.concat(), false).unwrap_err().starts_with("line 3: the checksum is"));
        let (dump, faults) = read(&lines[..4].concat(), true).unwrap();
        assert!(dump.cpus[0].records.is_empty());
        assert_eq!(faults.len(), 3);
        assert!(faults[2].starts_with("line 4: the trace ends here"), "{faults:?}");
    }
}
