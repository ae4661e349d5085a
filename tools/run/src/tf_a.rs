//! TF-A on a Raspberry Pi 4, in the place of the board's own firmware.

use crate::board::raspi4::TREE;
use crate::error::{Error, Result};
use crate::fetch;
use crate::files::{self, Scratch};
use crate::machine::{Composition, dump_tree};
use std::ffi::OsString;
use std::path::Path;

/// Where in TF-A there are four words that firmware reads and writes: a magic number, by which it asks for the other three, and then a version,
/// the tree, and the image.
const WORDS: usize = 0xf0;

/// Adds to QEMU's words TF-A as the `armstub`: at address 0, told where the tree and the image are, which are loaded already. The tree is the one
/// that QEMU completes for the image, with its boot arguments if `append`; TF-A adds itself to it.
///
/// # Errors
///
/// A file that cannot be had or made.
pub fn qemu(to: &mut Composition<'_>, tree: &Path, address: u64, append: bool) -> Result<()> {
    let image = to.image;
    let path = "usr/lib/arm-trusted-firmware/rpi4/bl31.bin";
    let bl31 = fetch::firmware_file(to.host, "arm-trusted-firmware", path, "main")?;
    let mut stub = files::read(&bl31)?;
    let short = || Error::failed(format!("{} is too short to be TF-A", bl31.display()));
    let words = stub.get_mut(WORDS..WORDS + 16).ok_or_else(short)?;
    // 0 in place of the magic number: the other two are known.
    for (word, value) in words.chunks_exact_mut(4).zip([0, 0, TREE, address]) {
        word.copy_from_slice(&(value as u32).to_le_bytes());
    }
    let stub_file = image.beside(&format!(".tf-a-{address:#x}.bin"));
    files::write(&stub_file, &stub)?;

    let scratch = Scratch::new()?;
    let dump = scratch.path().join("tree.dtb");
    let mut question: Vec<OsString> = vec!["-machine".into(), "raspi4b".into(), "-dtb".into(), tree.into()];
    question.extend(["-kernel".into(), image.flat().into()]);
    if append {
        question.extend(["-append".into(), (&to.bootargs).into()]);
    }
    dump_tree(to.host, question, &dump)?;
    let completed = files::read(&dump)?;
    let tree_file = to.scratch("tf-a.dtb");
    files::write(&tree_file, &completed)?;

    to.load_file(&stub_file, 0, "");
    to.load_file(&tree_file, TREE, "");
    to.load_file(image.flat(), address, "");
    Ok(())
}
