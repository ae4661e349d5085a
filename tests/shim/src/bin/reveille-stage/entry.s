// The stage's way in from reset, down to the image, and back up. MMU off throughout.

.section .head.text, "ax"
.global _start
_start:
    msr     daifset, #0xf
    msr     spsel, #1
    mov     x0, #0x0830                 // SCTLR_EL3: RES1, MMU and caches off
    movk    x0, #0x30c5, lsl #16
    msr     sctlr_el3, x0
    adrp    x0, stage_vectors
    add     x0, x0, :lo12:stage_vectors
    msr     vbar_el3, x0
    msr     cptr_el3, xzr
    msr     mdcr_el3, xzr
    isb
    mrs     x1, mpidr_el1
    ubfx    x2, x1, #8, #8
    and     x1, x1, #0xf
    orr     x1, x1, x2, lsl #4          // virt: Aff0 0 to 15, then Aff1
    add     x1, x1, #1
    mov     x2, #{STACK_SIZE}
    ldr     x3, =({STACKS})
    madd    x2, x1, x2, x3
    mov     sp, x2
    adrp    x1, __rela_start
    add     x1, x1, :lo12:__rela_start
    adrp    x2, __rela_end
    add     x2, x2, :lo12:__rela_end
    cmp     x1, x2                      // nobody applies relocations here: there must not be any
    b.ne    stage_stop
    bl      {RESET}
    b       stage_lower
.ltorg

.section .text.stage, "ax"

// Down, as a CPU comes from firmware; sp is at the top of the stack. x0: how, see `Entry`. EL2 is left as one that does not use it wants
// it: nothing traps, and EL1 is AArch64.
stage_lower:
    mov     x1, #(1 << 31)              // HCR_EL2: RW,
    orr     x1, x1, #(3 << 40)          // APK, API
    msr     hcr_el2, x1
    isb
    mov     x1, #0x0830
    movk    x1, #0x30c5, lsl #16
    msr     sctlr_el2, x1
    mov     x1, #0x0800
    movk    x1, #0x30d0, lsl #16
    msr     sctlr_el1, x1
    mov     x1, #0x33ff                 // CPTR_EL2: RES1, no FP trap
    msr     cptr_el2, x1
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    msr     cntvoff_el2, xzr
    mov     x1, #3                      // EL1 may use counter and physical timer
    msr     cnthctl_el2, x1
    mrs     x1, midr_el1
    msr     vpidr_el2, x1
    mrs     x1, mpidr_el1
    msr     vmpidr_el2, x1
    ldp     x1, x2, [x0]                // where to, SPSR
    msr     elr_el3, x1
    msr     spsr_el3, x2
    ldp     x3, x1, [x0, #16]
    ldr     x2, [x0, #32]
    mov     x0, x3
    mov     x3, xzr
    isb
    eret

// Nothing sensible can be done, by a mistake of ours or what has no business here: QEMU ends with exit code 99
// (SYS_EXIT_EXTENDED, Arm's semihosting 2.0, 6.8).
.global stage_stop
stage_stop:
    mov     w1, #0x26                   // ADP_Stopped_ApplicationExit
    movk    w1, #2, lsl #16
    mov     x2, #99
    stp     x1, x2, [sp, #-16]!
    mov     x0, #0x20
    mov     x1, sp
    hlt     #0xf000
    b       stage_stop

.balign 2048
stage_vectors:
.rept 8
    .balign 128
    b       stage_stop
.endr
    .balign 128
    sub     sp, sp, #160
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    b       stage_trap
.rept 7
    .balign 128
    b       stage_stop
.endr
stage_trap:
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x30, [sp, #144]
    mov     x0, sp
    mrs     x1, esr_el3
    bl      {TRAP}
    cbnz    x0, 1f
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x30, [sp, #144]
    ldp     x0, x1, [sp, #0]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    add     sp, sp, #160
    eret
1:  add     sp, sp, #160                // started anew: this trap never returns
    b       stage_lower
