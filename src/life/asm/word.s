// The last words of a CPU that cannot go on and has nothing else yet to say it with: on the UART that the image was built to know
// (`REVEILLE_EARLYCON`), polled, with the MMU off. In an image that knows none it parks in silence.

.section .never_patch, "ax"

.if {EARLYCON}

// A place to go to in place of `reveille_park`.
.macro last_word name, text
\name:
    adr     x0, 1f
    b       reveille_last_word
1:  .asciz  "\text"
    .balign 4
.endm

// A register of the UART at x20, `offset` bytes behind its first: to `value`, or from it. Without a width it is the debug communications
// channel (Arm ARM H4.3).
.macro word_load value, offset
.if {EARLYCON_WIDTH} == 4
    ldr     \value, [x20, \offset]
.elseif {EARLYCON_WIDTH} == 2
    ldrh    \value, [x20, \offset]
.elseif {EARLYCON_WIDTH} == 1
    ldrb    \value, [x20, \offset]
.else
    mrs     x3, mdccsr_el0
.endif
.endm
.macro word_store width, value, offset
.if \width == 4
    str     \value, [x20, \offset]
.elseif \width == 2
    strh    \value, [x20, \offset]
.elseif \width == 1
    strb    \value, [x20, \offset]
.else
    msr     dbgdtrtx_el0, x4            // what is sent; there are no steps
.endif
.endm

// Says the text at x0, which ends with a zero, and parks. At any level, MMU on, with the image mapped where it is, or off; no stack; the
// image may lie at any multiple of 4.
.global reveille_last_word
reveille_last_word:
    msr     daifset, #0xf
    mov     x19, x0
    mov     x18, #0                     // no registers
.Lword:
    // An exception in here would come here again: it parks. The number is nothing that would be in x28 otherwise.
    movz    x28, #0x5e7e
    movk    x28, #0xa57b, lsl #16
    movk    x28, #0x0d15, lsl #32
    movk    x28, #0x1a57, lsl #48
    // The UART is not mapped; with the MMU off all data accesses are Device-nGnRnE (Arm ARM D8.2.10).
    mrs     x0, CurrentEL
    lsr     x24, x0, #2
    cmp     x24, #2
    b.eq    2f
    b.hi    3f
    mrs     x21, esr_el1
    mrs     x22, elr_el1
    mrs     x23, far_el1
    mrs     x1, sctlr_el1
    bic     x1, x1, #1                  // M
    bic     x1, x1, #4                  // C
    isb                                 // Falkor erratum 1041
    msr     sctlr_el1, x1
    b       4f
2:  mrs     x21, esr_el2
    mrs     x22, elr_el2
    mrs     x23, far_el2
    mrs     x1, sctlr_el2
    bic     x1, x1, #1
    bic     x1, x1, #4
    isb                                 // Falkor erratum 1041
    msr     sctlr_el2, x1
    b       4f
3:  mrs     x21, esr_el3
    mrs     x22, elr_el3
    mrs     x23, far_el3
    mrs     x1, sctlr_el3
    bic     x1, x1, #1
    bic     x1, x1, #4
    isb                                 // Falkor erratum 1041
    msr     sctlr_el3, x1
4:  isb
    // Looks that are left for all of it, so that a UART that is stuck does not hold this up for ever.
    mov     x25, #(1 << 22)
    adr     x16, reveille_earlycon
    ldp     w20, w1, [x16]              // at a multiple of 4 perhaps: an access of 8 bytes would have to be aligned
    orr     x20, x20, x1, lsl #32
    add     x1, x16, #{EARLYCON_IS_ON}
    bl      .Lword_test
    b.eq    5f
    add     x1, x16, #{EARLYCON_SWITCH_ON}
    bl      .Lword_steps
5:  adr     x1, .Lword_start
    bl      .Lword_text
    mov     x1, x19
    bl      .Lword_text
    cbz     x18, 6f
    add     x0, x24, #'0'
    bl      .Lword_byte
    adr     x1, .Lword_esr
    mov     x26, x21
    bl      .Lword_number
    adr     x1, .Lword_elr
    mov     x26, x22
    bl      .Lword_number
    adr     x1, .Lword_far
    mov     x26, x23
    bl      .Lword_number
6:  adr     x1, .Lword_end
    bl      .Lword_text
    mov     x28, #0
    b       reveille_park

// An exception that nothing handles: of a CPU that has no area yet, or of a level that it has left.
reveille_word_exception:
    msr     daifset, #0xf
    movz    x18, #0x5e7e
    movk    x18, #0xa57b, lsl #16
    movk    x18, #0x0d15, lsl #32
    movk    x18, #0x1a57, lsl #48
    cmp     x18, x28
    b.eq    reveille_park
    adr     x19, .Lword_exception
    b       .Lword

// in:   x1 the text before it, x26 the number
// uses: x0-x6, x15, x17
.Lword_number:
    mov     x15, x30
    bl      .Lword_text
    mov     x17, #60
1:  lsr     x0, x26, x17
    and     x0, x0, #0xf
    add     x2, x0, #('a' - 10)
    add     x3, x0, #'0'
    cmp     x0, #10
    csel    x0, x3, x2, lo
    bl      .Lword_byte
    subs    x17, x17, #4
    b.pl    1b
    ret     x15

// in:   x1 the text
// uses: x0-x6, x14
.Lword_text:
    mov     x14, x30
    mov     x6, x1
1:  ldrb    w0, [x6], #1
    cbz     w0, 2f
    bl      .Lword_byte
    b       1b
2:  ret     x14

// in:   w0 the byte, x16 what the UART is like, x20 the UART, x25 how many looks are left
// uses: x1-x5, x12, x13, x25
.Lword_byte:
    mov     x13, x30
1:  add     x1, x16, #{EARLYCON_ROOM}
    bl      .Lword_test
    b.eq    2f
    cbz     x25, 2f
    sub     x25, x25, #1
    b       1b
2:  add     x1, x16, #{EARLYCON_BEGIN}
    bl      .Lword_steps
    ldp     w2, w3, [x16, #{EARLYCON_SEND}]
    lslv    w4, w0, w3
    word_store {EARLYCON_DATA_WIDTH}, w4, x2
    add     x1, x16, #{EARLYCON_END}
    bl      .Lword_steps
    ret     x13

// in:   x1 a test: a register, a mask, what is to be there, and whether that is what is not to be there
// out:  EQ if it passes
// uses: x2-x5
.Lword_test:
    ldp     w2, w4, [x1]
    cmp     w4, #0
    b.eq    1f                          // what always passes reads nothing
    word_load w3, x2
    and     w3, w3, w4
    ldp     w4, w5, [x1, #8]
    cmp     w3, w4
    cset    w3, ne
    cmp     w3, w5
1:  ret

// in:   x1 steps: a register, a mask, what is to be there, and whether it is a test that has to pass for those behind it; the last has no mask
// uses: x1-x5, x12
.Lword_steps:
    mov     x12, x30
1:  ldp     w2, w4, [x1]
    cbz     w4, 4f
    ldp     w5, w3, [x1, #8]
    cbz     w3, 2f
    bl      .Lword_test
    b.ne    4f
    b       3f
2:  adds    w3, w4, #1
    b.eq    5f                          // all of it is written: it is not read
    word_load w3, x2
    bic     w3, w3, w4
5:  orr     w3, w3, w5
    word_store {EARLYCON_WIDTH}, w3, x2
3:  add     x1, x1, #16
    b       1b
4:  ret     x12

.Lword_start:
    .asciz  "\r\nreveille: "
.Lword_exception:
    .asciz  "an exception that nothing handles yet, at EL"
.Lword_esr:
    .asciz  ": ESR 0x"
.Lword_elr:
    .asciz  " ELR 0x"
.Lword_far:
    .asciz  " FAR 0x"
.Lword_end:
    .asciz  "\r\n"
    .balign 4

.else

.macro last_word name, text
\name:
    b       reveille_park
.endm
.global reveille_last_word
reveille_last_word:
reveille_word_exception:
    b       reveille_park

.endif

last_word reveille_word_place, "cannot start: the image is not at a multiple of 4 KiB"
last_word reveille_word_relocation, "cannot start: the image has a relocation of an unknown kind"
last_word reveille_word_granule, "cannot start: this CPU has no pages of 4 KiB"
