//! A fuzzer guided by coverage, for stable compilers: `scripts/fuzz` builds it with LLVM's counters in every branch of
//! what it tries. An input that takes a branch no other has taken, or takes one far more often, is kept and varied on.
//!
//! Arguments: `TARGET SECONDS SEED KEPT FOUND [keep]`. KEPT and FOUND are directories: inputs to begin with, and where new
//! ones go, among them a file `failure-..` if one fails. With `keep`, afterwards KEPT is made to hold the smallest inputs
//! that do together what all do.

use std::collections::HashSet;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, ptr, thread};

use reveille_trees::cpu_time;
use reveille_trees::fuzz::{TARGETS, Target};
use reveille_trees::random::Random;

/// One input takes milliseconds. Of time that is computed: the machine may have other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

static COUNTERS: [AtomicPtr<u8>; 2] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];

/// Called by each instrumented module before `main`, with the bounds of the counters of all.
///
/// # Safety
///
/// `start` to `end` are the counters, for as long as the program runs.
// SAFETY: the name is the one that LLVM's instrumentation calls, with these arguments.
#[unsafe(no_mangle)]
unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    COUNTERS[0].store(start, Relaxed);
    COUNTERS[1].store(end, Relaxed);
}

fn counters() -> &'static mut [u8] {
    let [start, end] = [COUNTERS[0].load(Relaxed), COUNTERS[1].load(Relaxed)];
    if start.is_null() {
        return &mut [];
    }
    // SAFETY: the bounds of an array of bytes in the image (the caller's of the function above). Instrumented code counts
    // in it only while `Fuzzer::run` runs a target, and there this slice is not used.
    unsafe { std::slice::from_raw_parts_mut(start, end.offset_from_unsigned(start)) }
}

/// What is being tried, for the watchdog, and in which run (0: nothing).
static CURRENT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static RUN: AtomicU64 = AtomicU64::new(0);

struct Fuzzer {
    target: Target,
    runs: u64,
    /// Each counter with each magnitude that it came to.
    seen: HashSet<(usize, u8)>,
    inputs: Vec<Vec<u8>>,
}

impl Fuzzer {
    /// Tries `input`. What it reached, each counter with its magnitude; `Err` if it failed.
    fn run(&mut self, input: &[u8]) -> Result<Vec<(usize, u8)>, ()> {
        self.runs += 1;
        {
            let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            current.clear();
            current.extend_from_slice(input);
        }
        RUN.store(self.runs, Relaxed);
        counters().fill(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let reached = counters().iter().enumerate().filter(|(_, count)| **count > 0);
        let reached = reached.map(|(counter, count)| (counter, count.ilog2() as u8)).collect();
        RUN.store(0, Relaxed);
        outcome.map(|()| reached).map_err(drop)
    }

    /// Tries `input` and keeps it if it is of use. Whether it is.
    fn try_input(&mut self, input: &[u8]) -> Result<bool, ()> {
        let before = self.seen.len();
        let reached = self.run(input)?;
        self.seen.extend(reached);
        let useful = self.seen.len() > before;
        if useful {
            self.inputs.push(input.to_vec());
        }
        Ok(useful)
    }

    /// One of the inputs, changed in one to eight places.
    fn vary(&self, random: &mut Random) -> Vec<u8> {
        let mut input = self.inputs[random.below(self.inputs.len())].clone();
        for _ in 0..=random.below(8) {
            let at = random.below(input.len() + 1);
            let word = at & !3;
            let piece = self.target.pieces[random.below(self.target.pieces.len())];
            match random.below(10) {
                0 if at < input.len() => input[at] ^= 1 << random.below(8),
                1 if at < input.len() => input[at] = random.next() as u8,
                2 if at < input.len() => {
                    input[at] = input[at].wrapping_add(1).wrapping_sub(2 * random.below(2) as u8)
                }
                3 => input.splice(at..at, piece.iter().copied()).for_each(drop),
                4 | 5 if word + piece.len() <= input.len() => {
                    input[word..word + piece.len()].copy_from_slice(piece)
                }
                6 => {
                    let end = (at + 1 + random.below(32)).min(input.len());
                    input.drain(at..end);
                }
                7 => {
                    // A part of another, put over or in between.
                    let other = &self.inputs[random.below(self.inputs.len())];
                    let from = random.below(other.len() + 1);
                    let part = other[from..(from + random.below(64)).min(other.len())].to_vec();
                    let end = if random.below(2) == 0 { at } else { (at + part.len()).min(input.len()) };
                    input.splice(at..end, part).for_each(drop);
                }
                8 if word + 4 <= input.len() => {
                    let from = random.below(input.len() - 3) & !3;
                    input.copy_within(from..from + 4, word);
                }
                9 if random.below(8) == 0 => input.truncate(at),
                _ => {}
            }
        }
        input.truncate(self.target.longest);
        input
    }
}

fn main() -> ExitCode {
    match fuzz() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

fn name_of(input: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The files of a directory, those that failed excepted, in order of their names.
fn read(directory: &Path) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut paths: Vec<_> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("failure-")));
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into()))
        .collect()
}

fn fuzz() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, seconds, seed, kept, found, rest @ ..] = &arguments[..] else {
        return Err("run it by scripts/fuzz".into());
    };
    let target = *TARGETS.iter().find(|target| target.name == name).ok_or("no such target")?;
    let (seconds, seed): (u64, u64) = (seconds.parse()?, seed.parse()?);
    let (kept, found) = (Path::new(kept), Path::new(found));
    if counters().is_empty() {
        return Err("built without counters: run it by scripts/fuzz".into());
    }
    let start = Instant::now();
    watch(found.to_path_buf());

    let mut fuzzer = Fuzzer { target, runs: 0, seen: HashSet::new(), inputs: Vec::new() };
    let fail = |input: &[u8]| -> Result<bool, Box<dyn Error>> {
        let path = found.join(format!("failure-{}", name_of(input)));
        fs::write(&path, input)?;
        println!("fuzz {name}: FAILED (seed {seed}): {}", path.display());
        Ok(false)
    };
    for input in read(kept)?.into_iter().chain(read(found)?).chain((target.seeds)()) {
        if fuzzer.try_input(&input).is_err() {
            return fail(&input);
        }
    }
    let begun_with = fuzzer.inputs.len();
    // Something to vary on, whatever it does.
    fuzzer.inputs.push(Vec::new());
    let mut random = Random(seed);
    let deadline = start + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        let input = fuzzer.vary(&mut random);
        match fuzzer.try_input(&input) {
            Ok(false) => {}
            Ok(true) => fs::write(found.join(name_of(&input)), &input)?,
            Err(()) => return fail(&input),
        }
    }
    println!(
        "fuzz {name}: {} runs in {} s, {} branches reached, with magnitudes {}; {} inputs to begin with, {} found",
        fuzzer.runs,
        start.elapsed().as_secs(),
        fuzzer.seen.iter().map(|(counter, _)| counter).collect::<HashSet<_>>().len(),
        fuzzer.seen.len(),
        begun_with,
        fuzzer.inputs.len() - 1 - begun_with
    );
    if rest.first().is_some_and(|word| word == "keep") {
        keep(&mut fuzzer, kept)?;
    }
    Ok(true)
}

/// Makes `kept` hold the smallest inputs that reach together every counter that all reach. Magnitudes do not count.
fn keep(fuzzer: &mut Fuzzer, kept: &Path) -> Result<(), Box<dyn Error>> {
    let mut inputs = std::mem::take(&mut fuzzer.inputs);
    inputs.sort_by_key(|input| (input.len(), name_of(input)));
    inputs.dedup();
    for entry in fs::read_dir(kept)? {
        fs::remove_file(entry?.path())?;
    }
    let (mut reached, mut files, mut bytes) = (HashSet::new(), 0, 0);
    for input in inputs {
        let counters = fuzzer.run(&input).map_err(|()| "an input that passed failed")?;
        let before = reached.len();
        reached.extend(counters.into_iter().map(|(counter, _)| counter));
        if reached.len() > before {
            fs::write(kept.join(name_of(&input)), &input)?;
            files += 1;
            bytes += input.len();
        }
    }
    println!("fuzz {}: kept {files} inputs of {bytes} bytes", fuzzer.target.name);
    Ok(())
}

/// Ends the program if an input takes too long.
fn watch(found: std::path::PathBuf) {
    thread::spawn(move || {
        let (mut seen, mut since) = (0, Duration::ZERO);
        loop {
            thread::sleep(Duration::from_secs(1));
            let (run, now) = (RUN.load(Relaxed), cpu_time::of_process());
            if run != seen {
                (seen, since) = (run, now);
            } else if run != 0 && now > since + PATIENCE {
                let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let path = found.join(format!("failure-{}", name_of(&current)));
                let _ = fs::write(&path, &current);
                println!("fuzz: FAILED: takes more than {PATIENCE:?}: {}", path.display());
                std::process::exit(1);
            }
        }
    });
}
