//! What is at an address.

use addr2line::Loader;
use std::error::Error;
use std::path::{Path, PathBuf};

/// How a variable is named, `from` bytes from its beginning.
pub(crate) fn variable(name: &str, from: u64) -> String {
    let name = addr2line::demangle_auto(name.into(), None);
    if from == 0 { name.into_owned() } else { format!("{name} + {from:#x}") }
}

/// The debug information and the symbols of an image.
pub(crate) struct Names {
    loader: Loader,
    root: PathBuf,
}

impl Names {
    /// Those of the ELF at `path`; file names below `root` are told without it.
    pub(crate) fn open(path: &Path, root: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self { loader: Loader::new(path)?, root: root.to_owned() })
    }

    /// What is at the linked address `at`: the function, and then those that it was inlined into, inwards out.
    pub(crate) fn at(&self, at: u64) -> Vec<String> {
        let mut names = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(at) {
            while let Ok(Some(frame)) = frames.next() {
                let function = frame.function.as_ref().and_then(|function| function.demangle().ok());
                let function = function.map(|name| name.into_owned()).or_else(|| self.symbol(at));
                let place = frame
                    .location
                    .as_ref()
                    .map_or_else(|| "??:?".to_owned(), |location| self.place(location));
                let inlined = if names.is_empty() { "" } else { "in " };
                names.push(format!("{inlined}{} at {place}", function.as_deref().unwrap_or("??")));
            }
        }
        if names.is_empty() {
            // Assembly has no debug information.
            names.push(format!("{} at ??:?", self.symbol(at).as_deref().unwrap_or("??")));
        }
        names
    }

    /// The symbol that `at` lies in.
    fn symbol(&self, at: u64) -> Option<String> {
        let name = self.loader.find_symbol(at)?;
        Some(addr2line::demangle_auto(name.into(), None).into_owned())
    }

    fn place(&self, location: &addr2line::Location<'_>) -> String {
        let file = location.file.unwrap_or("??");
        let file = Path::new(file).strip_prefix(&self.root).ok().and_then(Path::to_str).unwrap_or(file);
        match location.line {
            Some(line) if line != 0 => format!("{file}:{line}"),
            _ => format!("{file}:?"),
        }
    }
}
