//! From options to a machine: what a board fills in, and QEMU's command line.

use crate::board::{self, Board, Emulated, How, one_of, refuse};
use crate::elf::{Image, flat_firmware};
use crate::error::{Error, Result};
use crate::files;
use crate::host::Host;
use crate::options::{Build, Gic, Memory, Options};
use crate::output::Filter;
use crate::words::{listed, quoted};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Options that a board has completed and found to be good.
#[derive(Clone)]
pub struct Setup {
    /// How QEMU has the board.
    pub board: &'static dyn Emulated,
    /// Number of CPUs.
    pub cpus: u32,
    /// Interrupt controller.
    pub gic: Gic,
    /// Exception level at entry.
    pub el: u8,
    /// QEMU's model of the CPU, with its properties.
    pub cpu: String,
    /// RAM.
    pub memory: Memory,
    /// `--firmware`, if there is any.
    pub firmware: Option<String>,
    /// `--console`, if there is a choice.
    pub console: Option<String>,
    /// All of them as they were given.
    pub options: Options,
}

impl Setup {
    /// Lets the board of the options complete them, and checks what was given.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for what the board cannot be, [`Error::Failed`] if QEMU has no such board.
    pub fn new(options: Options, host: &Host) -> Result<Self> {
        let board = board::find(&options.board, "--board")?;
        let emulated = emulated(board, &options.board)?;
        let name = &options.board;
        one_of("--firmware", name, options.firmware.as_deref(), emulated.firmware())?;
        one_of("--console", name, options.console.as_deref(), emulated.consoles())?;
        refuse(options.acpi && !emulated.has_acpi(), || {
            format!("--acpi: {name} has no firmware with ACPI tables")
        })?;
        let defaults = emulated.defaults(&options);
        let given = |value: &Option<String>, or: Option<&str>| value.clone().or(or.map(str::to_owned));
        let memory = match &options.memory {
            Some(memory) => memory.clone(),
            None => Memory::new(defaults.memory).ok_or_else(|| {
                Error::failed(format!("{name} has a bad default of --memory: {}", defaults.memory))
            })?,
        };
        let setup = Self {
            board: emulated,
            cpus: options.cpus.unwrap_or(defaults.cpus),
            gic: options.gic.unwrap_or(defaults.gic),
            el: options.el.unwrap_or(defaults.el),
            cpu: options.cpu.clone().unwrap_or_else(|| defaults.cpu.to_owned()),
            memory,
            firmware: given(&options.firmware, defaults.firmware),
            console: given(&options.console, defaults.console),
            options,
        };
        emulated.check(&setup, host)?;
        let name = setup.name();
        let least = emulated.least_memory().unwrap_or(0);
        refuse(setup.memory.mebibytes() < least, || format!("--memory: {name} takes {least}M at least"))?;
        refuse(setup.gic == Gic::V2 && setup.cpus > 8, || {
            format!("--cpus: {} CPUs with --gic 2, but a GICv2 has 8 at most", setup.cpus)
        })?;
        if setup.options.interactive == Some(true) {
            refuse(!std::io::stdin().is_terminal(), || "--interactive: stdin is no terminal".into())?;
            refuse(setup.options.icount, || {
                "--interactive: not with --icount, where time flies while the guest waits for a key".into()
            })?;
        }
        Ok(setup)
    }

    /// Refuses RAM that is too small for the image, with a tree behind it, where QEMU puts it from the start of RAM on.
    fn has_room_for(&self, image: &Image) -> Result<()> {
        /// For a tree.
        const BEHIND: u64 = 2 << 20;
        let takes = image.offset().saturating_add(image.size()).saturating_add(BEHIND);
        let small =
            self.board.least_memory().is_some() && self.options.at.is_none() && self.memory.bytes() < takes;
        refuse(small, || {
            format!(
                "--memory: {} is too little for this image, which takes {}M",
                self.memory,
                takes.div_ceil(1 << 20)
            )
        })
    }

    /// The board's name, as it was given.
    pub fn name(&self) -> &str {
        &self.options.board
    }

    /// The words by which this is the same machine again: what the board has filled in is written out, what has not been given is left out.
    /// How it is watched, but for `--timeout`, and what QEMU is given are not among them.
    pub fn words(&self) -> Vec<OsString> {
        let same = Options {
            cpus: Some(self.cpus),
            gic: Some(self.gic).filter(|gic| *gic != Gic::None),
            el: Some(self.el),
            cpu: Some(self.cpu.clone()),
            memory: Some(self.memory.clone()),
            firmware: self.firmware.clone(),
            console: self.console.clone(),
            gdb: false,
            print: false,
            interactive: None,
            ..self.options.clone()
        };
        same.words()
    }
}

/// How QEMU has this board.
fn emulated(board: &dyn Board, name: &str) -> Result<&'static dyn Emulated> {
    match board.how() {
        How::Emulated(emulated) => Ok(emulated),
        How::Tree(tree) => Err(Error::failed(format!(
            "QEMU has no {name}; what Reveille reads off its tree, {}, prints scripts/run --board {name} of Reveille's repository",
            tree.path
        ))),
        How::Card(boards) => {
            let (last, others) = boards.split_last().unwrap_or((&"", &[]));
            Err(Error::usage(format!(
                "--board: {name} is a card for several boards, and none that runs: choose {} or {last}",
                listed(others)
            )))
        }
    }
}

/// How a machine is watched while it runs.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// A directory for files of this run alone. Without one they stay.
    pub scratch: Option<PathBuf>,
    /// A file that gets what comes on the console.
    pub log: Option<PathBuf>,
    /// The console gets every key of the terminal.
    pub interactive: bool,
}

/// A machine with an image, ready to start.
#[derive(Clone)]
pub struct Machine {
    setup: Setup,
    image: Image,
    command: Vec<OsString>,
}

impl Machine {
    /// Puts QEMU's command together. Files that go with it are fetched or made.
    ///
    /// # Errors
    ///
    /// Such a file cannot be had; or no place that the host is asked for.
    pub fn new(setup: Setup, image: Image, watch: &Watch, host: &Host) -> Result<Self> {
        setup.has_room_for(&image)?;
        let command = Composition::new(&setup, &image, host, watch).finish(watch)?;
        Ok(Self { setup, image, command })
    }

    /// Has it wait for a debugger at this TCP port before it begins.
    pub fn wait_for_debugger(&mut self, port: u16) {
        // Before what QEMU is given by hand.
        let at = self.command.len() - self.setup.options.qemu.len();
        let words = ["-S", "-gdb", &format!("tcp:127.0.0.1:{port}")].map(OsString::from);
        self.command.splice(at..at, words);
    }

    /// QEMU's command line.
    pub fn command(&self) -> &[OsString] {
        &self.command
    }

    /// What it is like.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What it boots.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What goes between its console and whoever reads that.
    pub fn output(&self) -> Option<Filter> {
        self.setup.board.output(&self.setup)
    }
}

/// QEMU's command line, while a board adds to it.
pub struct Composition<'a> {
    /// What the machine is to be like.
    pub setup: &'a Setup,
    /// What it is to boot.
    pub image: &'a Image,
    /// Where files come from.
    pub host: &'a Host,
    /// The boot arguments of the image.
    pub bootargs: String,
    /// The number of the serial port that is the console.
    pub serial: usize,
    words: Vec<OsString>,
    console: Option<Vec<OsString>>,
    scratch: Option<PathBuf>,
}

impl<'a> Composition<'a> {
    fn new(setup: &'a Setup, image: &'a Image, host: &'a Host, watch: &Watch) -> Self {
        let mut bootargs = "reveille.exit=semihosting".to_owned();
        if !setup.options.append.is_empty() {
            bootargs.push(' ');
            bootargs.push_str(&setup.options.append);
        }
        let scratch = watch.scratch.clone();
        Self { setup, image, host, bootargs, serial: 0, words: Vec::new(), console: None, scratch }
    }

    /// Adds a word.
    pub fn word(&mut self, word: impl Into<OsString>) {
        self.words.push(word.into());
    }

    /// Adds words.
    pub fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.words.extend(words.map(OsString::from));
    }

    /// Adds a machine, and CPUs and RAM as they were asked for.
    pub fn machine(&mut self, machine: &str) {
        let (cpus, memory) = (self.setup.cpus.to_string(), self.setup.memory.to_string());
        self.words(["-machine", machine, "-cpu", &self.setup.cpu, "-smp", &cpus, "-m", &memory]);
    }

    /// Adds a kernel, with the boot arguments.
    pub fn kernel(&mut self, path: impl AsRef<Path>) {
        self.kernel_with(path, true);
    }

    /// Adds a kernel, with the boot arguments or, where a tree brings its own, without.
    pub fn kernel_with(&mut self, path: impl AsRef<Path>, append: bool) {
        self.words(["-kernel"]);
        self.word(path.as_ref());
        if append {
            self.words(["-append"]);
            self.word(self.bootargs.clone());
        }
    }

    /// Has QEMU load a file as it is. `more` are further properties, each with a comma before it.
    pub fn load_file(&mut self, path: &Path, address: u64, more: &str) {
        let mut word = OsString::from("loader,file=");
        word.push(escaped(path));
        word.push(format!(",addr={address:#x},force-raw=on{more}"));
        self.words(["-device"]);
        self.word(word);
    }

    /// Connects network devices that are part of the board to a network without anything else in it: QEMU warns of those that have none.
    pub fn closed_networks(&mut self, count: usize) {
        for _ in 0..count {
            self.words(["-nic", "user,restrict=on"]);
        }
    }

    /// The path for a large file that this run alone needs. Where there is no place for such a file it stays, beside the image, with another
    /// name for other options: what `--print` prints goes on to hold.
    pub fn scratch(&self, name: &str) -> PathBuf {
        match &self.scratch {
            Some(scratch) => scratch.join(name),
            None => {
                let options = format!("{:?}", self.setup.words());
                self.image.beside(&format!(".{}.{name}", files::digest(options)))
            }
        }
    }

    /// The words by which QEMU has the console, instead of a serial port.
    pub fn console(&mut self, words: &[&str]) {
        self.console = Some(words.iter().map(OsString::from).collect());
    }

    /// The firmware that `--shim` names, as a flat image.
    ///
    /// # Errors
    ///
    /// It was not given, or is no ELF for AArch64.
    pub fn shim(&self, board: &str, name: &str) -> Result<PathBuf> {
        let Some(path) = &self.setup.options.shim else {
            return Err(Error::usage(format!(
                "--board {board}: firmware for the tests of Reveille's repository; there scripts/run builds it, elsewhere --shim names {name} as it was built"
            )));
        };
        flat_firmware(path, Some("--shim"), self.host)
    }

    fn finish(mut self, watch: &Watch) -> Result<Vec<OsString>> {
        let options = &self.setup.options;
        let mut command = Vec::new();
        if let Some(count) = options.host_cpus {
            command.extend(["taskset".into(), "-c".into(), host_cpus(self.host, count as usize).into()]);
        }
        command.push(self.host.qemu().to_owned());
        self.setup.board.qemu(&mut self)?;
        let mut console = OsString::from("stdio,id=console");
        if watch.interactive {
            console.push(",mux=on,signal=off");
        }
        if let Some(log) = &watch.log {
            console.push(",logfile=");
            console.push(escaped(log));
        }
        // No default devices: the machine is the board alone, and QEMU asks for no ROM files of network cards.
        self.words(["-nodefaults", "-display", "none", "-chardev"]);
        self.word(console);
        for _ in 0..self.serial {
            self.words(["-serial", "null"]);
        }
        match self.console.take() {
            Some(words) => self.words.extend(words),
            None => self.words(["-serial", "chardev:console"]),
        }
        if watch.interactive {
            self.words(["-mon", "chardev=console,mode=readline"]);
        }
        self.words(["-semihosting-config", "enable=on,target=native"]);
        let given = |option: &str| options.qemu.iter().any(|word| word == option);
        if options.icount {
            self.words(["-icount", "shift=0,sleep=off"]);
        } else if !given("-accel") && !given("-icount") {
            self.words(["-accel", "tcg,thread=multi"]);
        }
        command.append(&mut self.words);
        command.extend(options.qemu.iter().cloned());
        Ok(command)
    }
}

/// A path inside of a list with commas.
pub(crate) fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes();
    OsString::from_vec(
        bytes.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 })).collect(),
    )
}

/// So many of the host's CPUs, for taskset; which, goes by the number of this process, and by how many it has given already.
fn host_cpus(host: &Host, count: usize) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let cpus = host.cpus();
    let before = NEXT.fetch_add(count, Ordering::Relaxed);
    let first = (std::process::id() as usize).wrapping_add(before) % cpus.len().max(1);
    let chosen = cpus.iter().cycle().skip(first).take(count.min(cpus.len()));
    chosen.map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// A free TCP port for a debugger.
///
/// # Errors
///
/// There is none among those that are tried.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 1234;
    const COUNT: u16 = 100;
    // Two that ask at the same time begin at different ones, most likely: what is free is taken only when QEMU starts.
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    // By binding, not by connecting: who connects first is the debugger.
    (0..COUNT)
        .map(|more| FIRST + (begin + more) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| Error::failed("no free port from 1234 to 1333 for the debugger"))
}

/// The tree that QEMU has for a machine, whose words these are, as a file.
///
/// # Errors
///
/// QEMU makes none.
pub fn dump_tree(host: &Host, mut words: Vec<OsString>, tree: &Path) -> Result<()> {
    let beside = files::with_suffix(tree, &format!(".{}", files::unique()));
    let mut dump = OsString::from("dumpdtb=");
    dump.push(escaped(&beside));
    words.extend(["-machine".into(), dump]);
    words.extend(["-nodefaults", "-display", "none"].map(OsString::from));
    let ended = Command::new(host.qemu())
        .args(&words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !ended.is_ok_and(|status| status.success()) || std::fs::rename(&beside, tree).is_err() {
        let _ = std::fs::remove_file(&beside);
        let command = std::iter::once(host.qemu().to_owned()).chain(words);
        return Err(Error::failed(format!("cannot get the tree of QEMU: {}", quoted(command))));
    }
    Ok(())
}

/// Assignments for a shell: what the options are, under the names that the scripts of Reveille's repository have for them; and
/// `MACHINE_WORDS` and `RUN_WORDS`, see [`Setup::words`] and [`Options::words`].
pub fn assignments(setup: &Setup, build: &Build) -> String {
    let options = &setup.options;
    let yes = |yes| if yes { "yes" } else { "no" }.to_owned();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let path =
        |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let interactive = options.interactive.map(yes).unwrap_or_default();
    let (kind, name) = build.image.as_ref().map_or(("example", ""), |(kind, name)| (*kind, name.as_str()));
    let values = [
        ("board", options.board.clone()),
        ("cpus", setup.cpus.to_string()),
        ("gic", setup.gic.to_string()),
        ("el", setup.el.to_string()),
        ("cpu", setup.cpu.clone()),
        ("memory", setup.memory.to_string()),
        ("append", options.append.clone()),
        ("at", options.at.map(|at| format!("{at:#x}")).unwrap_or_default()),
        ("dtb", path(&options.dtb)),
        ("timeout", number(options.timeout)),
        ("host_cpus", number(options.host_cpus.map(u64::from))),
        ("firmware", text(setup.firmware.as_deref())),
        ("acpi", yes(options.acpi)),
        ("console", text(setup.console.as_deref())),
        ("gdb", yes(options.gdb)),
        ("print", yes(options.print)),
        ("icount", yes(options.icount)),
        ("interactive", interactive),
        ("kind", kind.to_owned()),
        ("name", name.to_owned()),
        ("target", text(build.target.as_deref())),
        ("features", text(build.features.as_deref())),
    ];
    let mut lines = String::new();
    for (name, value) in values {
        lines.push_str(&format!("opt_{name}={}\n", quoted([value])));
    }
    lines.push_str(&format!("opt_qemu=({})\n", quoted(&options.qemu)));
    lines.push_str(&format!("MACHINE_WORDS=({})\n", quoted(setup.words())));
    lines.push_str(&format!("RUN_WORDS=({})\n", quoted(options.words())));
    lines
}
