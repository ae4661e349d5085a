//! What a signal that ends this process takes with it: directories of work that is half done, and programs that do it.

use crate::error::{Error, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// What there is to take along.
struct Taken {
    paths: Vec<PathBuf>,
    programs: Vec<u32>,
    /// That of the thread that waits for signals.
    handle: Option<Handle>,
    /// Somebody else listens to signals since it is gone.
    left: bool,
}

static TAKEN: Mutex<Taken> =
    Mutex::new(Taken { paths: Vec::new(), programs: Vec::new(), handle: None, left: false });

fn taken() -> MutexGuard<'static, Taken> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this lives, a signal that ends this process removes a directory first.
#[derive(Debug)]
pub struct Removing(PathBuf);

impl Removing {
    /// Removes this one.
    ///
    /// # Errors
    ///
    /// The system does not let listen to signals.
    pub fn new(path: &Path) -> Result<Self> {
        let mut taken = taken();
        if taken.handle.is_none() {
            let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
                .map_err(|error| Error::failed(format!("cannot listen to signals: {error}")))?;
            taken.handle = Some(signals.handle());
            taken.left = false;
            thread::spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    end(signal);
                }
            });
        }
        taken.paths.push(path.to_owned());
        Ok(Self(path.to_owned()))
    }

    /// Goes, and leaves signals to whoever listens to them by now: one that comes while this goes is for both.
    pub fn leave(self) {
        taken().left = true;
    }
}

impl Drop for Removing {
    fn drop(&mut self) {
        let mut taken = taken();
        taken.paths.retain(|path| *path != self.0);
        if taken.paths.is_empty()
            && let Some(handle) = taken.handle.take()
        {
            handle.close();
        }
    }
}

/// Ends this process, as a shell would say that a signal has; unless that has been left to others.
fn end(signal: i32) {
    // Kept to the end: whoever does what must not be interrupted comes to its end first, and nobody begins anything new.
    let taken = taken();
    if taken.left && taken.handle.is_none() {
        return;
    }
    for program in &taken.programs {
        // Nobody has waited for it, so the number is still its own.
        let _ = kill(Pid::from_raw(*program as i32), Signal::SIGTERM);
    }
    for path in &taken.paths {
        let _ = std::fs::remove_dir_all(path);
    }
    std::process::exit(if signal == SIGINT { 130 } else { 143 })
}

/// Does something that no signal may interrupt.
pub fn uninterrupted<R>(act: impl FnOnce() -> R) -> R {
    let _taken = taken();
    act()
}

/// Runs a program that does such work, and that is ended with this process. What it writes goes to stderr.
///
/// # Errors
///
/// It does not start.
pub fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = {
        let mut taken = taken();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        taken.programs.push(child.id());
        child
    };
    // Until it has ended, or is about to. Then nobody may take its number for its own any more.
    if let Some(mut said) = child.stdout.take() {
        let _ = io::copy(&mut said, &mut io::stderr());
    }
    let mut taken = taken();
    let status = child.wait();
    taken.programs.retain(|program| *program != child.id());
    status
}
