//! What happened, in order: events with names, slices that are closed, and arrows.

use crate::text::{Dump, Site};
use std::collections::BTreeMap;

/// All of it.
pub struct Story {
    pub cpus: Vec<Cpu>,
    /// Whom each arrow leads to: sender and receiver, each a CPU and the place of an event there. The place in this list is the arrow's number.
    pub arrows: Vec<[(usize, usize); 2]>,
}

pub struct Cpu {
    /// In the order of their times.
    pub events: Vec<Event>,
    /// Dropped, overwritten, half written.
    pub lost: [u64; 3],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Instant,
    Begin,
    /// Of the slice that was begun last and is not ended.
    End,
}

pub struct Event {
    /// Nanoseconds since the counter started.
    pub time: u64,
    pub shape: Shape,
    /// What is noted at the site.
    pub kind: String,
    /// The same with what tells one from the other.
    pub name: String,
    pub value: Option<u64>,
    pub from_application: bool,
    /// The arrows that begin or end here.
    pub arrows: Vec<usize>,
}

/// What an arrow is told by until it has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    /// A message, to a CPU.
    Message(u64, usize),
    /// An SGI.
    Interrupt(u64, usize),
    /// A start.
    Kick(usize),
}

/// Addresses have so many bits; above is the CPU.
const ADDRESS: u64 = (1 << 48) - 1;
/// Interrupts with lower numbers are SGIs.
const SGIS: u64 = 16;

impl Story {
    pub fn of(dump: &Dump) -> Self {
        let nanoseconds = |ticks: u64| {
            u64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(dump.frequency)).unwrap_or(u64::MAX)
        };
        let mut story = Self { cpus: Vec::new(), arrows: Vec::new() };
        // (time, place in the ring, CPU, place among its events, who it is sent to, who has taken it)
        let mut ends = Vec::new();
        for (cpu, ring) in dump.cpus.iter().enumerate() {
            let mut records = ring.records.clone();
            // Stable: what has the same time stays in the order of the ring.
            records.sort_by_key(|record| record.time);
            let mut events = Vec::new();
            let mut open: Vec<String> = Vec::new();
            for record in records {
                let Some(site) = dump.sites.get(&record.site) else { continue };
                let time = nanoseconds(record.time);
                match site.shape {
                    'E' => {
                        // Its beginning may be overwritten; and what is still open inside was left without an end.
                        let Some(at) = open.iter().rposition(|name| *name == site.name) else { continue };
                        for name in open.drain(at..).rev() {
                            events.push(event(time, Shape::End, site, name, None));
                        }
                        continue;
                    }
                    'B' => open.push(site.name.clone()),
                    _ => {}
                }
                // A CPU that has gone, and one that comes, is in the middle of nothing.
                let of_runtime = site.value != 'a';
                let ends_all = |name: &str| of_runtime && site.name == name;
                if ends_all("arrive") {
                    events.extend(open.drain(..).rev().map(|name| event(time, Shape::End, site, name, None)));
                }
                let shape = if site.shape == 'B' { Shape::Begin } else { Shape::Instant };
                let place = events.len();
                let (sent, taken) = arrows_of(dump, cpu, site, record.value);
                events.push(event(time, shape, site, name_of(dump, site, record.value), Some(record.value)));
                if !sent.is_empty() || taken.is_some() {
                    ends.push((record.time, cpu, place, sent, taken));
                }
                if ends_all("gone") {
                    events.extend(open.drain(..).rev().map(|name| event(time, Shape::End, site, name, None)));
                }
            }
            story.cpus.push(Cpu { events, lost: ring.lost });
        }
        // A sender's time is read before it sends.
        ends.sort_by_key(|(time, _, _, sent, _)| (*time, sent.is_empty()));
        let mut under_way = BTreeMap::new();
        for (_, cpu, place, sent, taken) in ends {
            for sent in sent {
                // SGIs that are sent while one is pending are one.
                let is_pending = matches!(sent, Sent::Interrupt(..)) && under_way.contains_key(&sent);
                if !is_pending {
                    under_way.insert(sent, (cpu, place));
                }
            }
            if let Some(sender) = taken.and_then(|taken| under_way.remove(&taken)) {
                for (cpu, place) in [sender, (cpu, place)] {
                    story.cpus[cpu].events[place].arrows.push(story.arrows.len());
                }
                story.arrows.push([sender, (cpu, place)]);
            }
        }
        story
    }

    /// How much there is, in a line.
    pub fn summary(&self) -> String {
        let sum = |what: fn(&Cpu) -> u64| self.cpus.iter().map(what).sum::<u64>();
        format!(
            "{} CPUs, {} events, {} arrows; {} records dropped, {} overwritten, {} unfinished",
            self.cpus.len(),
            sum(|cpu| cpu.events.len() as u64),
            self.arrows.len(),
            sum(|cpu| cpu.lost[0]),
            sum(|cpu| cpu.lost[1]),
            sum(|cpu| cpu.lost[2])
        )
    }
}

fn event(time: u64, shape: Shape, site: &Site, name: String, value: Option<u64>) -> Event {
    let from_application = site.value == 'a';
    let value = value.filter(|_| site.value != '-');
    Event { time, shape, kind: site.name.clone(), name, value, from_application, arrows: Vec::new() }
}

/// The name of an event with this value.
fn name_of(dump: &Dump, site: &Site, value: u64) -> String {
    let name = &site.name;
    match site.value {
        'c' => format!("{name} CPU {value}"),
        't' => format!("{name} CPU {}", value >> 48),
        'i' if value < SGIS => format!("{name} SGI {value}"),
        'i' => format!("{name} {value}"),
        's' => {
            let (number, cpus) = targets(dump, value);
            let cpus: Vec<_> = cpus.iter().map(usize::to_string).collect();
            format!("{name} {number} to CPU {}", cpus.join(", "))
        }
        _ => name.clone(),
    }
}

/// What is sent here, and what is taken.
fn arrows_of(dump: &Dump, cpu: usize, site: &Site, value: u64) -> (Vec<Sent>, Option<Sent>) {
    match (site.value, site.name.as_str()) {
        ('t', _) => (vec![Sent::Message(value & ADDRESS, (value >> 48) as usize)], None),
        ('f', _) => (Vec::new(), Some(Sent::Message(value & ADDRESS, cpu))),
        ('s', _) => {
            let (number, cpus) = targets(dump, value);
            (cpus.into_iter().map(|cpu| Sent::Interrupt(number, cpu)).collect(), None)
        }
        ('i', _) if value < SGIS => (Vec::new(), Some(Sent::Interrupt(value, cpu))),
        ('c', "kick") => (vec![Sent::Kick(usize::try_from(value).unwrap_or(usize::MAX))], None),
        ('n', "arrive") => (Vec::new(), Some(Sent::Kick(cpu))),
        _ => (Vec::new(), None),
    }
}

/// The number of an SGI, and whom it goes to: what the register ICC_SGI1R_EL1 takes (Arm IHI 0069, 12.1.11), or, marked by bit 63, a list of
/// CPU interfaces.
fn targets(dump: &Dump, what: u64) -> (u64, Vec<usize>) {
    let number = what >> 24 & 0xf;
    let to = |mpidr: u64| {
        if what >> 63 != 0 {
            return mpidr & 0xffff_ff00 == 0 && mpidr & 0xff < 8 && what >> (mpidr & 0xff) & 1 != 0;
        }
        let cluster = (what >> 48 & 0xff) << 32 | (what >> 32 & 0xff) << 16 | (what >> 16 & 0xff) << 8;
        mpidr & !0xff == cluster && (mpidr & 0xff) >> 4 == what >> 44 & 0xf && what >> (mpidr & 0xf) & 1 != 0
    };
    (number, dump.cpus.iter().enumerate().filter(|(_, cpu)| to(cpu.mpidr)).map(|(index, _)| index).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Cpu, Record};

    fn dump(sites: &[(u32, &str, char, char)], records: &[(u64, u32)]) -> Dump {
        let site = |name: &str, shape, value| Site { name: name.to_owned(), shape, value };
        Dump {
            frequency: 1_000_000_000,
            sites: sites.iter().map(|&(at, name, shape, value)| (at, site(name, shape, value))).collect(),
            cpus: vec![Cpu {
                records: records.iter().map(|&(time, site)| Record { time, site, value: 0 }).collect(),
                ..Cpu::default()
            }],
        }
    }

    fn shapes(story: &Story) -> Vec<(u64, Shape)> {
        story.cpus[0].events.iter().map(|event| (event.time, event.shape.clone())).collect()
    }

    #[test]
    fn a_cpu_that_goes_is_in_the_middle_of_nothing() {
        let sites = [
            (1, "leave", 'B', '-'),
            (2, "idle", 'B', '-'),
            (3, "gone", 'I', '-'),
            (4, "arrive", 'I', 'n'),
            (5, "gone", 'I', 'a'),
        ];
        let gone = Story::of(&dump(&sites, &[(10, 1), (11, 2), (12, 3), (20, 4)]));
        let (begin, end, moment) = (Shape::Begin, Shape::End, Shape::Instant);
        let expected = [
            (10, begin.clone()),
            (11, begin.clone()),
            (12, moment.clone()),
            (12, end.clone()),
            (12, end.clone()),
            (20, moment.clone()),
        ];
        assert_eq!(shapes(&gone), expected);
        // Of one that was lost in between nothing says so but that it comes again; and what the application calls so is its own.
        let lost = Story::of(&dump(&sites, &[(10, 1), (15, 5), (20, 4)]));
        assert_eq!(shapes(&lost), [(10, begin), (15, moment.clone()), (20, end), (20, moment)]);
    }
}
