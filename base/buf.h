/*
 * buf.h - bytes that we own and that grow.
 *
 * Appending can fail for want of memory. As with fr_bytes, failure sticks: the encoder appends all
 * its fields and asks fr_buf_status() once. A failed buffer keeps what it held before.
 */
#ifndef FR_BASE_BUF_H
#define FR_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"
#include "base/status.h"

struct fr_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
};

#define FR_BUF_EMPTY ((struct fr_buf){0})

/* Frees the memory and leaves an empty buffer. */
void fr_buf_deinit(struct fr_buf *buf);

/* Forget the content and any failure, keep the memory. */
void fr_buf_clear(struct fr_buf *buf);

/* Make room for size more bytes in all; appending that much cannot fail then. */
FR_NODISCARD fr_status fr_buf_reserve(struct fr_buf *buf, size_t size);

/* size more bytes for the caller to fill, or NULL. Valid until the buffer is next appended to. */
uint8_t *fr_buf_extend(struct fr_buf *buf, size_t size);

void fr_buf_append(struct fr_buf *buf, const void *data, size_t size);
void fr_buf_append_zeros(struct fr_buf *buf, size_t size);
void fr_buf_u8(struct fr_buf *buf, uint8_t value);
void fr_buf_u16(struct fr_buf *buf, uint16_t value);
void fr_buf_u32(struct fr_buf *buf, uint32_t value);
void fr_buf_u64(struct fr_buf *buf, uint64_t value);
void fr_buf_varint(struct fr_buf *buf, uint64_t value);

/* A varint length and the bytes: what fr_bytes_block reads. */
void fr_buf_block(struct fr_buf *buf, fr_slice slice);

/* Text in the manner of printf, without its terminating zero. */
void fr_buf_printf(struct fr_buf *buf, const char *format, ...) FR_PRINTF(2, 3);

/* FR_ERR_NOMEM if any append since the last clear has failed. */
FR_NODISCARD fr_status fr_buf_status(const struct fr_buf *buf);

/* Borrow the content; valid until the buffer changes. */
static inline fr_slice fr_buf_slice(const struct fr_buf *buf)
{
    return fr_slice_of(buf->data, buf->size);
}

#endif
