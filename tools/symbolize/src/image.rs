//! An image of this project, as cargo built it.

use object::elf::FileHeader64;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSymbol, SymbolKind};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What lies in a file that begins as an ELF does. `None` if it cannot be read, or does not.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let mut bytes = vec![0; 4];
    file.read_exact(&mut bytes).ok()?;
    if bytes != object::elf::ELFMAG {
        return None;
    }
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// An image, with the addresses that the linker script names.
pub struct Image<'a> {
    file: ElfFile64<'a, LittleEndian>,
    bytes: &'a [u8],
    symbols: HashMap<&'a str, u64>,
    start: u64,
    text_end: u64,
    /// The variables: where each was linked, its size, and its name.
    variables: Vec<(u64, u64, &'a str)>,
}

/// What relocation needs of an entry in `.rela.dyn`: its size, and that its first word is the place.
const RELOCATION: usize = 24;

impl<'a> Image<'a> {
    /// The image in `bytes`.
    ///
    /// # Errors
    ///
    /// What it lacks, for an error message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let file = ElfFile64::<LittleEndian>::parse(bytes)
            .map_err(|error| format!("it is no ELF of this kind: {error}"))?;
        let symbols: HashMap<_, _> = file
            .symbols()
            .filter_map(|symbol| Some((symbol.name().ok()?, symbol.address())))
            .filter(|(name, _)| name.starts_with("__"))
            .collect();
        let address = |name: &str| symbols.get(name).copied().ok_or_else(|| format!("it has no {name}"));
        let (start, text_end) = (address("__image_start")?, address("__text_end")?);
        if text_end < start {
            return Err("its text ends before it begins".to_owned());
        }
        let variables = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Data && symbol.size() != 0)
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?)))
            .collect();
        Ok(Self { file, bytes, symbols, start, text_end, variables })
    }

    /// The variable in which the linked address `at` lies, by the name that the linker knows, and how far from its beginning.
    pub fn variable(&self, at: u64) -> Option<(&'a str, u64)> {
        let found = self
            .variables
            .iter()
            .find(|(start, size, _)| at.checked_sub(*start).is_some_and(|offset| offset < *size));
        found.map(|(start, _, name)| (*name, at - start))
    }

    /// Where its text was linked.
    pub fn text(&self) -> (u64, u64) {
        (self.start, self.text_end)
    }

    /// The build id, as the runtime computes it (`memory::build_id`): 64-bit FNV-1a over the 32-bit words of text, without the
    /// headers, which tools may write into, and constants, as they are in the file. Words of which an entry in `.rela.dyn` is about a part count as 0.
    pub fn build_id(&self) -> Option<u64> {
        let symbol = |name| self.symbols.get(name).copied();
        let mut relocated = std::collections::HashSet::new();
        let table = self.contents(symbol("__rela_start")?, symbol("__rela_end")?)?;
        for entry in table.chunks_exact(RELOCATION) {
            let place = u64::from_le_bytes(*entry.first_chunk()?);
            relocated.extend([place, place + 4, place + 7].map(|at| at & !3));
        }
        let parts = [
            (symbol("__code_start")?, symbol("__code_end")?),
            (self.text_end, symbol("__rela_end")?),
            (symbol("__rodata_end")?, symbol("__relro_end")?),
        ];
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (from, to) in parts {
            for (word, at) in self.contents(from, to)?.chunks_exact(4).zip((from..).step_by(4)) {
                let word = if relocated.contains(&at) { 0 } else { u32::from_le_bytes(*word.first_chunk()?) };
                hash = (hash ^ u64::from(word)).wrapping_mul(0x100_0000_01b3);
            }
        }
        Some(hash)
    }

    /// What is loaded at `[from, to)`, with zeros where nothing is.
    fn contents(&self, from: u64, to: u64) -> Option<Vec<u8>> {
        let size = usize::try_from(to.checked_sub(from)?).ok().filter(|size| *size <= self.bytes.len())?;
        let mut contents = vec![0; size];
        let header: &FileHeader64<LittleEndian> = self.file.elf_header();
        for segment in header.program_headers(LittleEndian, self.bytes).ok()? {
            if segment.p_type(LittleEndian) != object::elf::PT_LOAD {
                continue;
            }
            let data = segment.data(LittleEndian, self.bytes).ok()?;
            let start = segment.p_vaddr(LittleEndian);
            // What of it lies in there.
            let (first, last) = (from.max(start), to.min(start.saturating_add(data.len() as u64)));
            if first < last {
                let piece = &data[(first - start) as usize..(last - start) as usize];
                contents[(first - from) as usize..][..piece.len()].copy_from_slice(piece);
            }
        }
        Some(contents)
    }
}
