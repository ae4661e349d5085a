//! Damaged and lying trees: each is asked everything, and must answer in words, soon. Times are what was computed: a machine that
//! has other things to do changes nothing.
//!
//! `REVEILLE_MUTATIONS` sets how many random mutations are tried (10 000), `REVEILLE_SEED` with which seed they
//! begin. A failure names the seed that repeats it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use std::{env, thread};

use reveille_machine::{Fault, Machine};
use reveille_trees::ask::everything;
use reveille_trees::blobs::{compile, compile_text, qemu};
use reveille_trees::cpu_time;
use reveille_trees::random::Random;

/// Far above what any of the blobs takes, far below what anything quadratic would.
const PATIENCE: Duration = Duration::from_secs(10);

/// What QEMU leaves free behind the blocks, cut off: mutations are to hit something.
fn packed(mut blob: Vec<u8>) -> Vec<u8> {
    let field = |at: usize| u32::from_be_bytes(blob[at..at + 4].try_into().expect("four bytes")) as usize;
    let end = (field(8) + field(36)).max(field(12) + field(32));
    blob.truncate(end);
    blob[4..8].copy_from_slice(&(end as u32).to_be_bytes());
    blob
}

fn blobs() -> Vec<(&'static str, Vec<u8>)> {
    let virt = |options, cpus| packed(qemu(options, &["-nic", "none", "-smp", cpus]));
    vec![
        ("wide", compile("wide")),
        ("narrow", compile("narrow")),
        ("methods", compile("methods")),
        ("broken", compile("broken")),
        ("first-console", compile("first-console")),
        ("virt, GICv2", virt("virt,gic-version=2,dtb-randomness=off", "2")),
        ("virt, GICv3", virt("virt,gic-version=3,secure=on,virtualization=on,dtb-randomness=off", "4")),
    ]
}

/// Asks everything, and turns a failure or a long wait into one that says what was asked.
fn ask(blob: &[u8], what: impl Fn() -> String) -> Option<Fault> {
    let start = cpu_time::of_thread();
    let answer = catch_unwind(AssertUnwindSafe(|| everything(blob)));
    let took = cpu_time::of_thread() - start;
    assert!(took < PATIENCE, "{}: took {took:?}", what());
    answer.unwrap_or_else(|_| panic!("{}: see above", what()))
}

/// The whole run is bounded too, should one walk never end.
fn watchdog(limit: Duration) {
    thread::spawn(move || {
        while cpu_time::of_process() < limit {
            thread::sleep(Duration::from_secs(1));
        }
        eprintln!("mutation: not done after {limit:?}");
        std::process::abort();
    });
}

#[derive(Default)]
struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    fn count(&mut self, answer: Option<Fault>) {
        let what = match answer {
            None => "read",
            Some(Fault::Header) => "header refused",
            Some(_) => "structure refused",
        };
        *self.0.entry(what).or_default() += 1;
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Every bit of the header flipped, every byte of it set to each extreme.
#[test]
fn header_bytes() {
    watchdog(Duration::from_secs(300));
    let mut tally = Tally::default();
    for (name, blob) in blobs() {
        for at in 0..40 {
            for change in 0..10 {
                let mut blob = blob.clone();
                match change {
                    0..8 => blob[at] ^= 1 << change,
                    8 => blob[at] = 0,
                    _ => blob[at] = 0xff,
                }
                tally.count(ask(&blob, || format!("{name}, header byte {at}, change {change}")));
            }
        }
    }
    println!("mutation of headers: {:?}", tally.0);
}

/// Cut anywhere, with and without a header that admits it, a blob is refused.
#[test]
fn truncation() {
    watchdog(Duration::from_secs(300));
    let mut tally = Tally::default();
    for (name, original) in blobs() {
        for length in (0..original.len()).step_by(if original.len() > 4096 { 13 } else { 1 }) {
            let mut blob = original[..length].to_vec();
            let answer = ask(&blob, || format!("{name}, cut to {length}"));
            assert_eq!(answer, Some(Fault::Header), "{name}, cut to {length}");
            tally.count(answer);
            if let Some(size) = blob.get_mut(4..8) {
                size.copy_from_slice(&(length as u32).to_be_bytes());
                let answer = ask(&blob, || format!("{name}, cut to {length} and said so"));
                assert!(answer.is_some(), "{name}, cut to {length} and said so");
                tally.count(answer);
            }
            // The tail lost while the length stays: zeros where it was.
            blob.resize(original.len(), 0);
            if let Some(size) = blob.get_mut(4..8) {
                size.copy_from_slice(&(original.len() as u32).to_be_bytes());
                tally.count(ask(&blob, || format!("{name}, zeros from {length}")));
            }
        }
    }
    println!("mutation by truncation: {:?}", tally.0);
}

/// Tokens, counts of cells, lengths and sizes that sit on an edge.
const INTERESTING: [u32; 20] = [
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    9,
    16,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x00ff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xd00d_feed,
    0xffff_fff0,
    0xffff_fffc,
    0xffff_ffff,
];

/// One to four changes, anywhere behind the magic value.
fn mutate(blob: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let length = blob.len();
        if length < 48 {
            return;
        }
        // Most changes keep the header, or few blobs would get past it.
        let first = if random.below(16) == 0 { 4 } else { 40 };
        let at = first + random.below(length - first);
        let word = (first + random.below(length - first)) & !3;
        match random.below(9) {
            0 | 1 => blob[at] ^= 1 << random.below(8),
            2 => blob[at] = random.pick(&[0, 0xff, b'/', b'@', b':', 0x80]),
            3 | 4 if word + 4 <= length => {
                blob[word..word + 4].copy_from_slice(&random.pick(&INTERESTING).to_be_bytes());
            }
            // A word of the tree, put elsewhere: lengths, name offsets and phandles that exist.
            5 => {
                let from = (40 + random.below(length - 44)) & !3;
                if word + 4 <= length {
                    blob.copy_within(from..from + 4, word);
                }
            }
            // Two blocks change places.
            6 => {
                let size = (4 << random.below(6)).min((length - 40) / 2) & !3;
                let a = (40 + random.below(length - 40 - 2 * size + 1)) & !3;
                let b = (a + size + random.below(length - a - 2 * size + 1)) & !3;
                for offset in 0..size {
                    if b + offset < length {
                        blob.swap(a + offset, b + offset);
                    }
                }
            }
            // A block filled with one byte.
            7 => {
                let end = (at + random.below(64)).min(length);
                blob[at..end].fill(random.pick(&[0, 0xff, 1]));
            }
            // Cut, and mostly said so in the header.
            8 if random.below(4) == 0 => {
                blob.truncate(at);
                if random.below(4) > 0 && at >= 8 {
                    blob[4..8].copy_from_slice(&(at as u32).to_be_bytes());
                }
            }
            _ => {}
        }
    }
}

#[test]
fn random() {
    let (count, seed) = (number("REVEILLE_MUTATIONS", 10_000), number("REVEILLE_SEED", 1));
    watchdog(Duration::from_secs(600 + count / 50));
    let blobs = blobs();
    let mut tally = Tally::default();
    let (mut changed, mut slowest) = (0, Duration::ZERO);
    for seed in seed..seed + count {
        let mut random = Random(seed);
        let (name, original) = &blobs[random.below(blobs.len())];
        let mut blob = original.clone();
        mutate(&mut blob, &mut random);
        changed += u64::from(blob != *original);
        let start = cpu_time::of_thread();
        tally.count(ask(&blob, || format!("{name}, REVEILLE_SEED={seed} REVEILLE_MUTATIONS=1")));
        slowest = slowest.max(cpu_time::of_thread() - start);
    }
    println!(
        "mutation at random: {count} from seed {seed}, {changed} changed, {:?}, slowest {slowest:?}",
        tally.0
    );
    assert!(count < 1000 || changed > count * 3 / 4, "the mutations hit too little");
}

/// Where the values of properties lie, by a scan of the structure block that knows the blob is sound.
fn values(blob: &[u8]) -> Vec<std::ops::Range<usize>> {
    let word = |at: usize| u32::from_be_bytes(blob[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut at = word(8);
    let mut values = Vec::new();
    loop {
        let token = word(at);
        at += 4;
        match token {
            1 => {
                let name = blob[at..].iter().position(|&byte| byte == 0).expect("the end of a name");
                at = (at + name + 1).next_multiple_of(4);
            }
            3 => {
                let length = word(at);
                at += 8;
                if length > 0 {
                    values.push(at..at + length);
                }
                at = (at + length).next_multiple_of(4);
            }
            9 => return values,
            _ => {}
        }
    }
}

/// Sound trees with property values that lie: these get past the checks of the structure.
#[test]
fn lies() {
    let (count, seed) = (number("REVEILLE_MUTATIONS", 10_000), number("REVEILLE_SEED", 1));
    watchdog(Duration::from_secs(600 + count / 50));
    let blobs: Vec<_> = blobs().into_iter().map(|(name, blob)| (name, values(&blob), blob)).collect();
    let mut slowest = Duration::ZERO;
    for seed in seed..seed + count {
        let mut random = Random(!seed);
        let (name, values, original) = &blobs[random.below(blobs.len())];
        let mut blob = original.clone();
        for _ in 0..=random.below(8) {
            let value = values[random.below(values.len())].clone();
            let at = value.start + random.below(value.len());
            match random.below(4) {
                0 => blob[at] ^= 1 << random.below(8),
                1 => blob[at] = random.pick(&[0, 0xff, b'/', b'@', b':', b'-']),
                2 => {
                    // A shorter value in the same place.
                    let length = random.below(value.len()) as u32;
                    if (length as usize).next_multiple_of(4) == value.len().next_multiple_of(4) {
                        blob[value.start - 8..value.start - 4].copy_from_slice(&length.to_be_bytes());
                    }
                }
                _ => {
                    let word = random.pick(&INTERESTING).to_be_bytes();
                    let at = value.start + ((at - value.start) & !3);
                    let end = (at + 4).min(value.end);
                    blob[at..end].copy_from_slice(&word[..end - at]);
                }
            }
        }
        let start = cpu_time::of_thread();
        let answer = ask(&blob, || format!("lies, {name}, REVEILLE_SEED={seed} REVEILLE_MUTATIONS=1"));
        assert_eq!(answer, None, "{name}, REVEILLE_SEED={seed}");
        slowest = slowest.max(cpu_time::of_thread() - start);
    }
    println!("mutation of values: {count} from seed {seed}, all read, slowest {slowest:?}");
}

/// Trees that are sound and built to be slow: each list is as long as it can be, and each item of it leads to
/// as much work as it can.
#[test]
fn bombs() {
    watchdog(Duration::from_secs(300));
    let list = |count: u32, item: &dyn Fn(u32) -> String| (0..count).map(item).collect::<Vec<_>>().join(" ");
    let one = "#address-cells = <1>; #size-cells = <1>;";
    let entries = list(200_000, &|index| format!("{index:#x} 1"));
    let ranges = list(200_000, &|index| format!("{:#x} 0 1", index + 0x100_0000));
    let cpu = |index: u32, reg: u32| {
        format!("cpu@{index:x} {{ device_type = \"cpu\"; enable-method = \"psci\"; reg = <{reg:#x}>; }};")
    };
    let cpus = |reg: &dyn Fn(u32) -> u32| {
        let cpus = list(8192, &|index| cpu(index, reg(index)));
        format!("cpus {{ #address-cells = <1>; #size-cells = <0>; {cpus} }};")
    };
    let uarts =
        list(4096, &|index| format!("u@{index:x} {{ compatible = \"arm,pl011\"; reg = <{index} 1>; }};"));
    let trees = [
        (
            "reserved memory",
            format!("reserved-memory {{ {one} ranges = <{ranges}>; a {{ reg = <{entries}>; }}; }};"),
        ),
        ("memory", format!("memory {{ device_type = \"memory\"; reg = <{entries}>; }};")),
        ("the same CPU", cpus(&|index| index % 4)),
        ("different CPUs", cpus(&|index| index)),
        ("UARTs on a far bus", format!("bus {{ {one} ranges = <{ranges}>; {uarts} }};")),
        (
            "interrupts",
            format!("timer {{ compatible = \"arm,armv8-timer\"; interrupts-extended = <{entries}>; }};"),
        ),
    ];
    for (name, body) in trees {
        let blob = compile_text(&format!("/dts-v1/; / {{ {one} {body} }};"));
        let start = cpu_time::of_thread();
        let machine = Machine::parse(&blob).expect("a sound tree");
        let items = machine.cpus().count() + machine.memory().count() + machine.reserved().count();
        let took = cpu_time::of_thread() - start;
        println!("mutation, {name}: {} bytes, {items} items in {took:?}", blob.len());
        assert!(took < PATIENCE, "{name}: took {took:?}");
    }
}
