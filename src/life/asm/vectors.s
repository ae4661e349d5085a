// Exception vectors, once for each exception level the runtime can live at.
//
// Threads run on SP_EL0 and exceptions on SP_ELx, so the overflow of a thread stack faults on a good stack.
// Interrupts save what a Rust function may clobber and go on; everything else is fatal, moves to the
// emergency stack of its CPU and never returns.

.section .never_patch, "ax"

// Frame of an interrupt: x0-x18, x30, ELR, SPSR, and a frame record (x29, ELR) that keeps the chain of frame
// pointers whole across the interrupt.
.macro irq_entry el
    sub     sp, sp, #{IRQ_FRAME}
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x30, [sp, #144]
    mrs     x0, elr_el\el
    mrs     x1, spsr_el\el
    stp     x29, x0, [sp, #160]
    str     x1, [sp, #176]
    add     x29, sp, #160
.if {HAVE_SIMD}
    stp     q0, q1, [sp, #192]
    stp     q2, q3, [sp, #224]
    stp     q4, q5, [sp, #256]
    stp     q6, q7, [sp, #288]
    stp     q8, q9, [sp, #320]
    stp     q10, q11, [sp, #352]
    stp     q12, q13, [sp, #384]
    stp     q14, q15, [sp, #416]
    stp     q16, q17, [sp, #448]
    stp     q18, q19, [sp, #480]
    stp     q20, q21, [sp, #512]
    stp     q22, q23, [sp, #544]
    stp     q24, q25, [sp, #576]
    stp     q26, q27, [sp, #608]
    stp     q28, q29, [sp, #640]
    stp     q30, q31, [sp, #672]
    mrs     x0, fpsr
    mrs     x1, fpcr
    str     x0, [sp, #704]
    str     x1, [sp, #712]
.endif
    mov     x0, sp
    bl      {IRQ}
.global reveille_handled_el\el
reveille_handled_el\el:
    // Returns with DAIF.I set again: nothing may come between here and the eret.
.if {HAVE_SIMD}
    ldr     x0, [sp, #704]
    ldr     x1, [sp, #712]
    msr     fpsr, x0
    msr     fpcr, x1
    ldp     q0, q1, [sp, #192]
    ldp     q2, q3, [sp, #224]
    ldp     q4, q5, [sp, #256]
    ldp     q6, q7, [sp, #288]
    ldp     q8, q9, [sp, #320]
    ldp     q10, q11, [sp, #352]
    ldp     q12, q13, [sp, #384]
    ldp     q14, q15, [sp, #416]
    ldp     q16, q17, [sp, #448]
    ldp     q18, q19, [sp, #480]
    ldp     q20, q21, [sp, #512]
    ldp     q22, q23, [sp, #544]
    ldp     q24, q25, [sp, #576]
    ldp     q26, q27, [sp, #608]
    ldp     q28, q29, [sp, #640]
    ldp     q30, q31, [sp, #672]
.endif
    ldr     x1, [sp, #176]
    ldp     x29, x0, [sp, #160]
    msr     spsr_el\el, x1
    msr     elr_el\el, x0
    ldp     x18, x30, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp, #0]
    add     sp, sp, #{IRQ_FRAME}
    eret
.endm

// The fatal path. The stack pointer is not trusted: the emergency stack is found through TPIDR_ELx, and a CPU
// that has none (it has not won its slot yet) parks. TPIDRRO_EL0 serves as scratch; nobody will miss it. The
// 32 bytes at the top of the emergency stack are scratch too.
.macro fatal_slot el, kind
    msr     tpidrro_el0, x0
    mrs     x0, tpidr_el\el
    cbz     x0, reveille_park
    ldr     x0, [x0, #{PERCPU_EMERGENCY_TOP}]
    stp     x1, x2, [x0, #-32]
    mov     x1, #\kind
    b       .Lfatal_el\el
.endm

.macro fatal_entry el
.Lfatal_el\el:
    str     x1, [x0, #-16]              // kind
    // Already on the emergency stack: stay below what is in use there.
    mov     x1, sp
    sub     x2, x0, x1
    cmp     x2, #({EMERGENCY_SIZE} - {EMERGENCY_ROOM})
    b.hs    1f
    and     x1, x1, #~15
    sub     x1, x1, #{FATAL_FRAME}
    b       2f
    // Not on it, or too little of it is left for a frame and what follows: from the top. Whoever came to be here lived
    // above, and is not returned to.
1:  sub     x1, x0, #({FATAL_FRAME} + 32)
2:  stp     x3, x4, [x1, #24]
    stp     x5, x6, [x1, #40]
    ldp     x5, x6, [x0, #-32]          // x1, x2
    stp     x5, x6, [x1, #8]
    mrs     x5, tpidrro_el0
    str     x5, [x1]                    // x0
    ldr     x5, [x0, #-16]              // kind
    stp     x7, x8, [x1, #56]
    stp     x9, x10, [x1, #72]
    stp     x11, x12, [x1, #88]
    stp     x13, x14, [x1, #104]
    stp     x15, x16, [x1, #120]
    stp     x17, x18, [x1, #136]
    stp     x19, x20, [x1, #152]
    stp     x21, x22, [x1, #168]
    stp     x23, x24, [x1, #184]
    stp     x25, x26, [x1, #200]
    stp     x27, x28, [x1, #216]
    stp     x29, x30, [x1, #232]
    mov     x0, sp
    mrs     x2, sp_el0
    stp     x0, x2, [x1, #248]
    mrs     x0, elr_el\el
    mrs     x2, spsr_el\el
    stp     x0, x2, [x1, #264]
    mrs     x0, esr_el\el
    mrs     x2, far_el\el
    stp     x0, x2, [x1, #280]
    str     x5, [x1, #296]
    mov     sp, x1
    mov     x0, x1
    bl      {FATAL}
    b       reveille_park
.endm

// Where a stopped CPU continues: its interrupt has ended and returned here, with every register as it was where it was
// interrupted. All exceptions are masked. The registers are saved as at a fatal exception.
.macro stopped_entry el
.balign 4
.global reveille_stopped_el\el
reveille_stopped_el\el:
    fatal_slot \el, {STOPPED}
.endm

// Four groups - current EL with SP0, with SPx, lower EL in AArch64, in AArch32 - of synchronous, IRQ, FIQ,
// SError (Arm ARM D1.3.1).
.macro vector_group el, base
    .balign 128
    fatal_slot \el, (\base)
    .balign 128
    b       .Lirq_el\el
    .balign 128
    fatal_slot \el, (\base + 2)
    .balign 128
    fatal_slot \el, (\base + 3)
.endm

.macro vector_table el
.balign 2048
.global reveille_vectors_el\el
reveille_vectors_el\el:
    vector_group \el, 0
    vector_group \el, 4
    vector_group \el, 8
    vector_group \el, 12
    .balign 128
.Lirq_el\el:
    irq_entry \el
    fatal_entry \el
    stopped_entry \el
.endm

vector_table 1
.if {KEEP_EL2}
vector_table 2
.endif

// f(x0, registers of the caller) for f in x1: `with_registers` in exception.rs, which knows the offsets. The stack pointer
// and SPSR are those of the caller; x0 to x18 are nobody's in a call.
.global reveille_with_registers
reveille_with_registers:
    stp     x29, x30, [sp, #-{REGISTERS}]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    add     x2, sp, #{REGISTERS}
    sub     x3, x30, #4                 // the call
    stp     x2, x3, [sp, #96]
    mrs     x2, nzcv
    mrs     x3, daif
    orr     x2, x2, x3
    mrs     x3, currentel
    orr     x2, x2, x3
    mrs     x3, spsel
    orr     x2, x2, x3
    str     x2, [sp, #112]
    mov     x29, sp
    mov     x2, x1
    mov     x1, sp
    blr     x2
    ldp     x29, x30, [sp], #{REGISTERS}
    ret
