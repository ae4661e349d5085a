//! What UEFI firmware leaves, damaged at random: each must be answered in words, or with what is there.
//!
//! `REVEILLE_MUTATIONS` sets how many mutations are tried (10 000), `REVEILLE_SEED` with which seed they begin. A failure names the seed that
//! repeats it.

use reveille_trees::random::Random;
use reveille_trees::uefi::{PIECES, everything, seeds};
use std::env;
use std::panic::catch_unwind;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn random() {
    let (count, seed) = (number("REVEILLE_MUTATIONS", 10_000), number("REVEILLE_SEED", 1));
    let seeds = seeds();
    seeds.iter().for_each(|sound| everything(sound));
    for seed in seed..seed + count {
        let mut random = Random(seed);
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(input.len());
            match random.below(5) {
                0 | 1 => input[at] ^= 1 << random.below(8),
                2 => input[at] = random.pick(&[0, 0xff, 1, 0x80]),
                3 => {
                    let piece = random.pick(PIECES);
                    let end = (at + piece.len()).min(input.len());
                    input[at..end].copy_from_slice(&piece[..end - at]);
                }
                _ if at > 8 && random.below(4) == 0 => input.truncate(at),
                _ => input[random.below(8)] = random.below(256) as u8,
            }
        }
        assert!(
            catch_unwind(|| everything(&input)).is_ok(),
            "REVEILLE_SEED={seed} REVEILLE_MUTATIONS=1: see above"
        );
    }
    println!("mutation of what UEFI firmware leaves: {count} from seed {seed}");
}
