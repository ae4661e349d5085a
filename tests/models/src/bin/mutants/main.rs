//! Plants bugs in the protocols, one at a time, and demands that the models find each of them.
//!
//! A bug is a piece of text in a source file of `reveille-protocol` and what takes its place. It is planted in
//! a copy under the target directory; the product knows nothing of it. To cover another protocol, add a table
//! like [`handshake::MUTANTS`] to [`TABLES`].
//!
//! Arguments: parts of names, to plant only the bugs whose name or model contains one of them.

mod call;
mod gate;
mod handshake;
mod launch;
mod stop;
mod summons;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

/// Every table of mutants.
const TABLES: &[&[Mutant]] =
    &[handshake::MUTANTS, gate::MUTANTS, launch::MUTANTS, call::MUTANTS, stop::MUTANTS, summons::MUTANTS];

/// One planted bug.
struct Mutant {
    /// What the bug is called, uniquely.
    name: &'static str,
    /// The source file, within `protocol/src`.
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
    let filters: Vec<String> = env::args().skip(1).collect();
    match plant_all(&filters) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every bug was found.
fn plant_all(filters: &[String]) -> Result<bool> {
    let wanted = |mutant: &&Mutant| {
        let hit = |filter: &String| mutant.name.contains(filter) || mutant.model.contains(filter);
        filters.is_empty() || filters.iter().any(hit)
    };
    let mutants: Vec<&Mutant> = TABLES.iter().copied().flatten().filter(wanted).collect();
    if mutants.is_empty() {
        return Err("no mutant of that name".into());
    }
    let copy = Copy::make()?;

    // A model that fails, or does not exist, without any bug would prove nothing.
    let mut binaries = BTreeMap::new();
    for mutant in &mutants {
        let (file, test) = mutant.model.split_once("::").ok_or("a model is named `file::test`")?;
        if !binaries.contains_key(file) {
            binaries.insert(file, copy.build(file)?);
        }
        match run(&binaries[file], test)? {
            Run::Passed => {}
            other => return Err(format!("model {} without a bug: {other:?}", mutant.model).into()),
        }
    }

    let mut caught = 0;
    for mutant in &mutants {
        let outcome = copy.plant(mutant)?;
        if outcome == Run::Failed {
            caught += 1;
            println!("mutant {}: caught by {}", mutant.name, mutant.model);
        } else {
            println!("mutant {}: NOT caught by {} ({outcome:?})", mutant.name, mutant.model);
        }
    }
    println!("{caught} of {} mutants caught", mutants.len());
    Ok(caught == mutants.len())
}

/// The copy of the two crates that the bugs are planted in.
struct Copy {
    workspace: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make() -> Result<Self> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = models.ancestors().nth(2).ok_or("the models are not in a workspace")?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let copy =
            Self { workspace: target.join("mutants/workspace"), target: target.join("mutants/target") };

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
