//! One card for every Raspberry Pi that there is a board for here: its firmware chooses the tree. And what these boards have in common.

use super::{Board, How};
use crate::card::{Card, raspi as raspi_card};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::files;
use crate::options::Options;
use std::path::{Path, PathBuf};

pub(super) struct Raspi;

impl Board for Raspi {
    fn names(&self) -> &'static [&'static str] {
        &["raspi"]
    }

    fn about(&self) -> &'static str {
        "no board that runs, but a card for raspi3, raspi4 and raspi5 alike"
    }

    fn how(&self) -> How {
        How::Card(&["raspi3", "raspi4", "raspi5"])
    }

    fn card(&self) -> Option<&dyn Card> {
        Some(&raspi_card::RASPI_CARD)
    }
}

/// Whether the tree of `--dtb` brings its boot arguments, which QEMU would replace.
pub(super) fn has_bootargs(options: &Options) -> Result<bool> {
    let Some(dtb) = &options.dtb else { return Ok(false) };
    Ok(position(&files::read(dtb)?, b"bootargs").is_some())
}

/// The tree with the other UART as its console: a file beside the image, with another name for another tree. The names of the two UARTs have
/// the same length, so that no tool is needed that running does not take.
pub(super) fn pl011_tree(tree: &Path, image: &Image) -> Result<PathBuf> {
    const MINI: &[u8] = b"serial1:115200n8";
    const PL011: &[u8] = b"serial0:115200n8";
    let mut bytes = files::read(tree)?;
    let mut changed = false;
    while let Some(at) = position(&bytes, MINI) {
        bytes[at..at + MINI.len()].copy_from_slice(PL011);
        changed = true;
    }
    if !changed {
        return Err(Error::failed(format!(
            "{} names another console than serial1:115200n8: --console cannot change it",
            tree.display()
        )));
    }
    let copy = image.beside(&format!(".{}.pl011.dtb", files::digest(&bytes)));
    files::write(&copy, &bytes)?;
    Ok(copy)
}

/// Where these bytes are for the first time.
fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
