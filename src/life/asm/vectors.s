// Exception vectors, once for each exception level the runtime can live at.
//
// Threads run on SP_EL0 and exceptions on SP_ELx, so the overflow of a thread stack faults on a good stack.
// Interrupts save what a Rust function may clobber and go on; everything else is fatal, moves to the
// emergency stack of its CPU and never returns.

.section .never_patch.vectors, "ax"

// q0 to q31 at `base` + `at`, and behind them FPSR and FPCR.
.macro simd_store base, at, a, b
    stp     q0, q1, [\base, #(\at + 0)]
    stp     q2, q3, [\base, #(\at + 32)]
    stp     q4, q5, [\base, #(\at + 64)]
    stp     q6, q7, [\base, #(\at + 96)]
    stp     q8, q9, [\base, #(\at + 128)]
    stp     q10, q11, [\base, #(\at + 160)]
    stp     q12, q13, [\base, #(\at + 192)]
    stp     q14, q15, [\base, #(\at + 224)]
    stp     q16, q17, [\base, #(\at + 256)]
    stp     q18, q19, [\base, #(\at + 288)]
    stp     q20, q21, [\base, #(\at + 320)]
    stp     q22, q23, [\base, #(\at + 352)]
    stp     q24, q25, [\base, #(\at + 384)]
    stp     q26, q27, [\base, #(\at + 416)]
    stp     q28, q29, [\base, #(\at + 448)]
    stp     q30, q31, [\base, #(\at + 480)]
    mrs     \a, fpsr
    mrs     \b, fpcr
    str     \a, [\base, #(\at + 512)]
    str     \b, [\base, #(\at + 520)]
.endm
.macro simd_load base, at, a, b
    ldr     \a, [\base, #(\at + 512)]
    ldr     \b, [\base, #(\at + 520)]
    msr     fpsr, \a
    msr     fpcr, \b
    ldp     q0, q1, [\base, #(\at + 0)]
    ldp     q2, q3, [\base, #(\at + 32)]
    ldp     q4, q5, [\base, #(\at + 64)]
    ldp     q6, q7, [\base, #(\at + 96)]
    ldp     q8, q9, [\base, #(\at + 128)]
    ldp     q10, q11, [\base, #(\at + 160)]
    ldp     q12, q13, [\base, #(\at + 192)]
    ldp     q14, q15, [\base, #(\at + 224)]
    ldp     q16, q17, [\base, #(\at + 256)]
    ldp     q18, q19, [\base, #(\at + 288)]
    ldp     q20, q21, [\base, #(\at + 320)]
    ldp     q22, q23, [\base, #(\at + 352)]
    ldp     q24, q25, [\base, #(\at + 384)]
    ldp     q26, q27, [\base, #(\at + 416)]
    ldp     q28, q29, [\base, #(\at + 448)]
    ldp     q30, q31, [\base, #(\at + 480)]
.endm

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
    simd_store sp, 192, x0, x1
.endif
    mov     x0, sp
    bl      {IRQ}
.global reveille_handled_el\el
reveille_handled_el\el:
    // Returns with DAIF.I set again: nothing may come between here and the eret.
.if {HAVE_SIMD}
    simd_load sp, 192, x0, x1
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
// that has none (it has not won its slot yet) parks, with a word if it can. TPIDRRO_EL0 serves as scratch; nobody will miss it. The
// 32 bytes at the top of the emergency stack are scratch too.
.macro fatal_slot el, kind
    msr     tpidrro_el0, x0
    mrs     x0, tpidr_el\el
    cbz     x0, reveille_word_exception
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

// An exception that the application may want, if `reveille_exceptions` says so: a synchronous one of this level. The stack pointer may be
// what is wrong, so it is looked at before anything is stored, with TPIDRRO_EL0 as scratch: see `offered_entry`.
.macro own_slot el, kind
    msr     tpidrro_el0, x0
    adrp    x0, reveille_exceptions
    ldr     w0, [x0, :lo12:reveille_exceptions]
    cbnz    w0, .Loffered\kind\()_el\el
    mrs     x0, tpidrro_el0
    fatal_slot \el, \kind
.endm

// The same from a lower exception level. What runs there was entered with nothing on the stack of exceptions, which so has room; and
// TPIDRRO_EL0 is its own.
.macro lower_slot el, kind
    sub     sp, sp, #{FRAME}
    stp     x0, x1, [sp]
    adrp    x0, reveille_exceptions
    ldr     w0, [x0, :lo12:reveille_exceptions]
    mov     x1, #\kind
    cbnz    w0, .Ltaken_el\el
    ldp     x0, x1, [sp]
    add     sp, sp, #{FRAME}
    fatal_slot \el, \kind
.endm

// Whether there is room for a frame and a handler on the stack of exceptions; else it is the end. x0 is in TPIDRRO_EL0.
.macro offered_entry el, kind
.Loffered\kind\()_el\el:
    mrs     x0, tpidr_el\el
    cbz     x0, reveille_word_exception
    ldr     x0, [x0, #{PERCPU_EXCEPTION_FLOOR}]
    cbz     x0, 1f                      // none yet
    sub     x0, sp, x0
    tbnz    x0, #63, 1f
    mrs     x0, tpidrro_el0
    sub     sp, sp, #{FRAME}
    stp     x0, x1, [sp]
    mov     x1, #\kind
    b       .Ltaken_el\el
1:  mrs     x0, tpidrro_el0
    fatal_slot \el, \kind
.endm

// All of a `Frame` at sp, but for x0 and x1, which are there; x1 is the kind. Then the handler; then whatever it has left in the frame.
.macro taken_entry el
.balign 4
// Where what ran below this level continues once its interrupt is served: with every register as it was, to the handler of
// the application. All exceptions are masked.
.global reveille_below_el\el
reveille_below_el\el:
    sub     sp, sp, #{FRAME}
    stp     x0, x1, [sp]
    mov     x1, #{BELOW}
.Ltaken_el\el:
    frame_store sp
    add     x2, sp, #{FRAME}
    stp     x30, x2, [sp, #240]
    mrs     x2, sp_el0
    mrs     x3, elr_el\el
    mrs     x4, spsr_el\el
    mrs     x5, esr_el\el
    mrs     x6, far_el\el
    mrs     x7, tpidrro_el0
    stp     x2, x3, [sp, #256]
    stp     x4, x5, [sp, #272]
    stp     x6, x1, [sp, #288]
    stp     x7, x30, [sp, #304]         // x30: with what follows as in the frame of an interrupt
    stp     x29, x3, [sp, #320]
    add     x29, sp, #320
.if {HAVE_SIMD}
    simd_store sp, {FRAME_SIMD}, x3, x4
.endif
    mov     x0, sp
    bl      {EXCEPTION}
.global reveille_handled_exception_el\el
reveille_handled_exception_el\el:
    // With everything masked again: nothing may come between here and the eret.
    cbnz    x0, 1f
    mov     x0, sp
    add     sp, sp, #{FRAME}
    b       .Lframe_el\el

    // The CPU does not go back to what it ran below, but to the thread that had it do so: `reveille_enter_below`.
1:  add     sp, sp, #{FRAME}
    mrs     x0, tpidr_el\el
    ldr     x0, [x0, #{PERCPU_BELOW}]
    msr     sp_el0, x0
    msr     spsel, #0
    callee_load sp
    add     sp, sp, #{CALLEE}
    ret

// Everything that is in the `Frame` at x0.
.Lframe_el\el:
.if {HAVE_SIMD}
    simd_load x0, {FRAME_SIMD}, x2, x3
.endif
    ldp     x2, x3, [x0, #256]
    ldr     x4, [x0, #272]
    ldr     x7, [x0, #304]
    msr     sp_el0, x2
    msr     elr_el\el, x3
    msr     spsr_el\el, x4
    msr     tpidrro_el0, x7
    frame_load
    eret
.endm

// x2 to x29, where they are if x0 is at `base`; and x0 to x30 from x0 on.
.macro frame_store base
    stp     x2, x3, [\base, #16]
    stp     x4, x5, [\base, #32]
    stp     x6, x7, [\base, #48]
    stp     x8, x9, [\base, #64]
    stp     x10, x11, [\base, #80]
    stp     x12, x13, [\base, #96]
    stp     x14, x15, [\base, #112]
    stp     x16, x17, [\base, #128]
    stp     x18, x19, [\base, #144]
    stp     x20, x21, [\base, #160]
    stp     x22, x23, [\base, #176]
    stp     x24, x25, [\base, #192]
    stp     x26, x27, [\base, #208]
    stp     x28, x29, [\base, #224]
.endm
.macro frame_load
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
.endm

// What a function call keeps (AAPCS64 6.1), from `base` on: x19 to x30, d8 to d15 and FPCR.
.macro callee_store base
    stp     x19, x20, [\base]
    stp     x21, x22, [\base, #16]
    stp     x23, x24, [\base, #32]
    stp     x25, x26, [\base, #48]
    stp     x27, x28, [\base, #64]
    stp     x29, x30, [\base, #80]
.if {HAVE_SIMD}
    stp     d8, d9, [\base, #96]
    stp     d10, d11, [\base, #112]
    stp     d12, d13, [\base, #128]
    stp     d14, d15, [\base, #144]
    mrs     x9, S3_3_C4_C4_0            // FPCR
    str     x9, [\base, #160]
.endif
.endm
.macro callee_load base
    ldp     x19, x20, [\base]
    ldp     x21, x22, [\base, #16]
    ldp     x23, x24, [\base, #32]
    ldp     x25, x26, [\base, #48]
    ldp     x27, x28, [\base, #64]
    ldp     x29, x30, [\base, #80]
.if {HAVE_SIMD}
    ldp     d8, d9, [\base, #96]
    ldp     d10, d11, [\base, #112]
    ldp     d12, d13, [\base, #128]
    ldp     d14, d15, [\base, #144]
    ldr     x9, [\base, #160]
    msr     S3_3_C4_C4_0, x9
.endif
.endm

// Contexts of the application's (`src/context`). One that is preempted is saved whole, one that switches keeps what a call keeps.
.macro context_entry el
.balign 4
// Where a preempted context continues: with every register as it was where it was interrupted, on the empty stack of exceptions. All
// exceptions are masked. Where it was, and how, is in its record already.
.global reveille_preempted_el\el
reveille_preempted_el\el:
    sub     sp, sp, #16
    stp     x0, x1, [sp]
    mrs     x0, tpidr_el\el
    ldr     x0, [x0, #{PERCPU_CONTEXT}]
    frame_store x0
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    mrs     x1, sp_el0
    mrs     x2, tpidrro_el0
    stp     x30, x1, [x0, #240]
    str     x2, [x0, #280]
.if {HAVE_SIMD}
    simd_store x0, {CONTEXT_SIMD}, x2, x3
.endif
    bl      {PREEMPTED}
    b       .Lresume_el\el

// x0: the record of the context that runs, x1: that of the one that is to; x2(x3, x0) is called once the first is saved, on the
// stack of exceptions. Comes back when somebody resumes the first. In a thread, everything masked.
.global reveille_switch_el\el
reveille_switch_el\el:
    callee_store x0
    mov     x9, sp
    str     x9, [x0, #248]
    msr     spsel, #1
    mov     x19, x1
    mov     x1, x0
    mov     x0, x3
    blr     x2
    mov     x0, x19
.Lresume_el\el:
    ldp     x1, x2, [x0, #248]          // its sp; how it is to be resumed
    msr     sp_el0, x1
    cbnz    x2, 1f
    callee_load x0
    msr     spsel, #0
    ret
1:
.if {HAVE_SIMD}
    simd_load x0, {CONTEXT_SIMD}, x2, x3
.endif
    ldr     x3, [x0, #280]
    ldp     x1, x2, [x0, #264]
    msr     tpidrro_el0, x3
    msr     spsr_el\el, x1
    msr     elr_el\el, x2
    frame_load
    eret

// Enters the lower level with the `Frame` at x0; x1: the area. Comes back when a handler says so. In a thread, everything masked.
.global reveille_enter_below_el\el
reveille_enter_below_el\el:
    sub     sp, sp, #{CALLEE}
    callee_store sp
    mov     x9, sp
    str     x9, [x1, #{PERCPU_BELOW}]
    msr     spsel, #1
    b       .Lframe_el\el
.endm

// Four groups - current EL with SP0, with SPx, lower EL in AArch64, in AArch32 - of synchronous, IRQ, FIQ,
// SError (Arm ARM D1.3.1).
.macro own_group el, base
    .balign 128
    own_slot \el, \base
    .balign 128
    b       .Lirq_el\el
    .balign 128
    fatal_slot \el, (\base + 2)
    .balign 128
    fatal_slot \el, (\base + 3)
.endm
.macro lower_group el, base
    .balign 128
    lower_slot \el, (\base)
    .balign 128
    b       .Lirq_el\el
    .balign 128
    lower_slot \el, (\base + 2)
    .balign 128
    lower_slot \el, (\base + 3)
.endm

.macro vector_table el
.balign 2048
.global reveille_vectors_el\el
reveille_vectors_el\el:
    own_group \el, 0
    own_group \el, 4
    lower_group \el, 8
    lower_group \el, 12
    .balign 128
.Lirq_el\el:
    irq_entry \el
    fatal_entry \el
    stopped_entry \el
    offered_entry \el, 0
    offered_entry \el, 4
    taken_entry \el
    context_entry \el
.endm

vector_table 1
.if {KEEP_EL2}
vector_table 2
.endif

// The beginning of a context, as what it was switched to from returns to: `context::running`, which knows x19 and x20.
.global reveille_context
reveille_context:
    mov     x0, x19
    blr     x20                         // it does not come back: so this is where a backtrace ends

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
