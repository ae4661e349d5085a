// The stage's way in from reset, down to the image, and back up. MMU off throughout.

.section .head.text, "ax"
.global _start
_start:
    msr     daifset, #0xf
    msr     spsel, #1
    mov     x0, #0x0830                 // SCTLR_EL3: RES1, MMU and caches off
    movk    x0, #0x30c5, lsl #16
    msr     sctlr_el3, x0
    adrp    x0, firmware_vectors
    add     x0, x0, :lo12:firmware_vectors
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
    adrp    x1, __relr_start
    add     x1, x1, :lo12:__relr_start
    adrp    x2, __rela_end
    add     x2, x2, :lo12:__rela_end
    cmp     x1, x2                      // nobody applies relocations here: there must not be any
    b.ne    firmware_stop
    bl      {RESET}
    b       firmware_lower
.ltorg

.section .text.stage, "ax"

// Down, as a CPU comes from firmware; sp is at the top of the stack. x0: how, see `Entry`. EL2 is left as one that does not use it wants
// it: nothing traps, and EL1 is AArch64.
firmware_lower:
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

.macro syndrome to
    mrs     \to, esr_el3
.endm
