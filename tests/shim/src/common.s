// The way up, of the stub and of the stage: exceptions from below, and the end. Before it come the macro `syndrome`, which reads the
// ESR of the level, and the label `firmware_lower`, the way down.

// Nothing sensible can be done, by a mistake of ours, an exception of ours, or what has no business here: QEMU ends with exit code 99
// (SYS_EXIT_EXTENDED, Arm's semihosting 2.0, 6.8).
.global firmware_stop
firmware_stop:
    mov     w1, #0x26                   // ADP_Stopped_ApplicationExit
    movk    w1, #2, lsl #16
    mov     x2, #99
    stp     x1, x2, [sp, #-16]!
    mov     x0, #0x20
    mov     x1, sp
    hlt     #0xf000
    b       firmware_stop

.balign 2048
firmware_vectors:
.rept 8
    .balign 128
    b       firmware_stop
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
    b       firmware_trap
.rept 7
    .balign 128
    b       firmware_stop
.endr
firmware_trap:
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
    syndrome x1
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
1:  add     sp, sp, #256                // entered or started anew: this trap never returns
    b       firmware_lower
