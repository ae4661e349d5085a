//! What a build script is for.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes the programs of this package images, with nothing besides what Reveille needs: `Image::new().build()`.
///
/// ```no_run
/// reveille_build::image();
/// ```
pub fn image() {
    Image::new().build();
}

/// The same with something of the application's own.
///
/// ```no_run
/// // Sections in `firmware.ld`, beside Cargo.toml, that `INSERT AFTER .rodata` places.
/// reveille_build::Image::new().linker_script("firmware.ld").build();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is done before `build` is called"]
pub struct Image {
    scripts: Vec<PathBuf>,
}

impl Image {
    /// Only what Reveille needs.
    ///
    /// ```
    /// let _ = reveille_build::Image::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Another linker script, after Reveille's own, which it adds to by `INSERT`; a path that is not absolute begins at the package's
    /// folder. May be called several times.
    ///
    /// ```no_run
    /// reveille_build::Image::new().linker_script("firmware.ld").linker_script("board.ld").build();
    /// ```
    pub fn linker_script(mut self, path: impl Into<PathBuf>) -> Self {
        self.scripts.push(path.into());
        self
    }

    /// Tells Cargo. For the build script of a package that has images.
    ///
    /// ```no_run
    /// reveille_build::Image::new().build();
    /// ```
    pub fn build(self) {
        say(self.lines(&Cargo::of_environment()));
    }

    fn lines(&self, cargo: &Cargo) -> Result<Vec<String>, String> {
        let mut lines = vec!["cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS".to_owned()];
        if !cargo.is_target() {
            return Ok(lines);
        }
        let (Some(arguments), Some(script)) = (&cargo.arguments, &cargo.script) else {
            return Err("reveille_build::image() is told by `reveille` how to link, which is not among the [dependencies] of this package: \
                        add it there"
                .to_owned());
        };
        linked(cargo, arguments, script, &mut lines)?;
        for own in &self.scripts {
            let own = cargo.folder.join(own);
            if !own.is_file() {
                return Err(format!("reveille_build: there is no linker script {}", own.display()));
            }
            lines.push(format!("cargo::rerun-if-changed={}", own.display()));
            lines.push(format!("cargo::rustc-link-arg=-T{}", own.display()));
        }
        lines.extend(flags(cargo)?);
        Ok(lines)
    }
}

/// Has the code of this package compiled as the runtime is: for the build script of a library that is a part of images. [`image`] does it, too.
/// Nothing depends on it but the quality of the result:
///
/// - With frame pointers, which backtraces are made of. A function without is left out of them, and where an optimised one has used x29 for something
///   else they end.
/// - As code that moves (`-C relocation-model=pic`), so that constants without addresses in them stay apart from those that relocation writes.
///
/// rustc has flags for both, and Cargo no way to give a flag from a build script: but rustc reads more arguments from a file where an argument begins with
/// `@`, and the argument here is the value of `--cfg`. What the `RUSTFLAGS` of a build decide themselves is left alone; with both of these
/// flags among them there is no such file.
///
/// ```no_run
/// // build.rs of a library
/// reveille_build::library();
/// ```
pub fn library() {
    say(flags(&Cargo::of_environment()));
}

/// What the build script of the runtime itself calls: says how images are linked, to its own and to the packages that depend on it.
/// `arguments` are the linker's, separated by white space, and `script` is the path of the script.
#[doc(hidden)]
pub fn runtime(arguments: &str, script: &Path) {
    say(runtime_lines(&Cargo::of_environment(), arguments, script));
}

fn runtime_lines(cargo: &Cargo, arguments: &str, script: &Path) -> Result<Vec<String>, String> {
    if !cargo.is_target() {
        return Err(format!(
            "images of Reveille are built for aarch64-unknown-none-softfloat or aarch64-unknown-none, and not for {}: say `target = \
             \"aarch64-unknown-none-softfloat\"` in the section [build] of .cargo/config.toml, or --target",
            cargo.target
        ));
    }
    let arguments = arguments.split_whitespace().collect::<Vec<_>>().join(" ");
    let script = script.to_str().ok_or_else(|| format!("{} is not UTF-8", script.display()))?;
    let mut lines = vec![
        "cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS".to_owned(),
        format!("cargo::rerun-if-changed={script}"),
        format!("cargo::metadata=LINKER_ARGUMENTS={arguments}"),
        format!("cargo::metadata=LINKER_SCRIPT={script}"),
    ];
    linked(cargo, &arguments, script, &mut lines)?;
    lines.extend(flags(cargo)?);
    Ok(lines)
}

/// Programs of this package are images from here on.
fn linked(cargo: &Cargo, arguments: &str, script: &str, lines: &mut Vec<String>) -> Result<(), String> {
    if let Some(flag) = cargo.flags.iter().find(|flag| flag.contains("reveille.ld")) {
        return Err(format!(
            "the rustflags of this build have `{flag}`, and reveille_build::image() gives the linker the same script: remove what they have for \
             Reveille from .cargo/config.toml and RUSTFLAGS"
        ));
    }
    lines.extend(arguments.split(' ').map(|argument| format!("cargo::rustc-link-arg={argument}")));
    lines.push(format!("cargo::rustc-link-arg=-T{script}"));
    lines.push(format!("cargo::rustc-env=REVEILLE_IMAGE={}", cargo.opt_level));
    Ok(())
}

/// Flags for rustc itself, by a file of arguments.
fn flags(cargo: &Cargo) -> Result<Vec<String>, String> {
    let decided = |flag: &str| cargo.flags.iter().any(|given| given.contains(flag));
    let own: Vec<_> = [("force-frame-pointers", "yes"), ("relocation-model", "pic")]
        .into_iter()
        .filter(|(flag, _)| !decided(flag))
        .map(|(flag, value)| format!("-C{flag}={value}\n"))
        .collect();
    if !cargo.is_target() || own.is_empty() {
        return Ok(Vec::new());
    }
    let file = cargo.out.join("flags");
    // The first line is what `--cfg` comes to: a name that nothing asks for.
    fs::write(&file, format!("reveille_flags\n{}", own.concat()))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(vec![format!("cargo::rustc-cfg=@{}", file.display())])
}

fn say(lines: Result<Vec<String>, String>) {
    match lines {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(error) => println!("cargo::error={error}"),
    }
}

/// What Cargo tells a build script.
#[derive(Clone, Debug)]
struct Cargo {
    target: String,
    arch: String,
    os: String,
    opt_level: String,
    folder: PathBuf,
    out: PathBuf,
    flags: Vec<String>,
    /// Of the runtime that the package depends on.
    arguments: Option<String>,
    script: Option<String>,
}

impl Cargo {
    fn of_environment() -> Self {
        let set =
            |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set: this is for build scripts"));
        Self {
            target: set("TARGET"),
            arch: set("CARGO_CFG_TARGET_ARCH"),
            os: set("CARGO_CFG_TARGET_OS"),
            opt_level: set("OPT_LEVEL"),
            folder: set("CARGO_MANIFEST_DIR").into(),
            out: set("OUT_DIR").into(),
            flags: env::var("CARGO_ENCODED_RUSTFLAGS")
                .map(|flags| flags.split('\x1f').map(str::to_owned).collect())
                .unwrap_or_default(),
            arguments: env::var("DEP_REVEILLE_LINKER_ARGUMENTS").ok(),
            script: env::var("DEP_REVEILLE_LINKER_SCRIPT").ok(),
        }
    }

    fn is_target(&self) -> bool {
        self.arch == "aarch64" && self.os == "none"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cargo() -> Cargo {
        Cargo {
            target: "aarch64-unknown-none".to_owned(),
            arch: "aarch64".to_owned(),
            os: "none".to_owned(),
            opt_level: "3".to_owned(),
            folder: env!("CARGO_MANIFEST_DIR").into(),
            out: env::temp_dir(),
            flags: Vec::new(),
            arguments: Some("-pie -znotext".to_owned()),
            script: Some("/a b/linker/reveille.ld".to_owned()),
        }
    }

    fn host() -> Cargo {
        Cargo {
            target: "x86_64-unknown-linux-gnu".to_owned(),
            arch: "x86_64".to_owned(),
            os: "linux".to_owned(),
            ..cargo()
        }
    }

    #[test]
    fn what_the_runtime_says_is_what_the_program_is_linked_with() {
        let said =
            runtime_lines(&cargo(), "-pie\n  -znotext\n", Path::new("/a b/linker/reveille.ld")).unwrap();
        let of = |key: &str| {
            said.iter()
                .find_map(|line| line.strip_prefix(&format!("cargo::metadata={key}=")))
                .map(str::to_owned)
        };
        let cargo = Cargo { arguments: of("LINKER_ARGUMENTS"), script: of("LINKER_SCRIPT"), ..cargo() };
        let lines = Image::new().lines(&cargo).unwrap();
        let linked: Vec<_> =
            lines.iter().filter_map(|line| line.strip_prefix("cargo::rustc-link-arg=")).collect();
        assert_eq!(linked, ["-pie", "-znotext", "-T/a b/linker/reveille.ld"]);
        assert!(lines.contains(&"cargo::rustc-env=REVEILLE_IMAGE=3".to_owned()));
        // And with the same its own.
        assert!(linked.iter().all(|argument| said.contains(&format!("cargo::rustc-link-arg={argument}"))));
    }

    #[test]
    fn scripts_of_the_application_come_last() {
        let lines = Image::new().linker_script("Cargo.toml").lines(&cargo()).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let own = format!("cargo::rustc-link-arg=-T{}", path.display());
        let place = lines.iter().position(|line| *line == own).unwrap();
        assert!(place > lines.iter().position(|line| line.ends_with("reveille.ld")).unwrap());
        assert!(lines.contains(&format!("cargo::rerun-if-changed={}", path.display())));
        let error = Image::new().linker_script("missing.ld").lines(&cargo()).unwrap_err();
        assert!(
            error.starts_with("reveille_build: there is no linker script ") && error.ends_with("missing.ld"),
            "{error}"
        );
    }

    #[test]
    fn without_the_runtime_there_is_nothing_to_link_with() {
        let error = Image::new().lines(&Cargo { arguments: None, script: None, ..cargo() }).unwrap_err();
        assert!(error.contains("`reveille`") && error.contains("[dependencies]"), "{error}");
    }

    #[test]
    fn one_script_twice_is_refused() {
        for flag in ["-Clink-arg=-Treveille.ld", "link-arg=-T/x/reveille.ld"] {
            let cargo = Cargo { flags: vec!["-Cdebuginfo=1".to_owned(), flag.to_owned()], ..cargo() };
            let error = Image::new().lines(&cargo).unwrap_err();
            assert!(error.contains(&format!("`{flag}`")), "{error}");
        }
    }

    #[test]
    fn a_host_is_no_image() {
        let lines = Image::new().linker_script("missing.ld").lines(&host()).unwrap();
        assert!(lines.iter().all(|line| line.starts_with("cargo::rerun-if-")), "{lines:?}");
        assert!(flags(&host()).unwrap().is_empty());
        let error = runtime_lines(&host(), "-pie", Path::new("/reveille.ld")).unwrap_err();
        assert!(error.contains("not for x86_64-unknown-linux-gnu"), "{error}");
    }

    #[test]
    fn flags_by_a_file_of_arguments() {
        // Each line is an argument, the first that of `--cfg`.
        let arguments = |flags: &[&str]| {
            let out = env::temp_dir().join(format!("reveille-build-{}", std::process::id()));
            fs::create_dir_all(&out).unwrap();
            let given = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let lines = super::flags(&Cargo { flags: given, out: out.clone(), ..cargo() }).unwrap();
            let said = lines.first().map(|line| {
                let file = line.strip_prefix("cargo::rustc-cfg=@").unwrap();
                fs::read_to_string(file).unwrap().lines().skip(1).collect::<Vec<_>>().join(" ")
            });
            fs::remove_dir_all(&out).unwrap();
            said
        };
        assert_eq!(arguments(&[]).unwrap(), "-Cforce-frame-pointers=yes -Crelocation-model=pic");
        assert_eq!(arguments(&["-Cforce-frame-pointers=no"]).unwrap(), "-Crelocation-model=pic");
        assert_eq!(arguments(&["-C", "relocation-model=static"]).unwrap(), "-Cforce-frame-pointers=yes");
        assert_eq!(arguments(&["-Crelocation-model=pic", "-Cforce-frame-pointers=non-leaf"]), None);
    }
}
