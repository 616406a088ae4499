/*
 * fuzz_bytes.c - drives a cursor by a program.
 *
 * The first byte says how many instructions follow; each is a byte: the kind of read in its lower
 * four bits, a small argument in the upper ones. The rest is what the cursor reads. Whatever the
 * program, the cursor stays in its buffer, stays bad once it is, yields nothing then, and what it
 * took for a varint is the only way to write that number.
 */
#include <string.h>

#include "base/bytes.h"
#include "fuzz/fuzz.h"

static void check_canonical(const uint8_t *from, const uint8_t *to, uint64_t value)
{
    uint8_t again[FR_VARINT64_MAX];
    size_t size = (size_t)(fr_put_varint(again, value) - again);

    FUZZ_CHECK(size == (size_t)(to - from));
    FUZZ_CHECK(size == fr_varint_size(value));
    FUZZ_CHECK(memcmp(again, from, size) == 0);
}

static uint64_t read_varint(struct fr_bytes *in, bool narrow)
{
    const uint8_t *from = in->at;
    uint64_t value = narrow ? fr_bytes_varint32(in) : fr_bytes_varint(in);

    if (fr_bytes_ok(in)) check_canonical(from, in->at, value);
    if (narrow) FUZZ_CHECK(value <= UINT32_MAX);
    return value;
}

/* The number or the size that one instruction yields; 0 from a bad cursor. */
static uint64_t run_one(struct fr_bytes *in, uint8_t instruction, fr_slice *ret_taken)
{
    static const uint64_t sizes[16] = {0, 1, 2, 3, 7, 8, 63, 64, 255, 4096, INT32_MAX, UINT32_MAX,
            (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX - 1, UINT64_MAX};

    switch (instruction & 0x0f) {
    case 0:
        return fr_bytes_u8(in);
    case 1:
        return fr_bytes_u16(in);
    case 2:
        return fr_bytes_u32(in);
    case 3:
        return fr_bytes_u64(in);
    case 4:
        return read_varint(in, false);
    case 5:
        return read_varint(in, true);
    case 6:
        *ret_taken = fr_bytes_block(in);
        return ret_taken->size;
    case 7:
        fr_bytes_skip(in, sizes[instruction >> 4]);
        return 0;
    default:
        *ret_taken = fr_bytes_take(in, sizes[instruction >> 4]);
        return ret_taken->size;
    }
}

static void check_step(const struct fr_bytes *before, const struct fr_bytes *after,
        uint64_t yielded, fr_slice taken)
{
    FUZZ_CHECK(after->start == before->start && after->end == before->end);
    FUZZ_CHECK(before->at <= after->at && after->at <= after->end);
    FUZZ_CHECK(fr_bytes_left(after) + fr_bytes_offset(after) ==
               (size_t)(after->end - after->start));
    FUZZ_CHECK(!(before->bad && !after->bad));
    if (before->bad) FUZZ_CHECK(after->at == before->at);
    if (after->bad) FUZZ_CHECK(yielded == 0 && taken.size == 0);
    if (taken.size > 0)
        FUZZ_CHECK(taken.data >= before->at && taken.data + taken.size == after->at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size - 1 < data[0]) return 0;

    size_t program_size = data[0];
    const uint8_t *program = data + 1;
    struct fr_bytes in = fr_bytes_of(fr_slice_of(program + program_size, size - 1 - program_size));
    uint64_t sum = 0;

    for (size_t i = 0; i < program_size; i++) {
        struct fr_bytes before = in;
        fr_slice taken = {0};
        uint64_t yielded = run_one(&in, program[i], &taken);

        check_step(&before, &in, yielded, taken);
        for (size_t k = 0; k < taken.size; k++)
            sum += taken.data[k]; /* touch it all, for the sanitizer */
    }
    FUZZ_CHECK(fr_bytes_done(&in) == (fr_bytes_ok(&in) && fr_bytes_left(&in) == 0));
    return sum == UINT64_MAX ? -1 : 0;
}
