//! Whether a function has its frame record, at one of its instructions (Arm ARM C4.1: the encodings).
//!
//! A frame record is made by the first instructions of a function and taken down by its last; a function that calls nothing need not
//! have one. There the return address is in x30 still, or again, and x29 is the caller's.

/// Instructions that are looked at, on one way and in all.
const ON_ONE_WAY: usize = 32;
const IN_ALL: usize = 256;
/// Ways that are left for later, at one time.
const WAYS: usize = 8;
/// Instructions of the end of a function, behind the one that takes its record down.
const EPILOGUE: u64 = 8;

/// What an instruction says about the record.
enum Instruction {
    /// There is one, which is taken down here.
    TakenDown,
    /// There is one: this is a call, and x30 is not what it was at the beginning.
    Call,
    /// There is none yet, or none any more.
    None,
    /// It goes on there, and nowhere else.
    Branch(u64),
    /// It goes on there, or at the next one.
    Conditional(u64),
    /// A jump to where only registers know.
    Jump,
    /// It goes on at the next one.
    Next,
}

/// `count` bits of `word` from bit `low` on, as a signed number of instructions, in bytes.
fn distance(word: u32, low: u32, count: u32) -> u64 {
    let signed = ((word << (32 - low - count)) as i32) >> (32 - count);
    (i64::from(signed) * 4) as u64
}

fn decode(word: u32, at: u64) -> Instruction {
    // ldp and stp of x29 and x30, by sp, with any offset and write-back; bit 22 is the load.
    if word & 0xfe40_7fff == 0xa840_7bfd {
        return Instruction::TakenDown;
    }
    if word & 0xfe40_7fff == 0xa800_7bfd {
        return Instruction::None;
    }
    match word {
        // add x29, sp, #N
        _ if word & 0xff80_03ff == 0x9100_03fd => Instruction::None,
        // ret
        _ if word & 0xffff_fc1f == 0xd65f_0000 => Instruction::None,
        // bl, blr
        _ if word & 0xfc00_0000 == 0x9400_0000 || word & 0xffff_fc1f == 0xd63f_0000 => Instruction::Call,
        // br
        _ if word & 0xffff_fc1f == 0xd61f_0000 => Instruction::Jump,
        // b
        _ if word & 0xfc00_0000 == 0x1400_0000 => Instruction::Branch(at.wrapping_add(distance(word, 0, 26))),
        // b.cond, cbz, cbnz
        _ if word & 0xff00_0010 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 => {
            Instruction::Conditional(at.wrapping_add(distance(word, 5, 19)))
        }
        // tbz, tbnz
        _ if word & 0x7e00_0000 == 0x3600_0000 => {
            Instruction::Conditional(at.wrapping_add(distance(word, 5, 14)))
        }
        _ => Instruction::Next,
    }
}

/// Whether the function that is interrupted before its instruction at `pc` has a frame record of its own. `read` reads an
/// instruction, if there is one.
///
/// Looks ahead, on every way that the function can take from there, for what only one with a record does or only one without.
/// Where nothing is found, it has one: nearly all instructions are of functions that do.
pub(super) fn stands(pc: u64, read: impl Fn(u64) -> Option<u32>) -> bool {
    // Behind the end of the record there is no way back: it need not be seen to return, which may be to jump.
    for back in 1..=EPILOGUE {
        let at = pc.wrapping_sub(4 * back);
        match read(at).map(|word| decode(word, at)) {
            Some(Instruction::TakenDown) => return false,
            Some(Instruction::Next | Instruction::Conditional(_)) => {}
            _ => break,
        }
    }
    let mut ways = [0; WAYS];
    ways[0] = pc;
    let mut left = 1;
    let mut steps = 0;
    while left > 0 {
        left -= 1;
        let mut at = ways[left];
        for _ in 0..ON_ONE_WAY {
            let Some(word) = read(at) else { break };
            steps += 1;
            if steps > IN_ALL {
                return true;
            }
            match decode(word, at) {
                Instruction::TakenDown | Instruction::Call => return true,
                Instruction::None => return false,
                Instruction::Jump => break,
                Instruction::Branch(to) => {
                    at = to;
                    continue;
                }
                Instruction::Conditional(to) => {
                    if let Some(way) = ways.get_mut(left) {
                        *way = to;
                        left += 1;
                    }
                }
                Instruction::Next => {}
            }
            at = at.wrapping_add(4);
        }
    }
    true
}
