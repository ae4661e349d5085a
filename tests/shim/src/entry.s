// The shim's way in, the way down to EL1, and the way back up. MMU off throughout.

.section .head.text, "ax"
.global _start
_start:
    b       shim_boot
    nop
    .quad   0x80000                     // text_offset: below the image, which is at 2 MiB
    .quad   __image_size
    .quad   0xa                         // little endian, 4 KiB pages, anywhere in memory
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .long   0

.section .text.shim, "ax"

.macro adr_l reg, sym
    adrp    \reg, \sym
    add     \reg, \reg, :lo12:\sym
.endm

// The CPU that QEMU starts: x0 is the device tree.
shim_boot:
    adr_l   x1, __bss_start
    adr_l   x2, __bss_end
1:  cmp     x1, x2
    b.hs    2f
    stp     xzr, xzr, [x1], #16
    b       1b
2:  bl      shim_el2
    adr_l   x1, __image_start
    adr_l   x2, __image_end
    adr_l   x3, __rela_start
    adr_l   x4, __rela_end
    cmp     x3, x4                      // nobody applies relocations here: there must not be any
    b.ne    shim_stop
    bl      {BOOT}
    b       shim_lower

// Where every later CPU begins, started by us: x0 is 0.
.global shim_secondary
shim_secondary:
    bl      shim_el2
    bl      {ARRIVED}
    // falls through

// Down to EL1, as a CPU comes from firmware; or to where it is, for the image to take this CPU over. x0: what to enter, see
// `Entry`.
shim_lower:
    ldp     x1, x2, [x0]                // entry, context id
    ldp     x3, x4, [x0, #16]           // SCTLR_EL1, TTBR0_EL1
    ldp     x5, x6, [x0, #32]           // TCR_EL1, MAIR_EL1
    msr     sctlr_el1, x3
    msr     ttbr0_el1, x4
    msr     tcr_el1, x5
    msr     mair_el1, x6
    ldr     x3, [x0, #48]               // SPSR
    msr     spsr_el2, x3
    msr     elr_el2, x1
    mov     x0, x2
    mov     x1, xzr
    mov     x2, xzr
    mov     x3, xzr
    isb
    eret

// This CPU's stack and EL2 registers: EL1 is left alone but for SMC and WFI, which trap.
//
// out:  sp
// keeps: x0
// uses: x1-x3
shim_el2:
    msr     daifset, #0xf
    mrs     x1, mpidr_el1
    ubfx    x2, x1, #8, #8
    and     x1, x1, #0xf
    orr     x1, x1, x2, lsl #4          // virt: Aff0 0 to 15, then Aff1
    adr_l   x2, {STACKS}
    add     x1, x1, #1
    mov     x3, #{STACK_SIZE}
    madd    x2, x1, x3, x2
    msr     spsel, #1
    mov     sp, x2
    mov     x1, #0x0830                 // SCTLR_EL2: RES1, MMU and caches off
    movk    x1, #0x30c5, lsl #16
    msr     sctlr_el2, x1
    adr_l   x1, shim_vectors
    msr     vbar_el2, x1
    mov     x1, #(1 << 31)              // HCR_EL2: RW,
    orr     x1, x1, #(3 << 40)          // APK, API,
    orr     x1, x1, #(1 << 19)          // TSC,
    orr     x1, x1, #(1 << 13)          // TWI
    msr     hcr_el2, x1
    mov     x1, #0x22ff                 // CPTR_EL2: RES1, no trap of FP, SVE and SME
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
    mrs     x1, id_aa64pfr0_el1
    ubfx    x1, x1, #24, #4
    cbz     x1, 1f
    mrs     x1, S3_4_C12_C9_5           // ICC_SRE_EL2: SRE, DFB, DIB, Enable
    orr     x1, x1, #0xf
    msr     S3_4_C12_C9_5, x1
    isb
    msr     S3_4_C12_C11_0, xzr         // ICH_HCR_EL2
1:  isb
    ret

// CPU_ON by the firmware that is really there: x0 function id, x1 affinity.
.global shim_start
shim_start:
    adr_l   x2, shim_secondary
    mov     x3, xzr
// Calls it with x0-x3; the answer is in x0.
.global shim_smc
shim_smc:
    smc     #0
    ret

// Nothing sensible can be done, by a mistake of ours or an exception in the shim: QEMU ends with exit code 99
// (SYS_EXIT_EXTENDED, Arm's semihosting 2.0, 6.8).
.global shim_stop
shim_stop:
    mov     w1, #0x26                   // ADP_Stopped_ApplicationExit
    movk    w1, #2, lsl #16
    mov     x2, #99
    stp     x1, x2, [sp, #-16]!
    mov     x0, #0x20
    mov     x1, sp
    hlt     #0xf000
    b       shim_stop

.balign 2048
shim_vectors:
.rept 8
    .balign 128
    b       shim_stop
.endr
    .balign 128
    sub     sp, sp, #256
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    b       shim_trap
.rept 7
    .balign 128
    b       shim_stop
.endr
shim_trap:
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    mov     x0, sp
    mrs     x1, esr_el2
    bl      {TRAP}
    cbnz    x0, 1f
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x0, x1, [sp, #0]
    add     sp, sp, #256
    eret
1:  add     sp, sp, #256                // entered anew: this trap never returns
    b       shim_lower
