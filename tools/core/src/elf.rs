//! The ELF core of a machine: a thread for each CPU, notes that say what else is known, and the memory that there is.
//!
//! The notes are those of Linux on AArch64, because that is what debuggers read: gdb finds out from `AT_ENTRY` by how much the image was
//! moved. What no debugger asks for is in notes of the name `REVEILLE`, as text.

use crate::machine::{Cpu, Machine};
use object::elf;
use object::write::elf::{FileHeader, ProgramHeader, Writer};

/// Where the image's entry was linked to be is its beginning, so that is `AT_ENTRY`. Entries of the auxiliary vector (`linux/auxvec.h`).
const AT_NULL: u64 = 0;
const AT_PAGESZ: u64 = 6;
const AT_ENTRY: u64 = 9;

/// `struct elf_prstatus` of AArch64 Linux: its size, and where the signal, the number of the thread and x0 are. Then come x1 to x30, sp, pc
/// and pstate.
const STATUS: usize = 392;
const STATUS_SIGNAL: usize = 12;
const STATUS_ID: usize = 32;
const STATUS_REGISTERS: usize = 112;
/// `struct elf_prpsinfo`: its size, and where the name and the command line are, and how long.
const PROCESS: usize = 136;
const PROCESS_NAME: std::ops::Range<usize> = 40..56;
const PROCESS_LINE: std::ops::Range<usize> = 56..136;

/// What the CPU that reported has died of, as far as a debugger can say it: `SIGABRT`.
const ABORTED: u16 = 6;

/// Our own kind of note: what is known of a CPU, in words. A number that no reader takes for one of those above, whatever the name.
const NOTE_CPU: u32 = u32::from_be_bytes(*b"CPU\x01");

/// The core. `image` is the name of the file that the machine ran.
///
/// # Errors
///
/// What is in the way, for an error message.
pub(crate) fn core(machine: &Machine, image: &str) -> Result<Vec<u8>, String> {
    let notes = notes(machine, image);
    let mut core = Vec::new();
    let mut writer = Writer::new(object::Endianness::Little, true, &mut core);
    writer.reserve_file_header();
    writer.reserve_program_headers(1 + machine.pieces.len() as u32);
    let mut places = vec![writer.reserve(notes.len() as u64, 8)];
    for piece in &machine.pieces {
        places.push(writer.reserve(piece.bytes.len() as u64, 8));
    }
    writer
        .write_file_header(&FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_CORE,
            e_machine: elf::EM_AARCH64,
            e_entry: 0,
            e_flags: elf::FileFlags(0),
        })
        .map_err(|error| format!("cannot write the header of a core: {error}"))?;
    writer.write_align_program_headers();
    let header = |p_type, p_offset, p_vaddr, bytes: &[u8]| ProgramHeader {
        p_type,
        p_flags: elf::PF_R | elf::PF_W,
        p_offset,
        p_vaddr,
        p_paddr: 0,
        p_filesz: bytes.len() as u64,
        p_memsz: if p_type == elf::PT_LOAD { bytes.len() as u64 } else { 0 },
        // Of the parts of a note.
        p_align: if p_type == elf::PT_LOAD { 8 } else { 4 },
    };
    writer.write_program_header(&header(elf::PT_NOTE, places[0], 0, &notes));
    for (piece, place) in machine.pieces.iter().zip(&places[1..]) {
        writer.write_program_header(&header(elf::PT_LOAD, *place, piece.address, &piece.bytes));
    }
    let contents = std::iter::once(&notes).chain(machine.pieces.iter().map(|piece| &piece.bytes));
    for (bytes, place) in contents.zip(places) {
        writer.pad_until(place);
        writer.write(bytes);
    }
    Ok(core)
}

/// The notes. The CPU that reported stands first, because that is the thread with which a debugger begins.
fn notes(machine: &Machine, image: &str) -> Vec<u8> {
    let mut notes = Vec::new();
    let reporter = machine.cpus.iter().position(|cpu| Some(cpu.mpidr) == machine.reporter);
    let others = (0..machine.cpus.len()).filter(|number| Some(*number) != reporter);
    for number in reporter.into_iter().chain(others) {
        let cpu = &machine.cpus[number];
        let is_reporter = Some(number) == reporter;
        note(&mut notes, "CORE", elf::NT_PRSTATUS.0, &status(number, cpu, is_reporter));
        note(&mut notes, "REVEILLE", NOTE_CPU, cpu.in_words(number, is_reporter).as_bytes());
    }
    // A debugger compares the name with that of the file. One that is too long is none.
    if image.len() < PROCESS_NAME.len() {
        note(&mut notes, "CORE", elf::NT_PRPSINFO.0, &process(machine, image, reporter));
    }
    let auxiliary: Vec<_> = [AT_PAGESZ, 4096, AT_ENTRY, machine.image, AT_NULL, 0]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    note(&mut notes, "CORE", elf::NT_AUXV.0, &auxiliary);
    notes
}

/// Adds a note (generic ABI, "Note Section"), whose parts are aligned to 4 bytes.
fn note(notes: &mut Vec<u8>, name: &str, kind: u32, bytes: &[u8]) {
    for word in [name.len() as u32 + 1, bytes.len() as u32, kind] {
        notes.extend(word.to_le_bytes());
    }
    for part in [&[name.as_bytes(), &[0]].concat(), bytes] {
        notes.extend(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

/// The registers of a CPU. Threads have numbers from 1 on.
fn status(number: usize, cpu: &Cpu, is_reporter: bool) -> [u8; STATUS] {
    let mut status = [0; STATUS];
    if is_reporter {
        status[STATUS_SIGNAL..][..2].copy_from_slice(&ABORTED.to_le_bytes());
    }
    status[STATUS_ID..][..4].copy_from_slice(&(number as u32 + 1).to_le_bytes());
    let registers = cpu.x.iter().chain([&cpu.sp, &cpu.pc, &cpu.pstate]);
    for (place, register) in status[STATUS_REGISTERS..].chunks_exact_mut(8).zip(registers) {
        place.copy_from_slice(&register.to_le_bytes());
    }
    status
}

/// What a debugger calls the program, and its command line.
fn process(machine: &Machine, image: &str, reporter: Option<usize>) -> [u8; PROCESS] {
    let mut process = [0; PROCESS];
    let line = match reporter {
        Some(number) => format!("{image} build={:016x} panic=cpu{number}", machine.build),
        None => format!("{image} build={:016x}", machine.build),
    };
    for (place, text) in [(PROCESS_NAME, image), (PROCESS_LINE, &*line)] {
        process[place][..text.len()].copy_from_slice(text.as_bytes());
    }
    process
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Piece;

    #[test]
    fn what_is_in_the_machine_is_in_the_core() {
        let cpu = Cpu { mpidr: 1, pc: 0x4020_0040, is_known: true, ..Cpu::default() };
        let machine = Machine {
            image: 0x4020_0000,
            build: 7,
            reporter: Some(1),
            cpus: vec![Cpu::default(), cpu],
            pieces: vec![Piece { address: 0x4023_0000, bytes: vec![0xa5; 24] }],
        };
        let core = core(&machine, "roll_call").unwrap();
        let word = |at: usize| u64::from_le_bytes(*core[at..].first_chunk().unwrap());
        let (notes, memory) = (64, 64 + 56);
        assert_eq!(u32::from_le_bytes(*core[notes..].first_chunk().unwrap()), elf::PT_NOTE.0);
        assert_eq!((word(memory + 16), word(memory + 32), word(memory + 40)), (0x4023_0000, 24, 24));
        assert_eq!(core[word(memory + 8) as usize..], [0xa5; 24]);
        // The first note is of the one that reported.
        let first = word(notes + 8) as usize + 12 + 8;
        assert_eq!(word(first + STATUS_ID) as u32, 2);
        assert_eq!(word(first + STATUS_REGISTERS + 32 * 8), 0x4020_0040);
        assert_eq!(word(first + STATUS_SIGNAL) as u16, ABORTED);
    }
}
