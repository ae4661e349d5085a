// Firmware that parks CPUs. MMU off throughout, no stack.
//
// Parameters, 64 bits each: 0 the image, 8 GICD, 16 GICC of a GICv2 or 0, 24 the first redistributor, 32 how many CPUs to park, and from 64 on
// for each: its MPIDR, its mailbox, its name there, its number among the redistributors.

.equ PARAMETERS, 0x5c010000
.equ READY, 0x800                       // in the mailbox, firmware's half

.macro call_firmware
    mrs     x9, CurrentEL
    cmp     x9, #8
    b.eq    8f
    hvc     #0
    b       9f
8:  smc     #0
9:
.endm

.section .head.text, "ax"
.global _start
_start:
    mov     x19, x0                     // the tree
    ldr     x20, =PARAMETERS
    ldr     x1, [x20, #8]
    ldr     x2, [x20, #16]
    mov     w3, #0x12                   // GICD_CTLR: ARE, Group 1
    cbz     x2, 1f
    mov     w3, #1
1:  str     w3, [x1]
    dsb     sy
    ldr     x21, [x20, #32]
    add     x22, x20, #64
2:  cbz     x21, 4f
    ldr     x0, =0xc4000003             // CPU_ON
    ldr     x1, [x22]
    adrp    x2, park
    add     x2, x2, :lo12:park
    mov     x3, x22
    call_firmware
    cbnz    x0, stop
    ldr     x1, [x22, #8]
3:  ldr     w0, [x1, #READY]
    cbz     w0, 3b
    add     x22, x22, #32
    sub     x21, x21, #1
    b       2b
4:  mov     x0, x19
    ldr     x4, [x20]
    mov     x1, xzr
    mov     x2, xzr
    mov     x3, xzr
    br      x4

stop:
    wfi
    b       stop

// x0: the parameters of this CPU.
park:
    msr     daifset, #0xf
    mov     x19, x0
    ldr     x20, =PARAMETERS
    ldr     x21, [x19, #8]              // the mailbox
    ldr     w22, [x19, #16]             // the name
    ldr     x23, [x20, #16]             // GICC
    cbz     x23, 1f
    ldr     x1, [x20, #8]
    mov     w2, #1
    str     w2, [x1, #0x100]            // GICD_ISENABLER0: SGI 0, of this CPU
    mov     w2, #0xff
    str     w2, [x23, #4]               // GICC_PMR
    mov     w2, #1
    str     w2, [x23]                   // GICC_CTLR
    b       3f
1:  ldr     x1, [x20, #24]
    ldr     x2, [x19, #24]
    add     x1, x1, x2, lsl #17
    str     wzr, [x1, #0x14]            // GICR_WAKER
2:  ldr     w2, [x1, #0x14]
    tbnz    w2, #2, 2b
    add     x1, x1, #0x10000
    mov     w2, #-1
    str     w2, [x1, #0x80]             // GICR_IGROUPR0
    mov     w2, #1
    str     w2, [x1, #0x100]            // GICR_ISENABLER0
    dsb     sy
    mov     x2, #7
    msr     S3_0_C12_C12_5, x2          // ICC_SRE_EL1
    isb
    mov     x2, #0xff
    msr     S3_0_C4_C6_0, x2            // ICC_PMR_EL1
    mov     x2, #1
    msr     S3_0_C12_C12_7, x2          // ICC_IGRPEN1_EL1
    isb
3:  mov     w2, #1
    str     w2, [x21, #READY]
    dsb     sy
wait:
    wfi
    cbz     x23, 1f
    ldr     w1, [x23, #0xc]             // GICC_IAR
    str     w1, [x23, #0x10]            // GICC_EOIR
    b       2f
1:  mrs     x1, S3_0_C12_C12_0          // ICC_IAR1_EL1
    msr     S3_0_C12_C12_1, x1          // ICC_EOIR1_EL1
    isb
2:  ldr     w1, [x21]
    cmp     w1, w22
    b.ne    wait
    dmb     sy
    ldr     x2, [x21, #8]
    cbz     x2, wait
    str     xzr, [x21, #8]
    dsb     sy
    mov     x0, x21
    br      x2
.ltorg
