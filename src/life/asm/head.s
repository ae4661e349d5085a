// The image header, and the first CPU's way from firmware to Rust.

// Arm64 boot protocol (Linux Documentation/arch/arm64/booting.rst): QEMU -kernel, U-Boot booti and the
// Raspberry Pi's firmware read this header; x0 holds the device tree.
.section .head.text, "ax"
.global _start
_start:
    ccmp    x18, #0, #0xd, pl           // changes flags alone; its first bytes are "MZ", as of every PE file
    b       reveille_primary
    .quad   0                           // text_offset: any 2 MiB boundary will do
    .quad   __image_size
    .quad   0xa                         // little endian, 4 KiB pages, anywhere in memory
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .long   .Lpe - _start

// The same file as an application for UEFI firmware (Microsoft PE Format; UEFI 2.10, 2.1.1 "UEFI Images"): sections that are what the
// linker made of it, page by page and nothing both writable and executable. It relocates itself, wherever it was loaded: there is
// nothing for firmware to do about it, and no flag that says that it cannot be moved.
.Lpe:
    .ascii  "PE\0\0"
    .short  0xaa64                      // Machine: ARM64
    .short  3                           // NumberOfSections
    .long   0, 0, 0                     // TimeDateStamp, PointerToSymbolTable, NumberOfSymbols
    .short  .Lsections - .Loptional     // SizeOfOptionalHeader
    .short  0x206                       // Characteristics: executable, no line numbers, no debugging information
.Loptional:
    .short  0x20b                       // Magic: PE32+
    .byte   0, 0                        // version of the linker
    .long   __efi_code_size             // SizeOfCode
    .long   __efi_data_size             // SizeOfInitializedData
    .long   0                           // SizeOfUninitializedData
    .long   __efi_entry                 // AddressOfEntryPoint
    .long   __efi_code                  // BaseOfCode
    .quad   0                           // ImageBase
    .long   4096, 512                   // SectionAlignment, FileAlignment
    .short  0, 0, 0, 0, 0, 0            // versions of operating system, image, subsystem
    .long   0                           // Win32VersionValue
    .long   __image_size                // SizeOfImage
    .long   __efi_code                  // SizeOfHeaders
    .long   0                           // CheckSum
    .short  10                          // Subsystem: EFI application
    .short  0x100                       // DllCharacteristics: NX compatible
    .quad   0, 0, 0, 0                  // stack and heap, reserved and committed
    .long   0                           // LoaderFlags
    .long   6                           // NumberOfRvaAndSizes: as far as the base relocation table
    .quad   0, 0, 0, 0, 0, 0            // which is empty, as are those before it
.Lsections:
.macro efi_section name, virtual_size, address, file_size, characteristics
1:  .ascii  "\name"
    .org    1b + 8
    .long   \virtual_size, \address    // VirtualSize, VirtualAddress
    .long   \file_size, \address       // SizeOfRawData, PointerToRawData
    .long   0, 0                        // PointerToRelocations, PointerToLinenumbers
    .short  0, 0                        // NumberOfRelocations, NumberOfLinenumbers
    .long   \characteristics
.endm
    efi_section .text, __efi_code_size, __efi_code, __efi_code_size, 0x60000020
    // Writable: constants that hold addresses lie there where the compiler was not told that the image moves.
    efi_section .rodata, __efi_constants_size, __efi_constants, __efi_constants_size, 0xc0000040
    efi_section .data, __efi_data_size, __efi_data, __efi_data_file_size, 0xc0000040

.section .never_patch, "ax"

// Loads the run-time address of a symbol of the image.
.macro adr_l reg, sym
    adrp    \reg, \sym
    add     \reg, \reg, :lo12:\sym
.endm

// One CPU comes through here on a sane boot, all of them when nobody has held the others back.
//
// At EL3, where an ELF finds itself on all CPUs at once, the one whose affinity is 0 is elected, so that the same
// CPU boots every time. Elsewhere whoever comes first: until that is known each does the same, for the early page
// tables come out the same whoever writes them and no word of them is ever written otherwise, and exclusives are used only
// once the MMU is on (Arm ARM B2.9.2: on memory that is not Normal cacheable they need not work).
reveille_primary:
    // All code reaches what it has by pages (`adrp`).
    adr     x1, reveille_primary
    mov     x2, #0
    add     x2, x2, :lo12:reveille_primary
    eor     x1, x1, x2
    tst     x1, #0xfff
    b.ne    reveille_word_place
    mov     x20, x0
    bl      reveille_el_setup
    cmp     x21, #3
    b.ne    1f
    mrs     x0, mpidr_el1
    mov     x1, #0xffffff
    orr     x1, x1, #(0xff << 32)
    tst     x0, x1
    b.ne    .Lwait
1:  bl      reveille_early_tables

    adr_l   x0, reveille_election
    mov     w1, #1
1:  ldaxr   w2, [x0]
    cbnz    w2, .Llost
    stxr    w2, w1, [x0]
    cbnz    w2, 1b

    // Elected.
    bl      reveille_relocate
    adr_l   x0, __bss_start
    adr_l   x1, __bss_end
8:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    8b

    adr_l   x0, {BOOT_STACKS}
    add     x0, x0, #{BOOT_EXCEPTION_TOP}
    mov     sp, x0
    adr_l   x1, reveille_vectors_el1
.if {KEEP_EL2}
    mrs     x2, CurrentEL
    tbz     x2, #3, 5f
    adr_l   x1, reveille_vectors_el2
    msr     vbar_el2, x1
    msr     tpidr_el2, xzr
    b       6f
.endif
5:  msr     vbar_el1, x1
    msr     tpidr_el1, xzr
6:  isb
    msr     spsel, #0
    adr_l   x0, {BOOT_STACKS}
    add     x0, x0, #{BOOT_THREAD_TOP}
    mov     sp, x0
    mov     x29, #0
    // Before any code of the compiler's, which may be made of what this CPU lacks.
    bl      reveille_lacks
    mov     x30, #0
    mov     x1, x21
    cbnz    x0, 7f
    mov     x0, x20
    bl      {BOOT}
    b       reveille_park
7:  mov     x0, x20
    bl      {UNFIT}
    b       reveille_park

.Llost:
    clrex
    bl      reveille_mmu_off
.Lwait:
    mov     x22, #0                     // no line of our own known yet
    mov     w24, #0                     // no generation tried
    b       reveille_pen

// Self-relocation: R_AARCH64_RELATIVE alone, *(base + offset) = base + addend; and words by RELR (generic ABI, "Relative
// Relocation Table"), *(base + offset) += base. Where they are relocated already for another base, or for this one, the difference
// is added: so it may be done again.
//
// uses: x0-x7; no stack; text need not be writable
reveille_relocate:
    adr_l   x1, __rela_end
    adr_l   x2, __image_start
    movz    x3, #:abs_g3:__link_base
    movk    x3, #:abs_g2_nc:__link_base
    movk    x3, #:abs_g1_nc:__link_base
    movk    x3, #:abs_g0_nc:__link_base
    sub     x2, x2, x3                  // the distance from where it was linked
    adr_l   x0, reveille_distance
    ldr     x7, [x0]
    str     x2, [x0]
    sub     x7, x2, x7                  // what is left of it for words by RELR
    adr_l   x0, __rela_start
2:  cmp     x0, x1
    b.hs    3f
    ldp     x3, x4, [x0], #16           // r_offset, r_info
    ldr     x5, [x0], #8                // r_addend
    cmp     x4, #1027                   // R_AARCH64_RELATIVE
    b.ne    reveille_word_relocation    // the linker was told to leave no other kind
    add     x5, x5, x2
    str     x5, [x3, x2]
    b       2b
3:  adr_l   x0, __relr_start
    adr_l   x1, __relr_end
4:  cmp     x0, x1
    b.hs    7f
    ldr     x4, [x0], #8
    tbnz    x4, #0, 5f
    add     x3, x4, x2                  // an address: its word, and the next bitmap is of the 63 words behind that
    ldr     x5, [x3]
    add     x5, x5, x7
    str     x5, [x3], #8
    b       4b
5:  mov     x6, x3                      // a bitmap, from bit 1 on
    add     x3, x3, #(63 * 8)
6:  lsr     x4, x4, #1
    cbz     x4, 4b
    tbz     x4, #0, 8f
    ldr     x5, [x6]
    add     x5, x5, x7
    str     x5, [x6]
8:  add     x6, x6, #8
    b       6b
7:  ret

// How far from where it was linked the image was relocated last. Loaded, not zeroed.
.section .data.reveille_distance, "aw"
.balign 8
reveille_distance:
    .quad   0
.section .never_patch, "ax"

// Where UEFI firmware starts the image as an application (UEFI 2.10, 2.3.6): x0 the image handle, x1 the system table; on firmware's
// stack, in its address space and at its exception level, with whatever of its interrupts is open. Back to it with an EFI_STATUS.
.global reveille_efi
reveille_efi:
    stp     x29, x30, [sp, #-32]!
    mov     x29, sp
    stp     x0, x1, [sp, #16]
    bl      reveille_relocate
    ldp     x0, x1, [sp, #16]
    bl      {EFI}
    ldp     x29, x30, [sp], #32
    ret

// Boot services have ended, and what was written of the image is in memory: in as a boot loader enters it, but for the MMU, which is on
// and maps it where it is, and which `reveille_el_setup` turns off. x0: the device tree.
.global reveille_from_firmware
reveille_from_firmware:
    msr     daifset, #0xf
    b       reveille_primary

// Writes the tables from x11 to x12: the entries from number x10 on lead to the tables from x12 to x3, in order, all others nowhere.
//
// out:  x11 is x12
// uses: x10, x13
.Llevel:
    add     x10, x11, x10, lsl #3
    orr     x13, x12, #3
1:  cmp     x11, x10
    b.lo    2f
    cmp     x13, x3
    b.hs    2f
    str     x13, [x11], #8
    add     x13, x13, #4096
    b       3f
2:  str     xzr, [x11], #8
3:  cmp     x11, x12
    b.lo    1b
    ret

// Drops the lines of the early tables, x4 to x1, of x14 bytes each, from the caches.
//
// uses: x11
.Ldrop_lines:
    dmb     sy
    mov     x11, x4
1:  dc      ivac, x11
    add     x11, x11, x14
    cmp     x11, x1
    b.lo    1b
    dsb     sy
    ret

// Builds the early tables - the image alone, text executable, the rest writable, as relocation has yet to write to
// constants - and turns MMU and caches on. By pages, however large the image is: the final tables give parts of it other rights,
// and one translation must not have two sizes (`Mapper::map_image`).
//
// The tables lie behind `.bss`, not in the file, and hold anything. Every word of them is written, once, with what it will be
// for good: another CPU may be running on them already.
//
// uses: x0-x15; no stack
reveille_early_tables:
    adr_l   x0, __image_start
    adr_l   x1, __image_end
    adr_l   x2, __text_end
    adr_l   x4, __early_tables
    mov     x15, x30
    mrs     x5, CurrentEL
    ubfx    x5, x5, #2, #2
    mov     x6, #0                      // 1 where tables and TCR are those of EL2
    cmp     x5, #2
    b.ne    1f
    mrs     x6, hcr_el2                 // E2H: as at EL1
    ubfx    x6, x6, #34, #1
    eor     x6, x6, #1
1:  // Leaf attributes. EL1 forbids by UXN and PXN, EL2 by XN (bit 54) with AP[1] RES1.
    movz    x7, #0x703                  // page, AF, inner shareable, attribute 0
    orr     x8, x7, #0x80               // text: read-only
    cbz     x6, 1f
    orr     x7, x7, #0x40
    orr     x7, x7, #(1 << 54)
    orr     x8, x8, #0x40
    b       2f
1:  orr     x7, x7, #(3 << 53)
    orr     x8, x8, #(1 << 54)          // not for EL0
2:

    // The stores below go past the caches. Drop whatever lines firmware left over them: dirty ones, which could be written
    // back on top of them later, and then what was fetched meanwhile, so that the walker, which looks in the caches, sees memory.
    mrs     x14, ctr_el0
    ubfx    x14, x14, #16, #4
    mov     x13, #4
    lsl     x14, x13, x14
    bl      .Ldrop_lines

    // Levels 0, 1 and 2; two tables of level 2 in a row, for an image across a 1 GiB boundary.
    mov     x11, x4
    ubfx    x10, x0, #39, #9
    add     x12, x4, #{EARLY_L1}
    add     x3, x4, #{EARLY_L2}
    bl      .Llevel
    ubfx    x10, x0, #30, #9            // the last one leads to one table: the next GiB would be another entry of level 0
    mov     x12, x3
    add     x3, x4, #{EARLY_L3}
    bl      .Llevel
    ubfx    x10, x0, #21, #9
    mov     x12, x3
    mov     x3, x1                      // the image ends with these tables
    bl      .Llevel

    // Level 3: pages from the 2 MiB boundary below the image.
    and     x12, x0, #~0x1fffff
3:  cmp     x12, x2
    csel    x13, x8, x7, lo
    orr     x13, x13, x12
    cmp     x12, x0
    ccmp    x12, x1, #0b0010, hs        // in [x0, x1): lo
    csel    x13, x13, xzr, lo
    str     x13, [x11], #8
    add     x12, x12, #4096
    cmp     x11, x1
    b.lo    3b

    bl      .Ldrop_lines
    mov     x30, x15
    mov     x0, x4
    movz    x1, #{MAIR}
    movk    x1, #{MAIR_HI}, lsl #16
    mrs     x2, id_aa64mmfr0_el1
    // The granule the tables are made of, before they are used.
    ubfx    x3, x2, #28, #4             // TGran4: 0xf is "not supported"
    cmp     x3, #0xf
    b.eq    reveille_word_granule
    and     x3, x2, #0xf                // PARange, at most 48 bits
    mov     x4, #5
    cmp     x3, x4
    csel    x3, x3, x4, lo
    movz    x2, #{TCR_COMMON}
    cbnz    x6, 7f
    orr     x2, x2, x3, lsl #32
    orr     x2, x2, #(1 << 23)          // EPD1: no walks by TTBR1
    b       8f
7:  movk    x2, #0x8080, lsl #16        // TCR_EL2: RES1 bits 31, 23
    orr     x2, x2, x3, lsl #16
8:  movz    x4, #{SCTLR_EL1}
    movk    x4, #{SCTLR_EL1_HI}, lsl #16
    cmp     x5, #2
    b.ne    reveille_mmu_on
    movz    x4, #{SCTLR_EL2}
    movk    x4, #{SCTLR_EL2_HI}, lsl #16
    // falls into reveille_mmu_on

// Turns MMU and caches on.
//
// in:   x0 table root, x1 MAIR, x2 TCR, x4 SCTLR of the current EL; all of it mapped identically
// uses: x5
reveille_mmu_on:
    mrs     x5, CurrentEL
    tbnz    x5, #3, 1f
    msr     ttbr0_el1, x0
    msr     mair_el1, x1
    msr     tcr_el1, x2
    isb
    // Whatever TLBs and instruction cache hold is from before reset, or from before a patch.
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el1, x4
    isb
    ret
1:  msr     ttbr0_el2, x0
    msr     mair_el2, x1
    msr     tcr_el2, x2
    isb
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el2, x4
    isb
    ret

// Whether this CPU lacks anything that the code is compiled for, by the words of `needs.rs`. MMU on or off.
//
// out:  x0 not 0 if it does
// uses: x1-x7
.macro lacks wanted, own
    // A field is 4 bits, and has to be at least what is wanted. Every other one at once, each with a bit above it that a
    // subtraction borrows if it is less.
    and     x6, \own, #0x0f0f0f0f0f0f0f0f
    and     x7, \wanted, #0x0f0f0f0f0f0f0f0f
    orr     x6, x6, #0x1010101010101010
    sub     x6, x6, x7
    bic     x6, x5, x6
    orr     x0, x0, x6
.endm
reveille_lacks:
    adr_l   x4, reveille_shared
    add     x4, x4, #{SHARED_NEEDED}
    ldp     x1, x2, [x4]
    ldr     x3, [x4, #16]
    mov     x0, #0
    orr     x5, x1, x2
    orr     x5, x5, x3
    cbz     x5, 1f
    mov     x5, #0x1010101010101010
    mrs     x4, id_aa64isar0_el1
    lacks   x1, x4
    lsr     x1, x1, #4
    lsr     x4, x4, #4
    lacks   x1, x4
    mrs     x4, id_aa64isar1_el1
    lacks   x2, x4
    lsr     x2, x2, #4
    lsr     x4, x4, #4
    lacks   x2, x4
    mrs     x4, id_aa64pfr0_el1
    mov     w1, #{SIGNED_PFR0}          // its signed fields
    eor     x4, x4, x1
    lacks   x3, x4
    lsr     x3, x3, #4
    lsr     x4, x4, #4
    lacks   x3, x4
1:  ret

// Turns MMU and data cache off again, on the way to the pen.
//
// uses: x0
reveille_mmu_off:
    mrs     x0, CurrentEL
    tbnz    x0, #3, 1f
    mrs     x0, sctlr_el1
    bic     x0, x0, #1
    bic     x0, x0, #4
    isb                                 // as in `reveille_el_setup`
    msr     sctlr_el1, x0
    isb
    ret
1:  mrs     x0, sctlr_el2
    bic     x0, x0, #1
    bic     x0, x0, #4
    isb
    msr     sctlr_el2, x0
    isb
    ret
