#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/coding.h"

/* Room for a short record, so that small buffers grow once. */
#define CAPACITY_LEAST 64

void fr_buf_deinit(struct fr_buf *buf)
{
    fr_free(buf->data);
    *buf = FR_BUF_EMPTY;
}

void fr_buf_clear(struct fr_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
}

static bool grow(struct fr_buf *buf, size_t extra)
{
    if (extra > SIZE_MAX / 2 - buf->size) return false;

    size_t wanted = FR_MAX(buf->size + extra, (size_t)CAPACITY_LEAST);
    size_t capacity = FR_MAX(wanted, buf->capacity + buf->capacity / 2);
    uint8_t *data = fr_realloc(buf->data, capacity);
    if (data == NULL) return false;
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

fr_status fr_buf_reserve(struct fr_buf *buf, size_t size)
{
    if (size <= buf->capacity - buf->size) return FR_OK;
    if (grow(buf, size)) return FR_OK;
    return FR_FAIL(FR_ERR_NOMEM, "no memory for a buffer of %zu bytes", size);
}

uint8_t *fr_buf_extend(struct fr_buf *buf, size_t size)
{
    if (buf->failed) return NULL;
    /* NULL means failure, so even an empty buffer has memory before it hands out nothing. */
    bool fits = buf->data != NULL && size <= buf->capacity - buf->size;
    if (!fits && !grow(buf, size)) {
        buf->failed = true;
        return NULL;
    }
    buf->size += size;
    return buf->data + buf->size - size;
}

void fr_buf_append(struct fr_buf *buf, const void *data, size_t size)
{
    uint8_t *to = fr_buf_extend(buf, size);
    if (to != NULL && size > 0) memcpy(to, data, size);
}

void fr_buf_append_zeros(struct fr_buf *buf, size_t size)
{
    uint8_t *to = fr_buf_extend(buf, size);
    if (to != NULL && size > 0) memset(to, 0, size);
}

void fr_buf_u8(struct fr_buf *buf, uint8_t value)
{
    fr_buf_append(buf, &value, 1);
}

void fr_buf_u16(struct fr_buf *buf, uint16_t value)
{
    uint8_t *to = fr_buf_extend(buf, sizeof(value));
    if (to != NULL) fr_put_u16(to, value);
}

void fr_buf_u32(struct fr_buf *buf, uint32_t value)
{
    uint8_t *to = fr_buf_extend(buf, sizeof(value));
    if (to != NULL) fr_put_u32(to, value);
}

void fr_buf_u64(struct fr_buf *buf, uint64_t value)
{
    uint8_t *to = fr_buf_extend(buf, sizeof(value));
    if (to != NULL) fr_put_u64(to, value);
}

void fr_buf_varint(struct fr_buf *buf, uint64_t value)
{
    uint8_t *to = fr_buf_extend(buf, fr_varint_size(value));
    if (to != NULL) fr_put_varint(to, value);
}

void fr_buf_block(struct fr_buf *buf, fr_slice slice)
{
    fr_buf_varint(buf, slice.size);
    fr_buf_append(buf, slice.data, slice.size);
}

void fr_buf_printf(struct fr_buf *buf, const char *format, ...)
{
    va_list args;
    char probe[256];

    va_start(args, format);
    int length = vsnprintf(probe, sizeof(probe), format, args);
    va_end(args);
    if (length < (int)sizeof(probe)) {
        fr_buf_append(buf, probe, length < 0 ? 0 : (size_t)length);
        return;
    }
    /* Too long for the stack: once more, in place, with room for the zero which is then dropped. */
    uint8_t *to = fr_buf_extend(buf, (size_t)length + 1);
    if (to == NULL) return;
    va_start(args, format);
    vsnprintf((char *)to, (size_t)length + 1, format, args);
    va_end(args);
    buf->size--;
}

fr_status fr_buf_status(const struct fr_buf *buf)
{
    if (!buf->failed) return FR_OK;
    return FR_FAIL(FR_ERR_NOMEM, "no memory for a buffer of more than %zu bytes", buf->size);
}
