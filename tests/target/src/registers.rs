//! Numbers in registers, which are to be what they were.

use core::arch::global_asm;

global_asm!(
    r"
// registers(x0: seed, x1: turns, x2: function, or 0) -> x0: every bit that was wrong.
.balign 4
reveille_tests_registers:
    stp     x29, x30, [sp, #-208]!
    mov     x29, sp
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     x0, x2, [sp, #96]
.if {SIMD}
    stp     d8, d9, [sp, #128]
    stp     d10, d11, [sp, #144]
    stp     d12, d13, [sp, #160]
    stp     d14, d15, [sp, #176]
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    add     x2, x0, #(64 + \n)
    dup     v\n\().2d, x2
.endr
.endif
.irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28
    add     x\n, x0, #\n
.endr
1:  cbz     x1, 2f
    sub     x1, x1, #1
    b       1b
2:
.irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28
    sub     x\n, x\n, x0
    sub     x\n, x\n, #\n
    orr     x1, x1, x\n
.endr
.if {SIMD}
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    umov    x2, v\n\().d[0]
    umov    x3, v\n\().d[1]
    sub     x2, x2, x0
    sub     x3, x3, x0
    sub     x2, x2, #(64 + \n)
    sub     x3, x3, #(64 + \n)
    orr     x1, x1, x2
    orr     x1, x1, x3
.endr
.endif
    // What a call keeps, over a call.
    ldr     x2, [sp, #104]
    cbz     x2, 3f
    str     x1, [sp, #112]
.if {SIMD}
.irp n, 8,9,10,11,12,13,14,15
    add     x3, x0, #(64 + \n)
    fmov    d\n, x3
.endr
.endif
.irp n, 19,20,21,22,23,24,25,26,27,28
    add     x\n, x0, #\n
.endr
    blr     x2
    ldr     x0, [sp, #96]
    ldr     x1, [sp, #112]
.irp n, 19,20,21,22,23,24,25,26,27,28
    sub     x\n, x\n, x0
    sub     x\n, x\n, #\n
    orr     x1, x1, x\n
.endr
.if {SIMD}
.irp n, 8,9,10,11,12,13,14,15
    fmov    x3, d\n
    sub     x3, x3, x0
    sub     x3, x3, #(64 + \n)
    orr     x1, x1, x3
.endr
.endif
3:
.if {SIMD}
    ldp     d8, d9, [sp, #128]
    ldp     d10, d11, [sp, #144]
    ldp     d12, d13, [sp, #160]
    ldp     d14, d15, [sp, #176]
.endif
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    mov     x0, x1
    ldp     x29, x30, [sp], #208
    ret
",
    SIMD = const cfg!(target_feature = "neon") as u32,
);

unsafe extern "C" {
    safe fn reveille_tests_registers(seed: u64, turns: u64, f: Option<extern "C" fn()>) -> u64;
}

/// Numbers made of `seed` in all registers that a thread may use for so many `turns` of a loop, in which it may be interrupted; and in those
/// that a function keeps while it calls `f`. Those of SIMD are among them where the compiler uses them. Whether all were what they were.
#[must_use]
pub fn are_kept(seed: u64, turns: u64, f: Option<extern "C" fn()>) -> bool {
    reveille_tests_registers(seed, turns, f) == 0
}
