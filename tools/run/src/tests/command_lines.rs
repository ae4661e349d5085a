//! The command lines of all boards, and what they refuse.

use super::sample::Sample;
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::machine::{Machine, Setup, Watch};
use crate::options::{Options, Subject, parse};
use crate::words::{quoted, split};
use std::ffi::OsString;

const EXPECTED: &str = include_str!("command_lines.txt");

/// What options come to.
fn command_line(sample: &Sample, line: &str) -> Result<String> {
    let dir = sample.dir().display();
    let line =
        line.replace("$dtb", &format!("{dir}/tree.dtb")).replace("$argsdtb", &format!("{dir}/args.dtb"));
    let mut words: Vec<OsString> =
        split(&line, "the test").unwrap().into_iter().map(OsString::from).collect();
    for (board, shim) in [("lying", "reveille-shim"), ("secure", "reveille-stage")] {
        if words.iter().any(|word| word == board) {
            words.splice(0..0, ["--shim".into(), sample.dir().join(shim).into()]);
        }
    }
    let host = sample.host();
    let (mut options, mut subject) = (Options::default(), Subject::Elf(Some(sample.image().into())));
    parse(words, &mut options, &mut subject, &host)?;
    let setup = Setup::new(options, &host)?;
    let image = Image::open(&sample.image(), &host)?;
    let machine = Machine::new(setup, image, &Watch::default(), &host)?;
    Ok(quoted(machine.command()))
}

/// Places become names, and what goes by them one name.
fn normal(sample: &Sample, text: &str) -> String {
    let text = text
        .replace(&sample.cache().display().to_string(), "$cache")
        .replace(&sample.dir().join("qemu").display().to_string(), "$qemu")
        .replace(&sample.dir().display().to_string(), "$dir");
    let mut parts = text.split('.').map(|part| {
        let digest = part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digest { "DIGEST" } else { part }
    });
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "." + part)
}

#[test]
fn as_they_were() {
    let sample = Sample::new();
    let mut lines = EXPECTED.lines();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let Some(options) = line.strip_prefix('>') else { continue };
        let expected = lines.next().unwrap();
        let got = match command_line(&sample, options) {
            Ok(line) => line,
            Err(Error::Usage(sentence)) => format!("refused: {sentence}"),
            Err(other) => panic!("{options}: {other}"),
        };
        assert_eq!(normal(&sample, &got), expected, "{options}");
        count += 1;
    }
    assert!(count > 100, "only {count} command lines");
}

/// The options by which a machine is the same again are what it was made of.
#[test]
fn the_same_again() {
    let sample = Sample::new();
    let host = sample.host();
    for line in EXPECTED.lines().filter_map(|line| line.strip_prefix('>')) {
        let Ok(command) = command_line(&sample, line) else { continue };
        let read = |words: Vec<OsString>| {
            let mut options = Options::default();
            parse(words, &mut options, &mut Subject::Elf(None), &host).unwrap();
            options
        };
        let dir = sample.dir().display();
        let line =
            line.replace("$dtb", &format!("{dir}/tree.dtb")).replace("$argsdtb", &format!("{dir}/args.dtb"));
        let options = read(split(&line, "the test").unwrap().into_iter().map(OsString::from).collect());
        let qemu = options.qemu.clone();
        let with_qemu = |mut words: Vec<OsString>| {
            words.push("--".into());
            words.extend(qemu.iter().cloned());
            words
        };
        assert_eq!(read(with_qemu(options.words())), options, "{line}");
        let again = with_qemu(Setup::new(options, &host).unwrap().words());
        assert_eq!(command_line(&sample, &quoted(again)).unwrap(), command, "{line}");
    }
}

#[test]
fn so_many_cpus_of_the_host() {
    let sample = Sample::new();
    let most = sample.host().cpus().len();
    let said = command_line(&sample, &format!("--host-cpus {}", most + 1)).unwrap_err().to_string();
    assert_eq!(said, format!("--host-cpus: {} is outside 1 to {most}", most + 1));
    let line = command_line(&sample, "--host-cpus 1").unwrap();
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    assert_eq!(words[..2], ["taskset", "-c"]);
    assert!(sample.host().cpus().iter().any(|cpu| cpu.to_string() == words[2]), "{line}");
}

#[test]
fn firmware_of_the_repository_is_asked_for() {
    let sample = Sample::new();
    let host = sample.host();
    for board in ["lying", "secure"] {
        let options = Options { board: board.to_owned(), ..Options::default() };
        let setup = Setup::new(options, &host).unwrap();
        let image = Image::open(&sample.image(), &host).unwrap();
        let said = Machine::new(setup, image, &Watch::default(), &host).err().unwrap();
        assert!(matches!(&said, Error::Usage(text) if text.contains("--shim names reveille-")), "{said}");
    }
}

#[test]
fn boards_that_qemu_does_not_have() {
    let sample = Sample::new();
    for board in ["raspi5", "rockpro64"] {
        let said = command_line(&sample, &format!("--board {board}"));
        let Err(Error::Failed(text)) = said else { panic!("{board}: {said:?}") };
        assert!(text.starts_with(&format!("QEMU has no {board}; ")), "{text}");
    }
}

#[test]
fn a_path_with_commas_and_blanks() {
    let sample = Sample::new();
    let dir = sample.dir().join("a, b");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("image"), super::sample::elf()).unwrap();
    let host = sample.host();
    let options = Options { dtb: Some(sample.dir().join("tree.dtb")), ..Options::default() };
    let watch = Watch { log: Some(dir.join("log")), ..Watch::default() };
    let image = Image::open(&dir.join("image"), &host).unwrap();
    let machine = Machine::new(Setup::new(options, &host).unwrap(), image, &watch, &host).unwrap();
    let words: Vec<String> =
        machine.command().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let dir = dir.display().to_string().replace(',', ",,");
    assert!(
        words.contains(&format!("loader,file={dir}/image.img,addr=0x40200000,force-raw=on")),
        "{words:?}"
    );
    assert!(words.contains(&format!("stdio,id=console,logfile={dir}/log")), "{words:?}");
}

#[test]
fn a_debugger_and_an_interactive_console() {
    let sample = Sample::new();
    let host = sample.host();
    let image = Image::open(&sample.image(), &host).unwrap();
    let watch = Watch { interactive: true, ..Watch::default() };
    let options = Options { qemu: vec!["-d".into(), "int".into()], ..Options::default() };
    let mut machine = Machine::new(Setup::new(options, &host).unwrap(), image, &watch, &host).unwrap();
    machine.wait_for_debugger(1234);
    let line = quoted(machine.command());
    assert!(line.contains(" -chardev stdio,id=console,mux=on,signal=off -serial chardev:console -mon chardev=console,mode=readline "), "{line}");
    assert!(line.ends_with(" -S -gdb tcp:127.0.0.1:1234 -d int"), "{line}");
    let command = crate::gdb::command(&machine, 1234, &host).unwrap();
    let script = sample.cache().join("gdb/reveille.py");
    assert!(command.contains(&format!("-x {} ", script.display())), "{command}");
    assert!(command.contains(&format!("'add-symbol-file {} -o 0x0'", sample.image().display())), "{command}");
    assert_eq!(std::fs::read_to_string(script).unwrap(), crate::gdb::SCRIPT);
}

#[test]
fn an_image_that_does_not_fit() {
    let sample = Sample::new();
    let mut bytes = super::sample::elf();
    bytes[0x1010..0x1018].copy_from_slice(&(40_u64 << 20).to_le_bytes());
    std::fs::write(sample.image(), bytes).unwrap();
    for board in ["virt", "zcu102", "versal"] {
        let said = command_line(&sample, &format!("--board {board} --memory 43M")).unwrap_err();
        assert_eq!(
            said,
            Error::Usage("--memory: 43M is too little for this image, which takes 44M".into()),
            "{board}"
        );
        command_line(&sample, &format!("--board {board} --memory 44M")).unwrap();
    }
    command_line(&sample, "--at 0x40080000 --memory 43M").unwrap();
}
