//! The inputs that `scripts/fuzz --keep` has kept: each once took a way that no other took.

use std::fs;
use std::path::Path;

use reveille_trees::fuzz::TARGETS;

#[test]
fn kept() {
    for target in TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("kept").join(target.name);
        let mut count = 0;
        for entry in fs::read_dir(&directory).expect("a directory of inputs") {
            let path = entry.expect("an input").path();
            println!("{}", path.display());
            (target.run)(&fs::read(&path).expect("an input"));
            count += 1;
        }
        assert!(count > 10, "{}: {count} inputs", directory.display());
        println!("fuzz {}: {count} inputs that were kept", target.name);
    }
}
