/*
 * bytes.h - a cursor that cannot leave its buffer: the only way to read bytes from outside.
 *
 * A read that would go past the end, or that finds a malformed varint, yields zero (or an empty
 * slice) and makes the cursor bad; a bad cursor stays bad and yields nothing but zeros. So a
 * decoder reads all the fields of a struct in a row and asks once:
 *
 *     footer.index_offset = fr_bytes_u64(&in);
 *     footer.index_size = fr_bytes_u32(&in);
 *     if (!fr_bytes_ok(&in)) return FR_FAIL(FR_ERR_CORRUPT, ...);
 *
 * What was read from a cursor that turns out bad must not be used.
 */
#ifndef FR_BASE_BYTES_H
#define FR_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/coding.h"
#include "base/slice.h"

struct fr_bytes {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start;
    bool bad;
};

static inline struct fr_bytes fr_bytes_of(fr_slice slice)
{
    const uint8_t *start = slice.size == 0 ? (const uint8_t *)"" : slice.data;
    return (struct fr_bytes){.at = start, .end = start + slice.size, .start = start, .bad = false};
}

static inline bool fr_bytes_ok(const struct fr_bytes *in)
{
    return !in->bad;
}

/* Whole and nothing over: a decoder's last question about a struct of known extent. */
static inline bool fr_bytes_done(const struct fr_bytes *in)
{
    return !in->bad && in->at == in->end;
}

static inline size_t fr_bytes_left(const struct fr_bytes *in)
{
    return (size_t)(in->end - in->at);
}

/* Bytes read so far: the place to name in an error, also once the cursor is bad. */
static inline size_t fr_bytes_offset(const struct fr_bytes *in)
{
    return (size_t)(in->at - in->start);
}

/* The next size bytes, which stay valid as long as the buffer under the cursor. */
static inline fr_slice fr_bytes_take(struct fr_bytes *in, uint64_t size)
{
    const uint8_t *at = in->at;

    if (in->bad || size > fr_bytes_left(in)) {
        in->bad = true;
        return fr_slice_of(NULL, 0);
    }
    in->at += size;
    return fr_slice_of(at, (size_t)size);
}

static inline void fr_bytes_skip(struct fr_bytes *in, uint64_t size)
{
    (void)fr_bytes_take(in, size);
}

static inline uint8_t fr_bytes_u8(struct fr_bytes *in)
{
    fr_slice s = fr_bytes_take(in, 1);
    return s.size == 1 ? s.data[0] : 0;
}

static inline uint16_t fr_bytes_u16(struct fr_bytes *in)
{
    fr_slice s = fr_bytes_take(in, 2);
    return s.size == 2 ? fr_get_u16(s.data) : 0;
}

static inline uint32_t fr_bytes_u32(struct fr_bytes *in)
{
    fr_slice s = fr_bytes_take(in, 4);
    return s.size == 4 ? fr_get_u32(s.data) : 0;
}

static inline uint64_t fr_bytes_u64(struct fr_bytes *in)
{
    fr_slice s = fr_bytes_take(in, 8);
    return s.size == 8 ? fr_get_u64(s.data) : 0;
}

static inline uint64_t fr_bytes_varint(struct fr_bytes *in)
{
    uint64_t value = 0;
    const uint8_t *next = in->bad ? NULL : fr_get_varint(in->at, in->end, &value);

    if (next == NULL) {
        in->bad = true;
        return 0;
    }
    in->at = next;
    return value;
}

/* A varint that must fit in 32 bits. */
static inline uint32_t fr_bytes_varint32(struct fr_bytes *in)
{
    uint64_t value = fr_bytes_varint(in);

    if (value > UINT32_MAX) {
        in->bad = true;
        return 0;
    }
    return (uint32_t)value;
}

/* A varint length and that many bytes. */
static inline fr_slice fr_bytes_block(struct fr_bytes *in)
{
    return fr_bytes_take(in, fr_bytes_varint(in));
}

#endif
