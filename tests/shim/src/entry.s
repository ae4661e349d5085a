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
    adr_l   x3, __relr_start
    adr_l   x4, __rela_end
    cmp     x3, x4                      // nobody applies relocations here: there must not be any
    b.ne    firmware_stop
    bl      {BOOT}
    b       firmware_lower

// Where every later CPU begins, started by us: x0 is 0.
.global shim_secondary
shim_secondary:
    bl      shim_el2
    bl      {ARRIVED}
    // falls through

// Down to EL1, as a CPU comes from firmware; or to where it is, for the image to take this CPU over. x0: what to enter, see
// `Entry`.
firmware_lower:
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
    adr_l   x1, firmware_vectors
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

.macro syndrome to
    mrs     \to, esr_el2
.endm
