//! The options of a run: what the machine is like and how it is watched. From words to them, and back to words.

use crate::error::{Error, Result};
use crate::host::Host;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The help text of them.
pub const HELP: &str = include_str!("options.txt");

/// The version of an interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// The board has none.
    None,
    /// GICv2.
    V2,
    /// GICv3.
    V3,
}

impl fmt::Display for Gic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::V2 => "2",
            Self::V3 => "3",
        })
    }
}

/// A size of RAM, such as `512M` or `6G`, as QEMU takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory(String);

impl Memory {
    /// Reads one: up to six digits, and `M` or `G`.
    pub fn new(text: &str) -> Option<Self> {
        let digits = text.strip_suffix(['M', 'G'])?;
        let good = (1..=6).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        good.then(|| Self(text.to_owned()))
    }

    /// How many bytes that is.
    pub fn bytes(&self) -> u64 {
        let (digits, shift) = if let Some(digits) = self.0.strip_suffix('G') {
            (digits, 30)
        } else {
            (&self.0[..self.0.len() - 1], 20)
        };
        // Up to six digits, as `new` has seen to.
        digits.parse::<u64>().unwrap_or(0) << shift
    }

    /// How many MiB that is.
    pub fn mebibytes(&self) -> u64 {
        self.bytes() >> 20
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Options as they were given. What was not is left to the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--board`.
    pub board: String,
    /// `--cpus`.
    pub cpus: Option<u32>,
    /// `--gic`.
    pub gic: Option<Gic>,
    /// `--el`: the exception level at entry, 1 to 3.
    pub el: Option<u8>,
    /// `--cpu`: a model of QEMU, with its properties.
    pub cpu: Option<String>,
    /// `--memory`.
    pub memory: Option<Memory>,
    /// `--append`, all of them, with a blank between.
    pub append: String,
    /// `--at`: an address.
    pub at: Option<u64>,
    /// `--dtb`: the absolute path of a file that can be read.
    pub dtb: Option<PathBuf>,
    /// `--timeout`, in seconds; 0 is never.
    pub timeout: Option<u64>,
    /// `--host-cpus`.
    pub host_cpus: Option<u32>,
    /// `--firmware`.
    pub firmware: Option<String>,
    /// `--acpi`.
    pub acpi: bool,
    /// `--console`.
    pub console: Option<String>,
    /// `--shim`: the image of firmware that a board of the tests boots, an absolute path.
    pub shim: Option<PathBuf>,
    /// `--gdb`.
    pub gdb: bool,
    /// `--print`.
    pub print: bool,
    /// `--icount`.
    pub icount: bool,
    /// `--interactive`, or `--no-interactive`.
    pub interactive: Option<bool>,
    /// What stands behind `--`, for QEMU.
    pub qemu: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            board: "virt".to_owned(),
            cpus: None,
            gic: None,
            el: None,
            cpu: None,
            memory: None,
            append: String::new(),
            at: None,
            dtb: None,
            timeout: None,
            host_cpus: None,
            firmware: None,
            acpi: false,
            console: None,
            shim: None,
            gdb: false,
            print: false,
            icount: false,
            interactive: None,
            qemu: Vec::new(),
        }
    }
}

/// What is to be built, for scripts that build it themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// `--target`.
    pub target: Option<String>,
    /// `--features`.
    pub features: Option<String>,
    /// `example` or `test`, and the name.
    pub image: Option<(&'static str, String)>,
}

/// What a command line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An ELF that was built already, if there is one.
    Elf(Option<OsString>),
    /// What a script will build.
    Build(Build),
}

/// Reads the words of a command line into `options`, behind what is there. Words that are no options go to `subject`. Of an option that is
/// there twice the last one counts, but for `--append`.
///
/// # Errors
///
/// [`Error::Usage`] for what makes no sense on any board.
pub fn parse(
    words: impl IntoIterator<Item = OsString>,
    options: &mut Options,
    subject: &mut Subject,
    host: &Host,
) -> Result<()> {
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let bytes = word.as_encoded_bytes();
        if bytes == b"--" {
            options.qemu.extend(words);
            break;
        }
        if !bytes.starts_with(b"-") || bytes == b"-" {
            subject.take(word)?;
            continue;
        }
        let Some(text) = word.to_str() else {
            return Err(Error::usage(format!("unknown option '{}'", word.display())));
        };
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (text, None),
        };
        if Flag::take(name, inline, options)? {
            continue;
        }
        if !VALUES.contains(&name) {
            return Err(Error::usage(format!("unknown option '{text}'")));
        }
        let value = match inline {
            Some(value) => OsString::from(value),
            None => words
                .next_if(|next| !next.as_encoded_bytes().starts_with(b"--"))
                .ok_or_else(|| Error::usage(format!("{name}: its value is missing")))?,
        };
        options.take(name, &value, subject, host)?;
    }
    Ok(())
}

/// The options with a value.
const VALUES: &[&str] = &[
    "--board",
    "--cpus",
    "--gic",
    "--el",
    "--cpu",
    "--memory",
    "--append",
    "--at",
    "--dtb",
    "--timeout",
    "--host-cpus",
    "--firmware",
    "--console",
    "--shim",
    "--target",
    "--features",
    "--test",
];

/// Whether the value of this option is the next word.
pub fn takes_value(name: &str) -> bool {
    VALUES.contains(&name)
}

/// Those without.
struct Flag;

impl Flag {
    fn take(name: &str, inline: Option<&str>, options: &mut Options) -> Result<bool> {
        match name {
            _ if inline.is_some() => return Ok(false),
            "--acpi" => options.acpi = true,
            "--icount" => options.icount = true,
            "--interactive" => options.interactive = Some(true),
            "--no-interactive" => options.interactive = Some(false),
            "--gdb" => options.gdb = true,
            "--print" => options.print = true,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Subject {
    fn take(&mut self, word: OsString) -> Result<()> {
        match self {
            Self::Elf(elf @ None) => *elf = Some(word),
            Self::Elf(Some(_)) => {
                return Err(Error::usage(format!(
                    "what is '{}'? Options of the machine only; QEMU's own go after --",
                    word.display()
                )));
            }
            Self::Build(build) => build.choose("example", word.to_string_lossy().into_owned())?,
        }
        Ok(())
    }
}

impl Build {
    fn choose(&mut self, kind: &'static str, name: String) -> Result<()> {
        if let Some((_, there)) = &self.image {
            return Err(Error::usage(format!("one image at a time: '{there}' and '{name}'")));
        }
        self.image = Some((kind, name));
        Ok(())
    }
}

impl Options {
    fn take(&mut self, name: &str, value: &OsStr, subject: &mut Subject, host: &Host) -> Result<()> {
        let text = || {
            value.to_str().ok_or_else(|| Error::usage(format!("{name}: '{}' is not UTF-8", value.display())))
        };
        let number = |least, most| number(name, text()?, least, most);
        match name {
            "--board" => self.board = text()?.to_owned(),
            "--cpus" => self.cpus = Some(number(1, 512)?),
            "--gic" => self.gic = Some(if number(2, 3)? == 2 { Gic::V2 } else { Gic::V3 }),
            "--el" => self.el = Some(number(1, 3)? as u8),
            "--cpu" => self.cpu = Some(text()?.to_owned()),
            "--memory" => {
                let text = text()?;
                self.memory = Some(Memory::new(text).ok_or_else(|| {
                    Error::usage(format!("--memory: '{text}' is not a size such as 512M or 6G"))
                })?);
            }
            "--append" => {
                if !self.append.is_empty() {
                    self.append.push(' ');
                }
                self.append.push_str(text()?);
            }
            "--at" => self.at = Some(address(name, text()?)?),
            "--dtb" => self.dtb = Some(readable(name, value)?),
            "--timeout" => self.timeout = Some(number(0, 999_999)?.into()),
            "--host-cpus" => self.host_cpus = Some(number(1, host.cpus().len() as u32)?),
            "--firmware" => self.firmware = Some(text()?.to_owned()),
            "--console" => self.console = Some(text()?.to_owned()),
            "--shim" => self.shim = Some(readable(name, value)?),
            _ => {
                let Subject::Build(build) = subject else {
                    return Err(Error::usage(format!(
                        "{name}: the image is built already; give this to cargo"
                    )));
                };
                let text = text()?.to_owned();
                match name {
                    "--target" => build.target = Some(text),
                    "--features" => build.features = Some(text),
                    _ => build.choose("test", text)?,
                }
            }
        }
        Ok(())
    }
}

impl Options {
    /// The words by which they are these options again, but for what QEMU is given.
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--board".into(), (&self.board).into()];
        let mut add = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                words.extend([name.into(), value]);
            }
        };
        let text = |value: &Option<String>| value.as_ref().map(OsString::from);
        add("--cpus", self.cpus.map(|cpus| cpus.to_string().into()));
        add("--el", self.el.map(|el| el.to_string().into()));
        add("--cpu", text(&self.cpu));
        add("--memory", self.memory.as_ref().map(|memory| memory.to_string().into()));
        add("--gic", self.gic.map(|gic| gic.to_string().into()));
        add("--append", Some(&self.append).filter(|append| !append.is_empty()).map(OsString::from));
        add("--at", self.at.map(|at| format!("{at:#x}").into()));
        add("--dtb", self.dtb.as_ref().map(OsString::from));
        add("--firmware", text(&self.firmware));
        add("--console", text(&self.console));
        add("--shim", self.shim.as_ref().map(OsString::from));
        add("--host-cpus", self.host_cpus.map(|cpus| cpus.to_string().into()));
        add("--timeout", self.timeout.map(|seconds| seconds.to_string().into()));
        let interactive = self.interactive.map(|yes| if yes { "--interactive" } else { "--no-interactive" });
        let flags = [
            self.acpi.then_some("--acpi"),
            self.icount.then_some("--icount"),
            self.gdb.then_some("--gdb"),
            self.print.then_some("--print"),
            interactive,
        ];
        words.extend(flags.into_iter().flatten().map(OsString::from));
        words
    }
}

/// A decimal number from `least` to `most`.
///
/// # Errors
///
/// It is none.
pub fn number(name: &str, text: &str, least: u32, most: u32) -> Result<u32> {
    let good = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = text.parse::<u32>().ok().filter(|_| good) else {
        return Err(Error::usage(format!("{name}: '{text}' is not a number from {least} to {most}")));
    };
    if number < least || most < number {
        return Err(Error::usage(format!("{name}: {text} is outside {least} to {most}")));
    }
    Ok(number)
}

fn address(name: &str, text: &str) -> Result<u64> {
    text.strip_prefix("0x")
        .filter(|digits| {
            (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Error::usage(format!("{name}: '{text}' is not an address such as 0x40200000")))
}

/// The absolute path of a file that can be read.
///
/// # Errors
///
/// It cannot be.
pub fn readable(name: &str, path: &OsStr) -> Result<PathBuf> {
    let path = Path::new(path);
    let cannot = || Error::usage(format!("{name}: cannot read '{}'", path.display()));
    if !path.is_file() || fs::File::open(path).is_err() {
        return Err(cannot());
    }
    fs::canonicalize(path).map_err(|_| cannot())
}
