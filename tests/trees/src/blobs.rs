//! Where the blobs under test come from: `dtc`, QEMU, and a directory of real ones.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Compiles `dts/NAME.dts` with `dtc`.
///
/// # Panics
/// If `dtc` is missing (Debian: `device-tree-compiler`) or refuses the source.
pub fn compile(name: &str) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("dts").join(name).with_extension("dts");
    compile_text(&fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display())))
}

/// Compiles the text of a tree.
///
/// # Panics
/// As [`compile`].
pub fn compile_text(source: &str) -> Vec<u8> {
    let mut dtc = Command::new("dtc")
        .args(["-q", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dtc, from the package device-tree-compiler, is needed");
    dtc.stdin.take().expect("a pipe").write_all(source.as_bytes()).expect("dtc reads its input");
    let output = dtc.wait_with_output().expect("dtc ends");
    assert!(output.status.success(), "dtc refuses: {source}");
    output.stdout
}

/// The text of a blob as `dtc` sees it.
///
/// # Panics
/// If `dtc` is missing or refuses the blob.
pub fn decompile(blob: &Path) -> String {
    let output = Command::new("dtc")
        .args(["-q", "-I", "dtb", "-O", "dts"])
        .arg(blob)
        .output()
        .expect("dtc, from the package device-tree-compiler, is needed");
    assert!(output.status.success(), "{}: {}", blob.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("dtc escapes what is not ASCII")
}

/// The tree that `qemu-system-aarch64` makes for itself: `machine` is what follows `-M`, without `dumpdtb`.
///
/// # Panics
/// If QEMU is missing or refuses the machine.
pub fn qemu(machine: &str, more: &[&str]) -> Vec<u8> {
    let file = temporary("qemu.dtb");
    let output = Command::new("qemu-system-aarch64")
        .arg("-M")
        .arg(format!("{machine},dumpdtb={}", file.display()))
        .args(["-display", "none"])
        .args(more)
        .output()
        .expect("qemu-system-aarch64 is needed");
    let blob = fs::read(&file);
    let _ = fs::remove_file(&file);
    blob.unwrap_or_else(|error| {
        panic!("-M {machine} {more:?}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// A name for a file that nobody else uses.
pub fn temporary(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("reveille-trees-{}-{next}-{name}", std::process::id()))
}

/// Every `.dtb` file below `directory`, sorted.
///
/// # Panics
/// If a directory cannot be read.
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(directory) = todo.pop() {
        let entries = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
        for entry in entries {
            let path = entry.expect("directory entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dtb") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
