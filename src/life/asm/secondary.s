// Every later arrival: CPUs started by PSCI or by a spin table, and CPUs that wait in the pen.
//
// Until its slot is won a CPU works in registers, reads what the booter has cleaned to PoC (the shared
// header and its own boot line), and stores to its own breadcrumb line alone. Register use throughout:
//
// x19 context id   x21 EL at entry      x22 own boot line, 0 = not found yet
// x23 own crumbs   w24 generation tried last, 0 = none

.section .never_patch, "ax"

.macro crumb stage
    mov     x0, #\stage
    str     x0, [x23, #{CRUMB_STAGE}]
.endm

// Where firmware sends a CPU. x0: the context id of CPU_ON; anything, from a spin table.
.global reveille_secondary
reveille_secondary:
    mov     x19, x0
    bl      reveille_el_setup
    bl      reveille_find_line
    mov     w24, #0
    cbz     x22, reveille_pen
    str     x19, [x23, #{CRUMB_CONTEXT}]
    str     x21, [x23, #{CRUMB_EL}]
    crumb   {STAGE_ENTERED}
    // The token. With its tag it names the start that this arrival belongs to, and an older one goes to the
    // pen; without (truncated to 32 bits, or lost by firmware) the start is the one of the boot line: starts
    // of one CPU are serialised and a core can be in one place only.
    ldr     x0, [x22, #{LINE_GENERATION}]
    cbz     x0, reveille_pen            // never kicked: not ours yet
    lsr     x1, x19, #32
    mov     w2, #{TOKEN_TAG}
    movk    w2, #{TOKEN_TAG_HI}, lsl #16
    cmp     w1, w2
    b.ne    1f
    mov     w24, w19                    // tried, as far as the pen is concerned
    cmp     w19, w0
    b.ne    reveille_pen
1:  mov     w24, w0

// Runs for generation w24 of the CPU of line x22.
reveille_try:
    adr_l   x6, reveille_shared
    mrs     x8, CurrentEL
    tbz     x8, #3, 1f
    mrs     x9, hcr_el2
    and     x9, x9, #(1 << 34)          // E2H
    orr     x8, x8, x9
1:  ldr     x9, [x6, #{SHARED_EL}]
    cmp     x8, x9
    b.ne    reveille_pen                // another level or another layout: what the header holds is not for it
    bl      reveille_lacks
    cbz     x0, 1f
    crumb   {STAGE_UNFIT}
    b       reveille_pen
1:  adr_l   x6, reveille_shared
    crumb   {STAGE_TABLES}
    dsb     sy                          // breadcrumbs are in memory before this CPU's caches are on
    ldr     x0, [x6, #{SHARED_TTBR}]
    ldr     x1, [x6, #{SHARED_MAIR}]
    ldr     x2, [x6, #{SHARED_TCR}]
    ldr     x4, [x6, #{SHARED_SCTLR}]
    ldr     x7, [x6, #{SHARED_VBAR}]
    mrs     x8, CurrentEL
    tbnz    x8, #3, 1f
    msr     vbar_el1, x7
    msr     tpidr_el1, xzr              // nobody yet: an exception on the porch parks
    b       2f
1:  msr     vbar_el2, x7
    msr     tpidr_el2, xzr
2:  bl      reveille_mmu_on
    ldr     x0, [x22, #{LINE_PORCH}]
    mov     sp, x0
    mov     x29, #0
    ldr     x0, [x22, #{LINE_PERCPU}]
    mov     w1, w24
    bl      {ARRIVE}
    cbnz    x0, reveille_enter_stacks
    // Lost: this start was revoked, or is an old one.
    bl      reveille_mmu_off
    // falls into the pen

// The pen: MMU off, check first, then wait. Left only for a generation not tried before.
.global reveille_pen
reveille_pen:
    cbnz    x22, 1f
    bl      reveille_find_line
    cbnz    x22, 1f
    wfe
    b       reveille_pen
1:  mov     w0, w24
    orr     x0, x0, #(1 << 32)          // in the pen, having tried w24
    str     x0, [x23, #{CRUMB_PEN}]
    dsb     sy
2:  ldr     w0, [x22, #{LINE_GENERATION}]
    cmp     w0, w24
    b.ne    3f
    wfe
    b       2b
3:  cbz     w0, 4f
    mov     w24, w0
    str     xzr, [x23, #{CRUMB_PEN}]
    b       reveille_try
4:  wfe
    b       2b

// x0: this CPU's per-CPU area, whose stacks are now its own.
.global reveille_enter_stacks
reveille_enter_stacks:
    ldr     x1, [x0, #{PERCPU_EXCEPTION_TOP}]
    ldr     x2, [x0, #{PERCPU_THREAD_TOP}]
    ldr     x3, [x0, #{PERCPU_ENTRY}]
    msr     spsel, #1
    mov     sp, x1
    msr     spsel, #0
    mov     sp, x2
    mov     x29, #0
    mov     x30, #0
    br      x3

// Finds the line of this CPU by its affinity, in the array that is sorted by it.
//
// out:  x22 line, x23 crumbs; x22 = 0 if there is no line for it (yet)
// uses: x0-x6
reveille_find_line:
    mrs     x0, mpidr_el1
    mov     x1, #0xffffff
    orr     x1, x1, #(0xff << 32)
    and     x0, x0, x1
    adr_l   x1, reveille_shared
    mov     x22, #0
    ldr     x2, [x1, #{SHARED_LINES}]
    cbz     x2, 3f
    dmb     sy                          // the base was published last: what it leads to is older
    ldr     x3, [x1, #{SHARED_COUNT}]   // the line, if there is one, is in [x4, x3)
    mov     x4, #0
1:  cmp     x4, x3
    b.hs    3f
    add     x5, x4, x3
    lsr     x5, x5, #1
    add     x22, x2, x5, lsl #{LINE_SHIFT}
    ldr     x6, [x22, #{LINE_MPIDR}]
    cmp     x6, x0
    b.eq    4f
    b.hi    2f
    add     x4, x5, #1
    b       1b
2:  mov     x3, x5
    b       1b
3:  mov     x22, #0
    ret
4:  ldr     x4, [x1, #{SHARED_CRUMBS}]
    add     x23, x4, x5, lsl #{CRUMB_SHIFT}
    ret

// Leaves for good, or to the pen: firmware is asked to turn this CPU off, and if it will not, the CPU waits to be
// restarted. The caller's slot says already that this life is over, so the stack is nobody's: not used here.
//
// in:   x0 conduit (0 none, 1 hvc, 2 smc), x1 function id, x2 line, x3 crumbs, w4 generation of this life,
//       x5 slot or 0, x6 the word that says there that this CPU is gone
.global reveille_leave
reveille_leave:
    msr     daifset, #0xf
    mrs     x9, CurrentEL
    tbnz    x9, #3, 3f
    msr     tpidr_el1, xzr              // an exception from here on parks
    b       4f
3:  msr     tpidr_el2, xzr
4:  cbz     x5, 5f
    stlr    x6, [x5]                    // the last shared store; pairs with the claim of the next start
    dsb     ish
    sev
5:
    mov     x22, x2
    mov     x23, x3
    mov     w24, w4
    mov     x9, x0
    mov     x0, x1
    mov     x1, xzr
    mov     x2, xzr
    mov     x3, xzr
    cbz     x9, 2f
    dsb     sy
    cmp     x9, #1
    b.ne    1f
    hvc     #0
    b       2f
1:  smc     #0
2:  bl      reveille_mmu_off
    b       reveille_pen
