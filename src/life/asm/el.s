// From whatever exception level firmware left us at down to the one the runtime lives at.
//
// in:   x30 return address; any EL, MMU on or off (firmware has been seen to start a CPU with it on)
// out:  x21 the EL we came in at; running at EL1, or at EL2 if KEEP_EL2 and there is one;
//       that EL's MMU and data cache off; DAIF masked; SP_ELx selected, undefined
// uses: x0-x3, x30; no stack, no memory

.section .never_patch, "ax"

// Goes on if this CPU is in streaming mode (PSTATE.SM), in which SIMD instructions are illegal, and to the label if not. Found out by one
// of them, not by SVCR: firmware that knows nothing of SME traps that to EL3 (CPTR_EL3.ESM), and goes down there. With FEAT_SME_FA64 in
// use nothing is illegal, and the label is where it goes.
//
// in:   VBAR of this level is reveille_stub; SIMD does not trap
// uses: x0-x3, v0
.macro if_streaming otherwise
    mrs     x0, S3_0_C0_C4_1            // ID_AA64PFR1_EL1.SME
    tst     x0, #(0xf << 24)
    b.eq    \otherwise
    mov     x3, x30
    adr     x2, reveille_stub
    adr     x30, 90f
    mov     x0, #1
    msr     spsel, #0                   // an exception comes back to x30 with 0
    .inst   0x6f00e400                  // movi v0.2d, #0
90: msr     spsel, #1
    mov     x30, x3
    cbnz    x0, \otherwise
.endm

reveille_el_setup:
    msr     daifset, #0xf
    mrs     x0, CurrentEL
    ubfx    x21, x0, #2, #2
    cmp     x21, #2
    b.eq    .Lat_el2
    b.lo    .Lat_el1

    // ---- EL3: there is no firmware below; what it would have done is ours.
    adr     x0, reveille_stub       // first: what follows may trap on CPUs that lie about what they have
    msr     vbar_el3, x0
    mov     x0, #0x0830                 // RES1 bits 4, 5, 11 of SCTLR_EL3; M, C, I clear
    movk    x0, #0x30c5, lsl #16
    msr     sctlr_el3, x0
    isb
    // A35, A53, A57, A72, A73: join the coherency domain before any cache is turned on (CPUECTLR.SMPEN;
    // each core's TRM). Writable at EL3 alone, unless firmware has opened it.
    mrs     x0, midr_el1
    ubfx    x1, x0, #24, #8
    cmp     x1, #0x41
    b.ne    1f
    ubfx    x1, x0, #4, #12
    mov     x2, #0xd03
    cmp     x1, x2
    b.eq    2f
    mov     x2, #0xd04
    cmp     x1, x2
    b.eq    2f
    mov     x2, #0xd07
    cmp     x1, x2
    b.eq    2f
    mov     x2, #0xd08
    cmp     x1, x2
    b.eq    2f
    mov     x2, #0xd09
    cmp     x1, x2
    b.ne    1f
2:  mrs     x0, S3_1_C15_C2_1
    orr     x0, x0, #(1 << 6)
    msr     S3_1_C15_C2_1, x0
    isb
1:  // NS, RES1, HCE, RW, no traps; SMC stays enabled and ends in the stub below.
    mov     x0, #0x531
    mrs     x1, S3_0_C0_C6_1            // ID_AA64ISAR1_EL1: pointer authentication untrapped where present
    ands    x2, x1, #0xff0
    ubfx    x1, x1, #24, #8
    orr     x1, x1, x2
    cbz     x1, 3f
    orr     x0, x0, #(3 << 16)          // APK, API
3:  mrs     x1, S3_0_C0_C7_0            // ID_AA64MMFR0_EL1.FGT: EL2 sets up its own fine-grained traps
    ubfx    x1, x1, #56, #4
    cbz     x1, 7f
    orr     x0, x0, #(1 << 27)          // FGTEn
7:  mrs     x1, S3_0_C0_C7_1            // ID_AA64MMFR1_EL1.HCX: EL2 may use HCRX_EL2
    ubfx    x1, x1, #40, #4
    cbz     x1, 8f
    orr     x0, x0, #(1 << 38)          // HXEn
8:  mrs     x1, S3_0_C0_C7_3            // ID_AA64MMFR3_EL1: the levels below clear TCR2 and SCTLR2
    tst     x1, #0xf
    b.eq    9f
    orr     x0, x0, #(1 << 43)          // TCR2En
9:  tst     x1, #0xf0
    b.eq    10f
    orr     x0, x0, #(1 << 44)          // SCTLR2En
10: msr     scr_el3, x0
    mov     x0, #(1 << 12)              // CPTR_EL3.ESM: the levels below leave streaming mode. RES0 without SME
    msr     cptr_el3, x0
    msr     mdcr_el3, xzr
    isb
    mrs     x0, id_aa64pfr0_el1
    ubfx    x1, x0, #24, #4             // GIC system registers
    cbz     x1, 4f
    mov     x1, #0xf                    // SRE, DFB, DIB, Enable
    msr     S3_6_C12_C12_5, x1          // ICC_SRE_EL3
    isb
    mov     x1, #0xff
    msr     S3_0_C4_C6_0, x1            // ICC_PMR_EL1: lift the Secure mask
4:  mov     x1, #0x3c9                  // EL2h, DAIF masked
    ubfx    x2, x0, #8, #4              // EL2 implemented?
    cbnz    x2, 5f
    mov     x0, #0x0800                 // no EL2: SCTLR_EL1 before the drop, as the EL2 path would
    movk    x0, #0x30d0, lsl #16
    msr     sctlr_el1, x0
    mov     x1, #0x3c5                  // EL1h
    adr     x2, .Lat_el1
    b       6f
5:  mov     x2, #0x0830                 // SCTLR_EL2: RES1, MMU and caches off
    movk    x2, #0x30c5, lsl #16
    msr     sctlr_el2, x2
    adr     x2, .Lat_el2
6:  msr     spsr_el3, x1
    msr     elr_el3, x2
    isb
    eret

.Lat_el2:
    msr     spsel, #1
    adr     x0, reveille_stub
    msr     vbar_el2, x0
    mov     x0, #0x0830
    movk    x0, #0x30c5, lsl #16
    isb                                 // Falkor erratum 1041: right before an MMU that is on is turned off
    msr     sctlr_el2, x0               // identity mapped if it was on, so the next fetch is the same
    isb
    // HCR_EL2: RW; staying at EL2, interrupts come here (IMO, FMO, AMO), E2H and TGE off; leaving,
    // nothing is trapped (APK and API are RES0 where there is no pointer authentication).
    mov     x0, #(1 << 31)
.if {KEEP_EL2}
    orr     x0, x0, #0x38
.endif
    orr     x0, x0, #(3 << 40)
.if {STUCK_E2H}
    orr     x0, x0, #(1 << 34)
.endif
    msr     hcr_el2, x0
    isb
    // E2H that is 1 for good (no FEAT_E2H0): CPTR_EL2, CNTHCTL_EL2 and TCR_EL2 look like their counterparts of EL1, and what
    // is EL1's has names of its own (Arm ARM D8.1.3, "Virtualization Host Extensions").
    mrs     x2, hcr_el2
    ubfx    x2, x2, #34, #1
    mov     x0, #0x33ff                 // CPTR_EL2: RES1, no FP trap; SVE and SME do
    cbz     x2, 1f
    mov     x0, #(3 << 20)              // FPEN
1:  msr     cptr_el2, x0
    isb
    if_streaming 3f
    mrs     x0, cptr_el2
    mrs     x2, hcr_el2
    eor     x1, x0, #(1 << 12)          // TSM
    tbz     x2, #34, 2f
    eor     x1, x0, #(3 << 24)          // SMEN
2:  msr     cptr_el2, x1
    isb
    msr     S3_3_C4_C2_2, xzr           // SVCR: SM and ZA off
    msr     cptr_el2, x0
3:  mrs     x2, hcr_el2
    ubfx    x2, x2, #34, #1
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    msr     cntvoff_el2, xzr
    mov     x0, #3                      // EL1 may read the counters and program the physical timer
    cbz     x2, 4f
    mov     x0, #(3 << 10)
4:  msr     cnthctl_el2, x0
    mrs     x0, id_aa64dfr0_el1         // MDCR_EL2.HPMN = all counters, where there is a PMU
    ubfx    x0, x0, #8, #4
    mov     x1, #0
    cbz     x0, 1f
    cmp     x0, #0xf
    b.eq    1f
    mrs     x1, pmcr_el0
    ubfx    x1, x1, #11, #5
1:  msr     mdcr_el2, x1
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mrs     x0, S3_0_C0_C7_0            // ID_AA64MMFR0_EL1.FGT: fine-grained traps are unknown at reset
    ubfx    x0, x0, #56, #4
    cbz     x0, 2f
    msr     S3_4_C1_C1_4, xzr           // HFGRTR_EL2
    msr     S3_4_C1_C1_5, xzr           // HFGWTR_EL2
    msr     S3_4_C1_C1_6, xzr           // HFGITR_EL2
    msr     S3_4_C3_C1_4, xzr           // HDFGRTR_EL2
    msr     S3_4_C3_C1_5, xzr           // HDFGWTR_EL2
2:  mrs     x0, S3_0_C0_C7_1            // ID_AA64MMFR1_EL1.HCX: nothing trapped, nothing virtual
    ubfx    x0, x0, #40, #4
    cbz     x0, 4f
    msr     S3_4_C1_C2_2, xzr           // HCRX_EL2
4:  mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4
    cbz     x0, 3f
    mrs     x0, S3_4_C12_C9_5           // ICC_SRE_EL2
    orr     x0, x0, #0xf                // SRE, DFB, DIB, Enable
    msr     S3_4_C12_C9_5, x0
    isb
    mrs     x0, S3_4_C12_C9_5           // it does not stick where EL3 keeps it: ICH_HCR_EL2 is UNDEFINED then
    tbz     x0, #0, 3f
    msr     S3_4_C12_C11_0, xzr         // ICH_HCR_EL2
3:  mrs     x0, S3_0_C0_C7_3            // ID_AA64MMFR3_EL1: extended controls, as the last one here left them
    tst     x0, #0xf
    b.eq    5f
.if {KEEP_EL2}
    msr     S3_4_C2_C0_3, xzr           // TCR2_EL2: among others, no permission indirection
.else
    cbnz    x2, 7f
    msr     S3_0_C2_C0_3, xzr           // TCR2_EL1, from EL1 hidden by HCRX_EL2
    b       5f
7:  msr     S3_5_C2_C0_3, xzr           // TCR2_EL12
.endif
5:  tst     x0, #0xf0
    b.eq    6f
.if {KEEP_EL2}
    msr     S3_4_C1_C0_3, xzr           // SCTLR2_EL2
.else
    cbnz    x2, 7f
    msr     S3_0_C1_C0_3, xzr           // SCTLR2_EL1
    b       6f
7:  msr     S3_5_C1_C0_3, xzr           // SCTLR2_EL12
.endif
6:
.if {KEEP_EL2}
    b       reveille_float
.else
    mov     x0, #0x0800                 // SCTLR_EL1: RES1, MMU and caches off
    movk    x0, #0x30d0, lsl #16
    cbnz    x2, 7f
    msr     sctlr_el1, x0
    b       8f
7:  msr     S3_5_C1_C0_0, x0            // SCTLR_EL12
8:  mov     x0, #0x3c5                  // EL1h, DAIF masked
    msr     spsr_el2, x0
    adr     x0, .Lat_el1
    msr     elr_el2, x0
    isb
    eret
.endif

.Lat_el1:
    msr     spsel, #1
    // Until the real vectors are in place, which need a stack and an MMU, an exception parks this CPU (`asm/word.s`).
    adr     x0, reveille_stub
    msr     vbar_el1, x0
    mov     x0, #0x0800
    movk    x0, #0x30d0, lsl #16
    isb                                 // as above
    msr     sctlr_el1, x0
    isb
    cmp     x21, #1
    b.ne    3f
    mrs     x0, S3_0_C0_C7_3            // ID_AA64MMFR3_EL1, as at EL2
    tst     x0, #0xf
    b.eq    2f
    msr     S3_0_C2_C0_3, xzr           // TCR2_EL1
2:  tst     x0, #0xf0
    b.eq    3f
    msr     S3_0_C1_C0_3, xzr           // SCTLR2_EL1
3:
    mov     x0, #(3 << 20)              // CPACR_EL1.FPEN: no trap
    msr     cpacr_el1, x0
    isb
    cmp     x21, #1
    b.ne    5f
    if_streaming 5f
    mrs     x0, cpacr_el1
    orr     x1, x0, #(3 << 24)          // SMEN
    msr     cpacr_el1, x1
    isb
    msr     S3_3_C4_C2_2, xzr           // SVCR, as at EL2
    msr     cpacr_el1, x0
5:
    msr     mdscr_el1, xzr
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4
    cbz     x0, 1f
    mrs     x0, S3_0_C12_C12_5          // ICC_SRE_EL1.SRE
    orr     x0, x0, #1
    msr     S3_0_C12_C12_5, x0
1:
    // falls through

// Arithmetic as everybody expects it, whatever the last one here has left: in reveille_el_setup, where FP and SIMD do not trap.
reveille_float:
    isb
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #16, #4
    cmp     x0, #0xf                    // no FP, no SIMD
    b.eq    1f
    msr     S3_3_C4_C4_0, xzr           // FPCR: round to nearest, denormals kept, no exception trapped
    msr     S3_3_C4_C4_1, xzr           // FPSR
1:  ret

// Vectors of the levels we have left, one table for EL3 and EL2, and of the one we are at until its own are set. A call to firmware that
// is not there answers NOT_SUPPORTED, as SMCCC asks of an unknown function; anything else cannot be returned from, and stops this CPU
// alone.
.section .never_patch.vectors, "ax"
.balign 2048
reveille_stub:
    // Current level with SP_EL0: what this table is for never runs so, and `reveille_probe` and `if_streaming` borrow the place, at EL2
    // and EL1. Its load has aborted, or its instruction: back to its caller with that as the answer, SErrors masked as they were before.
    mrs     x0, CurrentEL
    tbz     x0, #3, 1f
    tbnz    x0, #2, reveille_word_exception // EL3
    msr     vbar_el2, x2
    msr     elr_el2, x30
    mrs     x0, spsr_el2
    orr     x0, x0, #(1 << 8)
    msr     spsr_el2, x0
    b       2f
1:  msr     vbar_el1, x2
    msr     elr_el1, x30
    mrs     x0, spsr_el1
    orr     x0, x0, #(1 << 8)
    msr     spsr_el1, x0
2:  mov     x0, #0
    mov     x1, #0
    eret
.rept 2
    .balign 128
    b       reveille_word_exception
.endr
    .balign 128
    b       reveille_stub               // the load's abort, told as an SError
.rept 4
    .balign 128
    b       reveille_word_exception
.endr
    .balign 128
    mrs     x3, CurrentEL
    tbnz    x3, #2, reveille_stub_el3   // EL1 has left no level below it
    mrs     x3, esr_el2
    lsr     x3, x3, #26
    cmp     x3, #0x16                   // HVC from AArch64
    b.ne    reveille_word_exception
    // The one service of EL2: the offset of the virtual counter, for a CPU that came in above the one that booted.
    mov     w3, #{SET_OFFSET}
    movk    w3, #{SET_OFFSET_HI}, lsl #16
    cmp     w0, w3
    mov     x0, #-1
    b.ne    1f
    msr     cntvoff_el2, x1
    mov     x0, #0
1:  eret

    // At EL3 there is one service besides: a 32-bit store in the Secure physical address space, with which the
    // Non-secure runtime sets up the Secure half of the interrupt controller once it has read the device tree. It is for
    // the level at which the runtime lives: where that is EL2, a guest at EL1 is answered as if the service were not there.
reveille_stub_el3:
    mrs     x3, esr_el3
    lsr     x3, x3, #26
    cmp     x3, #0x17                   // SMC from AArch64
    b.ne    reveille_word_exception
    mov     w3, #{SECURE_WRITE}
    movk    w3, #{SECURE_WRITE_HI}, lsl #16
    cmp     w0, w3
    mov     x0, #-1
    b.ne    1f
.if {KEEP_EL2}
    mrs     x3, id_aa64pfr0_el1
    ubfx    x3, x3, #8, #4
    cbz     x3, 2f                      // no EL2, so the runtime is at EL1
    mrs     x3, spsr_el3
    tbz     x3, #3, 1f                  // the caller's level: EL2 has bit 3 of M set, EL1 bit 2
2:
.endif
    str     w2, [x1]
    dsb     sy
    mov     x0, #0
1:  eret
.org reveille_stub + 0x480              // refused if that did not fit in its 128 bytes
.rept 7
    .balign 128
    b       reveille_word_exception
.endr

.section .never_patch, "ax"

// Reads 1, 2, 4 or 8 bytes where there may be nothing. On a thread's stack, with all exceptions masked and nothing but this
// CPU running. An interconnect may tell of the abort by an SError, which is taken here, too: left pending it would end the
// first code that lets SErrors through.
//
// in:   x0 address, mapped; x1 how many bytes
// out:  x0 the value, x1 1; or x0 0, x1 0 if nothing answered there, or an SError was pending
// uses: x2, x3, x4
.macro probe_load
    tbnz    x1, #3, 8f
    tbnz    x1, #2, 4f
    tbnz    x1, #1, 3f
    ldrb    w0, [x0]
    b       9f
3:  ldrh    w0, [x0]
    b       9f
4:  ldr     w0, [x0]
    b       9f
8:  ldr     x0, [x0]
9:  dsb     sy                          // the load is over, and so is its abort
    msr     daifclr, #4
    isb                                 // what is pending is taken here
    msr     daifset, #4
.endm
.global reveille_probe
reveille_probe:
    adr     x4, reveille_stub
    mrs     x3, CurrentEL
    tbnz    x3, #3, 1f
    mrs     x2, vbar_el1
    msr     vbar_el1, x4
    isb
    probe_load
    msr     vbar_el1, x2
    b       2f
1:  mrs     x2, vbar_el2
    msr     vbar_el2, x4
    isb
    probe_load
    msr     vbar_el2, x2
2:  isb
    mov     x1, #1
    ret

// Reads the physical counter. At EL1, where a hypervisor may have forbidden that; else as `reveille_probe`.
//
// out:  x0 1; or 0 if it is forbidden
// uses: x1, x2
.global reveille_probe_counter
reveille_probe_counter:
    adr     x1, reveille_stub
    mrs     x2, vbar_el1
    msr     vbar_el1, x1
    isb
    mrs     x0, cntpct_el0
    mov     x0, #1
    msr     vbar_el1, x2
    isb
    ret

// The end of the road for one CPU: everything masked, nothing wakes it but reset. PENDING interrupts do end a
// WFI, hence the loop.
.global reveille_park
reveille_park:
    msr     daifset, #0xf
1:  wfi
    b       1b
