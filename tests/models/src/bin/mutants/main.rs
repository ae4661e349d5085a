//! Plants bugs in the protocols, one at a time, and demands that the models find each of them.
//!
//! A bug is a piece of text in a source file of `reveille-protocol` and what takes its place. It is planted in
//! a copy under the target directory; the product knows nothing of it. To cover another protocol, add a table
//! like [`handshake::MUTANTS`] to [`TABLES`].
//!
//! Arguments: `--jobs N` plants so many at a time (1 if nothing is said); `--table` prints the bugs and their models as a
//! page of Markdown, and plants nothing; all others are parts of names, to plant only the bugs whose name or model
//! contains one of them. Run by `scripts/model --mutants`.

mod alarm;
mod bells;
mod call;
mod door;
mod doze;
mod gate;
mod handshake;
mod hosting;
mod key;
mod launch;
mod locks;
mod masking;
mod news;
mod preemption;
mod stop;
mod summons;
mod timers;
mod trace;
mod turns;
mod wakes;
mod watch;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

/// Every table of mutants, with what it is about.
const TABLES: &[(&str, &[Mutant])] = &[
    ("The boot handshake", handshake::MUTANTS),
    ("The panic gate", gate::MUTANTS),
    ("Launched closures", launch::MUTANTS),
    ("Calls", call::MUTANTS),
    ("Doorbells", bells::MUTANTS),
    ("The door to a CPU's tasks", door::MUTANTS),
    ("Stop-machine, leaving, the lock on both", stop::MUTANTS),
    ("Functions at NMI level", summons::MUTANTS),
    ("Masked sections", masking::MUTANTS),
    ("Preemption that is put off", preemption::MUTANTS),
    ("Locks", locks::MUTANTS),
    ("Turns at the lock on starting and stopping", turns::MUTANTS),
    ("Idle", wakes::MUTANTS),
    ("Alarms", alarm::MUTANTS),
    ("Timers", timers::MUTANTS),
    ("The watchdog", watch::MUTANTS),
    ("News, and routes of interrupts", news::MUTANTS),
    ("Keys and forms against arrival and leaving", key::MUTANTS),
    ("The ring of a trace", trace::MUTANTS),
    ("What an executor is told, and its sleep", doze::MUTANTS),
    ("Tasks that may move", hosting::MUTANTS),
];

/// One planted bug.
struct Mutant {
    /// What the bug is called, uniquely.
    name: &'static str,
    /// The source file, as seen from `protocol/src`.
    file: &'static str,
    /// What to replace by what. Each left side occurs exactly once in the file.
    edits: &'static [(&'static str, &'static str)],
    /// The model that must fail, as `file::test` within `tests/models/tests`.
    model: &'static str,
}

/// How a model ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Passed,
    Failed,
    /// There is no model of this name.
    Missing,
    TimedOut,
}

/// No model takes longer than this, nor may one with a bug in it.
const PATIENCE: Duration = Duration::from_secs(120);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = Wanted::read(env::args().skip(1)).and_then(|wanted| {
        if wanted.table {
            print!("{}", table());
            return Ok(true);
        }
        plant_all(&wanted)
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
struct Wanted {
    jobs: usize,
    table: bool,
    filters: Vec<String>,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut wanted = Self { jobs: 1, table: false, filters: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--table" => wanted.table = true,
                "--jobs" => {
                    let jobs = arguments.next().and_then(|jobs| jobs.parse().ok()).filter(|jobs| *jobs > 0);
                    wanted.jobs = jobs.ok_or("--jobs: how many?")?;
                }
                _ => wanted.filters.push(argument),
            }
        }
        Ok(wanted)
    }

    fn has(&self, mutant: &Mutant) -> bool {
        let hit = |filter: &String| mutant.name.contains(filter) || mutant.model.contains(filter);
        self.filters.is_empty() || self.filters.iter().any(hit)
    }
}

/// The page of all planted bugs.
fn table() -> String {
    let count: usize = TABLES.iter().map(|(_, mutants)| mutants.len()).sum();
    let mut page = format!(
        "# Planted bugs

{count} bugs of a line or two, each planted in a copy of the protocols, each with the model that has to fail then.
`scripts/model --mutants` plants them all, and fails if one is not caught; so does `scripts/test --full`. This page is made
by `scripts/model --table`. Where a bug has several edits, the first is shown; long ones are cut.
"
    );
    for (about, mutants) in TABLES {
        page += &format!(
            "\n## {about}\n\n| bug | in | instead of | stands | caught by |\n|---|---|---|---|---|\n"
        );
        for Mutant { name, file, edits, model } in *mutants {
            let file = file.strip_prefix("../../tests/models/tests/").unwrap_or(file);
            let (find, replace) = edits[0];
            let (find, replace) =
                differing(&find.lines().map(str::trim).collect::<Vec<_>>().join(" "), replace);
            page += &format!("| {name} | `{file}` | {find} | {replace} | `{model}` |\n");
        }
    }
    page
}

/// Two pieces of code from the first word in which they differ, for cells of a table.
fn differing(find: &str, replace: &str) -> (String, String) {
    let (find, replace): (Vec<&str>, Vec<&str>) =
        (find.split_whitespace().collect(), replace.split_whitespace().collect());
    let same = find.iter().zip(&replace).take_while(|(one, other)| one == other).count();
    // A word or two of what stands before, to find it by.
    let from = same.saturating_sub(2);
    let cell = |words: &[&str]| {
        let code = words[from.min(words.len())..].join(" ");
        if code.is_empty() {
            return String::from("nothing");
        }
        let mut short: String = code.chars().take(90).collect();
        if short.len() < code.len() {
            short += " ..";
        }
        format!("`{}`", short.replace('|', "\\|"))
    };
    (cell(&find), cell(&replace))
}

/// Whether every bug was found.
fn plant_all(wanted: &Wanted) -> Result<bool> {
    let all = TABLES.iter().flat_map(|(_, mutants)| *mutants);
    let mutants: Vec<&Mutant> = all.filter(|mutant| wanted.has(mutant)).collect();
    if mutants.is_empty() {
        return Err("no mutant of that name".into());
    }
    let (next, caught) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Models that were seen to pass without any bug.
    let sound = Mutex::new(BTreeSet::new());
    let work = |worker: usize| -> std::result::Result<(), String> {
        let copy = Copy::make(worker).map_err(|error| error.to_string())?;
        while let Some(mutant) = mutants.get(next.fetch_add(1, Relaxed)) {
            let outcome = copy.check(mutant.model, &sound).and_then(|()| copy.plant(mutant));
            let outcome = outcome.map_err(|error| {
                // The others need not begin another one.
                next.store(mutants.len(), Relaxed);
                error.to_string()
            })?;
            if outcome == Run::Failed {
                caught.fetch_add(1, Relaxed);
                println!("mutant {}: caught by {}", mutant.name, mutant.model);
            } else {
                println!("mutant {}: NOT caught by {} ({outcome:?})", mutant.name, mutant.model);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..wanted.jobs)
            .map(|worker| {
                scope.spawn({
                    let work = &work;
                    move || work(worker)
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker panicked")?)
    })?;
    let caught = caught.into_inner();
    println!("{caught} of {} mutants caught", mutants.len());
    Ok(caught == mutants.len())
}

/// The copy of the two crates that the bugs are planted in.
struct Copy {
    workspace: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// That of one worker.
    fn make(worker: usize) -> Result<Self> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = models.ancestors().nth(2).ok_or("the models are not in a workspace")?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let own = target.join("mutants").join(worker.to_string());
        let copy = Self { workspace: own.join("workspace"), target: own.join("target") };

        // What was deleted in the original must not live on in the copy.
        if copy.workspace.exists() {
            fs::remove_dir_all(&copy.workspace)?;
        }
        copy_tree(&root.join("protocol"), &copy.workspace.join("protocol"))?;
        copy_tree(models, &copy.workspace.join("tests/models"))?;
        fs::write(
            copy.workspace.join("Cargo.toml"),
            manifest(&fs::read_to_string(root.join("Cargo.toml"))?),
        )?;
        if root.join("Cargo.lock").exists() {
            fs::copy(root.join("Cargo.lock"), copy.workspace.join("Cargo.lock"))?;
        }
        Ok(copy)
    }

    /// Builds one file of models and returns the binary.
    fn build(&self, file: &str) -> Result<PathBuf> {
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--no-run", "--release", "--package", "reveille-models", "--test", file])
            .args(["--target", HOST])
            .current_dir(&self.workspace)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("RUSTFLAGS")
            .output()?;
        let report = String::from_utf8_lossy(&output.stderr);
        let binary = report
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("Executable ")?.strip_suffix(')'))
            .find_map(|line| line.split_once('(').map(|(_, path)| PathBuf::from(path)));
        binary.filter(|_| output.status.success()).ok_or_else(|| format!("does not build:\n{report}").into())
    }

    /// A model that fails, or does not exist, without any bug would prove nothing.
    fn check(&self, model: &'static str, sound: &Mutex<BTreeSet<&'static str>>) -> Result<()> {
        if sound.lock().map_err(|_| "a worker panicked")?.contains(model) {
            return Ok(());
        }
        let (file, test) = model.split_once("::").ok_or("a model is named `file::test`")?;
        match run(&self.build(file)?, test)? {
            Run::Passed => {}
            other => return Err(format!("model {model} without a bug: {other:?}").into()),
        }
        sound.lock().map_err(|_| "a worker panicked")?.insert(model);
        Ok(())
    }

    fn plant(&self, mutant: &Mutant) -> Result<Run> {
        let path = self.workspace.join("protocol/src").join(mutant.file);
        let original = fs::read_to_string(&path)?;
        let mut mutated = original.clone();
        for (find, replace) in mutant.edits {
            let times = mutated.matches(find).count();
            if times != 1 {
                return Err(format!("mutant {}: `{find}` occurs {times} times", mutant.name).into());
            }
            mutated = mutated.replace(find, replace);
        }
        let (file, test) = mutant.model.split_once("::").ok_or("a model is named `file::test`")?;
        fs::write(&path, mutated)?;
        let built = self.build(file);
        fs::write(&path, original)?;
        run(&built.map_err(|error| format!("mutant {}: {error}", mutant.name))?, test)
    }
}

/// The models run on the machine that this program runs on.
const HOST: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// The manifest of the copy: what the two crates inherit from the original one, and a profile that builds fast.
fn manifest(original: &str) -> String {
    let mut inherited = false;
    let mut manifest =
        String::from("[workspace]\nmembers = [\"protocol\", \"tests/models\"]\nresolver = \"3\"\n");
    for line in original.lines() {
        if line.starts_with('[') {
            inherited = line.starts_with("[workspace.");
        }
        if inherited {
            manifest.push_str(line);
            manifest.push('\n');
        }
    }
    // The bug is the only news in a build, and a panic in a model has to unwind.
    manifest + "[profile.release]\nopt-level = 1\nincremental = true\npanic = \"unwind\"\n"
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// Runs one model of a binary.
fn run(binary: &Path, test: &str) -> Result<Run> {
    let log = binary.with_extension("log");
    let mut child = Command::new(binary)
        .args(["--exact", test])
        .env("RUST_BACKTRACE", "0")
        .stdout(File::create(&log)?)
        .stderr(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(Run::TimedOut);
        }
        thread::sleep(Duration::from_millis(5));
    };
    if !status.success() {
        return Ok(Run::Failed);
    }
    let one = fs::read_to_string(&log)?.contains("test result: ok. 1 passed");
    Ok(if one { Run::Passed } else { Run::Missing })
}
