/*
 * The marks between which lines.c counts: `movz xzr, #imm16, lsl #48`, which does nothing and which no compiler emits. Bit 15 of the number says
 * whether it is the end, the others which operation of operations.h it is. For kernels in C: MARK_BEGIN(sync_call); ..; MARK_END(sync_call);
 */
#ifndef MARKS_H
#define MARKS_H

enum mark_operation {
#define OPERATION(name) MARK_##name,
#include "operations.h"
#undef OPERATION
    MARK_OPERATIONS,
};

#define MARK_IS_END 0x8000
#define MARK_INSTRUCTION(number) (0xd2e0001f | (number) << 5)

#define MARK(number) __asm__ volatile(".inst %0" ::"i"(MARK_INSTRUCTION(number)) : "memory")
#define MARK_BEGIN(name) MARK(MARK_##name)
#define MARK_END(name) MARK(MARK_##name | MARK_IS_END)

#endif
