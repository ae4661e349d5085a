//! From a machine to an exit code: on this terminal ([`run`]), or for a program that reads the console itself ([`boot`]).

use crate::command::say;
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::files::Scratch;
use crate::gdb;
use crate::host::Host;
use crate::interrupt::Removing;
use crate::machine::{Machine, Setup, Watch, free_port};
use crate::output::Filter;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a run may take, in seconds, if nothing else is said.
pub const DEFAULT_TIMEOUT: u64 = 120;
/// How long QEMU may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);
/// How many lines of the console are repeated when the time is up.
const LAST_LINES: usize = 20;
/// The exit code of a shell for a process that a signal has ended is that of the signal, plus this.
const BY_SIGNAL: i32 = 128;

/// Examples that one talks to. At a terminal they get every key of it without being asked for.
const TALKATIVE: [&str; 2] = ["monitor", "async_server"];

/// Boots an image as the options of `setup` say, with the console on this terminal, and returns the exit code: the guest's, or 130 or 143 if a
/// signal has ended it. With `--print` the command is printed instead.
///
/// # Errors
///
/// [`Error::Timeout`] with the last lines of the console; or why it did not start.
pub fn run(setup: Setup, image: Image, host: &Host) -> Result<u8> {
    let interactive = is_interactive(&setup, image.elf());
    let options = &setup.options;
    let (print, debugged, given) = (options.print, options.gdb, options.timeout);
    // The port last: what comes before may take long, and somebody else the port.
    let composed = |watch: &Watch| {
        let mut machine = Machine::new(setup, image, watch, host)?;
        let port = if debugged { Some(free_port()?) } else { None };
        if let Some(port) = port {
            machine.wait_for_debugger(port);
        }
        Ok((machine, port))
    };
    if print {
        let (machine, _) = composed(&Watch { interactive, ..Watch::default() })?;
        crate::command::print(&format!("{}\n", crate::words::quoted(machine.command())))?;
        return Ok(0);
    }
    let scratch = Scratch::new()?;
    let removing = Removing::new(scratch.path())?;
    let log = scratch.path().join("console");
    let watch = Watch { scratch: Some(scratch.path().to_owned()), log: Some(log.clone()), interactive };
    let (machine, gdb_port) = composed(&watch)?;
    if let Some(port) = gdb_port {
        let debugger = gdb::command(&machine, port, host)?;
        say(&format!("waiting for a debugger; in another terminal:\n  {debugger}"));
    }
    if interactive {
        say(&format!("{}: the console has this terminal; Ctrl-A X ends QEMU", host.program()));
    }
    let limit = given.unwrap_or(if debugged || interactive { 0 } else { DEFAULT_TIMEOUT });

    // Before there is anything to end.
    let (tell, told) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD])
        .map_err(|error| Error::failed(format!("cannot listen to signals: {error}")))?;
    let handle = signals.handle();
    removing.leave();
    let listener = thread::spawn(move || signals.forever().try_for_each(|signal| tell.send(signal)));
    let terminal = Terminal::keep();
    let mut command = command(&machine);
    let filter = machine.output();
    if filter.is_some() {
        command.stdout(Stdio::piped());
    }
    let mut running = spawn(&mut command, &machine)?;
    let child = &mut running.0;
    let pump = filter.zip(child.stdout.take()).map(|(filter, from)| pump(from, filter));

    let mut watched = Watched::new((limit > 0).then(|| Duration::from_secs(limit)));
    let mut ended_by = None;
    let status = loop {
        if let Some(status) = ended(child)? {
            break status;
        }
        watched.end_if_late(child);
        match told.recv_timeout(watched.patience()) {
            Ok(SIGCHLD) | Err(RecvTimeoutError::Timeout) => {}
            Ok(signal) => {
                ended_by = Some(signal);
                watched.end(child);
            }
            Err(RecvTimeoutError::Disconnected) => thread::sleep(watched.patience()),
        }
    };
    if let Some(pump) = pump {
        let _ = pump.join();
    }
    handle.close();
    let _ = listener.join();
    drop(terminal);
    match ended_by {
        Some(SIGINT) => return Ok(130),
        Some(_) => return Ok(143),
        None => {}
    }
    if watched.is_late() {
        let mut sentence = format!("stopped after {limit} s (--timeout); the last console lines:");
        for line in last_lines(&log) {
            sentence.push_str("\n  ");
            sentence.push_str(&line);
        }
        return Err(Error::Timeout(sentence));
    }
    Ok(exit_code(status) as u8)
}

/// Whether the guest gets every key of the terminal.
fn is_interactive(setup: &Setup, elf: &Path) -> bool {
    let options = &setup.options;
    options.interactive.unwrap_or_else(|| {
        elf.file_name().is_some_and(|name| TALKATIVE.iter().any(|talkative| name == *talkative))
            && io::stdin().is_terminal()
            && io::stdout().is_terminal()
            && !options.icount
    })
}

/// How a boot ended.
#[derive(Debug)]
pub enum Outcome {
    /// With this exit code; that of a shell if it was by a signal.
    Exited(i32),
    /// It outlasted its time.
    TimedOut,
    /// Whoever reads the console did not take more, and has said why.
    Stopped(io::Error),
}

/// Boots a machine without a terminal. What comes on its console goes to `console`, as it comes; when `console` fails to take it, that ends the
/// machine. QEMU's own messages go to stderr.
///
/// # Errors
///
/// QEMU does not start.
pub fn boot(machine: &Machine, console: &mut dyn Write, timeout: Option<Duration>) -> Result<Outcome> {
    boot_under(machine, console, &mut |line| say(&line), timeout, Reins::new())
}

/// What a boot is told while it goes on.
#[derive(Debug)]
enum News {
    Console(Vec<u8>),
    /// QEMU says this itself.
    Message(String),
    /// Nothing more comes on the console.
    Closed,
    /// From now on it has so much time, or any.
    Limit(Option<Duration>),
    End,
}

/// By which a boot is held.
#[derive(Debug)]
pub struct Reins {
    tell: Sender<News>,
    told: Receiver<News>,
}

impl Reins {
    /// For one boot.
    pub fn new() -> Self {
        let (tell, told) = mpsc::channel();
        Self { tell, told }
    }

    /// For whoever is to hold it.
    pub fn hand(&self) -> Hand {
        Hand(self.tell.clone())
    }
}

impl Default for Reins {
    fn default() -> Self {
        Self::new()
    }
}

/// Holds a boot, from any thread. When that is over, nothing is done.
#[derive(Clone, Debug)]
pub struct Hand(Sender<News>);

impl Hand {
    /// From now on it has so much time, whatever it had before.
    pub fn limit(&self, timeout: Option<Duration>) {
        let _ = self.0.send(News::Limit(timeout));
    }

    /// Ends it, now.
    pub fn end(&self) {
        let _ = self.0.send(News::End);
    }
}

/// The same as [`boot`], held by others meanwhile. QEMU's own messages go to `messages`, line by line, without the one that it was ended.
///
/// # Errors
///
/// As for [`boot`].
pub fn boot_under(
    machine: &Machine,
    console: &mut dyn Write,
    messages: &mut dyn FnMut(String),
    timeout: Option<Duration>,
    reins: Reins,
) -> Result<Outcome> {
    let Reins { tell, told } = reins;
    let mut command = command(machine);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = spawn(&mut command, machine)?;
    let child = &mut running.0;
    let mut filter = machine.output();
    let tell_message = tell.clone();
    let listener = child.stderr.take().map(|from| {
        thread::spawn(move || {
            let lines = io::BufReader::new(from).split(b'\n').map_while(std::result::Result::ok);
            let lines = lines.map(|line| String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
            for line in lines.filter(|line| !line.contains(": terminating on signal 15 from pid ")) {
                let _ = tell_message.send(News::Message(line));
            }
        })
    });
    let reader = child.stdout.take().map(|mut from| {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if tell.send(News::Console(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            let _ = tell.send(News::Closed);
        })
    });
    let mut watched = Watched::new(timeout);
    let mut stopped = None;
    loop {
        match told.recv_timeout(watched.patience()) {
            Ok(News::Console(bytes)) if stopped.is_none() => {
                let bytes = match &mut filter {
                    Some(filter) => filter.feed(&bytes),
                    None => bytes,
                };
                if let Err(error) = console.write_all(&bytes).and_then(|()| console.flush()) {
                    stopped = Some(error);
                    watched.end(child);
                }
            }
            Ok(News::Console(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(News::Message(line)) => messages(line),
            Ok(News::Limit(timeout)) => watched.limit(timeout),
            Ok(News::End) => watched.end(child),
            Ok(News::Closed) | Err(RecvTimeoutError::Disconnected) => break,
        }
        watched.end_if_late(child);
    }
    // Nothing more comes: it has ended, or is about to.
    let status = loop {
        if let Some(status) = ended(child)? {
            break status;
        }
        watched.end_if_late(child);
        thread::sleep(Duration::from_millis(1));
    };
    for thread in [reader, listener].into_iter().flatten() {
        let _ = thread.join();
    }
    // What it said at the very end.
    while let Ok(news) = told.try_recv() {
        if let News::Message(line) = news {
            messages(line);
        }
    }
    if let Some(filter) = &mut filter
        && stopped.is_none()
    {
        stopped = console.write_all(&filter.finish()).and_then(|()| console.flush()).err();
    }
    Ok(match stopped {
        Some(error) => Outcome::Stopped(error),
        None if watched.is_late() => Outcome::TimedOut,
        None => Outcome::Exited(exit_code(status)),
    })
}

/// The time that a machine has, and how it is ended: asked first, and not asked again.
struct Watched {
    /// When it will be ended, or, if it was asked to end, killed.
    next: Option<Instant>,
    asked: bool,
    late: bool,
}

impl Watched {
    fn new(limit: Option<Duration>) -> Self {
        Self { next: limit.and_then(|limit| Instant::now().checked_add(limit)), asked: false, late: false }
    }

    /// How long to wait for something to happen.
    fn patience(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(3600);
        self.next.map_or(LONG, |next| next.saturating_duration_since(Instant::now()).min(LONG))
    }

    /// Other than before, if it has not been asked to end.
    fn limit(&mut self, limit: Option<Duration>) {
        if !self.asked {
            self.next = limit.and_then(|limit| Instant::now().checked_add(limit));
        }
    }

    fn end_if_late(&mut self, child: &mut Child) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        if self.asked {
            // What is gone meanwhile needs no killing.
            let _ = child.kill();
            self.next = None;
        } else {
            self.late = true;
            self.end(child);
        }
    }

    /// Asks it to end.
    fn end(&mut self, child: &mut Child) {
        // It has not been waited for, so the number is still its own.
        let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        if !self.asked {
            self.asked = true;
            self.next = Some(Instant::now() + GRACE);
        }
    }

    fn is_late(&self) -> bool {
        self.late
    }
}

fn command(machine: &Machine) -> Command {
    let words = machine.command();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// A QEMU that does not outlive whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless something has gone wrong here.
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Starts it. The thread that does has to be the one that waits for it: when that ends, it is ended.
fn spawn(command: &mut Command, machine: &Machine) -> Result<Running> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        // Where this process is killed nobody else does it.
        let with_parent = || nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from);
        // SAFETY: behind the fork this calls the system once, and neither allocates nor takes a lock.
        unsafe { command.pre_exec(with_parent) };
    }
    command
        .spawn()
        .map(Running)
        .map_err(|error| Error::failed(format!("cannot start {}: {error}", machine.command()[0].display())))
}

fn ended(child: &mut Child) -> Result<Option<ExitStatus>> {
    child.try_wait().map_err(|error| Error::failed(format!("cannot wait for QEMU: {error}")))
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal)).unwrap_or(1)
}

/// Lets the console through a filter to stdout.
fn pump(mut from: ChildStdout, mut filter: Filter) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut to = io::stdout();
        let mut buffer = [0; 4096];
        let mut open = true;
        // Read to the end even when nobody takes it any more: QEMU would wait.
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = filter.feed(&buffer[..count]);
            open = open && write_patiently(&mut to, &bytes).is_ok();
        }
        if open {
            let _ = write_patiently(&mut to, &filter.finish());
        }
    })
}

/// Writes all of it, and flushes. QEMU lets nobody wait for its stdin, and where that is the terminal it is stdout too: so it may be full for now,
/// of which nothing tells when that is over.
fn write_patiently(to: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    let for_now =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if for_now(&error) => thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error),
        }
    }
    loop {
        match to.flush() {
            Err(error) if for_now(&error) => thread::sleep(Duration::from_millis(1)),
            other => return other,
        }
    }
}

/// The settings of the terminal, which it gets back whatever QEMU has left.
struct Terminal(Option<Termios>);

impl Terminal {
    fn keep() -> Self {
        Self(if io::stdin().is_terminal() { tcgetattr(io::stdin()).ok() } else { None })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, settings);
        }
    }
}

fn last_lines(log: &Path) -> Vec<String> {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_nobody_waits_for_is_ended() {
        let mut child = Command::new("sleep").arg("1000").stdout(Stdio::piped()).spawn().unwrap();
        let mut from = child.stdout.take().unwrap();
        drop(Running(child));
        // It is gone, and so is its stdout.
        assert_eq!(from.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_is_full_for_now_is_waited_for() {
        let (mut from, mut to) = UnixStream::pair().unwrap();
        to.set_nonblocking(true).unwrap();
        let bytes: Vec<u8> = (0..1_u32 << 20).map(|at| (at % 251) as u8).collect();
        let all = bytes.clone();
        let writer = thread::spawn(move || write_patiently(&mut io::LineWriter::new(&mut to), &all));
        let mut got = Vec::new();
        from.read_to_end(&mut got).unwrap();
        writer.join().unwrap().unwrap();
        assert!(got == bytes);
    }
}
