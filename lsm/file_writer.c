#include "lsm/file_writer.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/museum.h"
#include "io/dir.h"
#include "io/file.h"
#include "lsm/rate_limit.h"

/* What a device asks of direct transfers at the most; a large memory copy likes it, too. */
#define BUFFER_ALIGNMENT 4096

fr_status fr_file_writer_open(struct fr_dir *dir, const char *name, size_t buffer_size,
        struct fr_file_writer *ret_writer)
{
    struct fr_file_writer writer = {.dir = dir};
    fr_status st;

    writer.buffer_size = buffer_size == 0 ? FR_FILE_WRITER_BUFFER_DEFAULT : buffer_size;
    FR_ASSERT(writer.buffer_size >= FR_FILE_WRITER_BUFFER_MIN);
    FR_ASSERT(strlen(name) < sizeof(writer.name));
    (void)snprintf(writer.name, sizeof(writer.name), "%s", name);
    fr_hash128_init(&writer.hash);
    writer.buffer = fr_alloc_aligned(writer.buffer_size, BUFFER_ALIGNMENT);
    if (writer.buffer == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to write it", name);
    FR_TRY(fr_file_open(dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &writer.file));
    *ret_writer = writer;
    return FR_OK;
out:
    fr_free(writer.buffer);
    return st;
}

static void write_piece(struct fr_file_writer *writer, const uint8_t *data, size_t size)
{
    writer->status = fr_file_write(writer->file, writer->written, data, size, 0);
    if (writer->status < 0) return;
    /* The sync at the end has less to wait for then. What is new is often read soon. */
    fr_file_advise(writer->file, writer->written, size, FR_ADVICE_WRITE_NOW);
    writer->written += size;
}

/* In the pieces that the rate limit grants. */
static void write_out(struct fr_file_writer *writer, const uint8_t *data, size_t size)
{
    while (writer->status >= 0 && size > 0) {
        size_t piece = fr_rate_limiter_take(writer->limiter, size, writer->urgent);
        write_piece(writer, data, piece);
        data += piece;
        size -= piece;
    }
}

static void flush(struct fr_file_writer *writer)
{
    write_out(writer, writer->buffer, writer->held);
    writer->held = 0;
}

fr_status fr_file_writer_append(struct fr_file_writer *writer, fr_slice bytes)
{
    if (bytes.size == 0) return writer->status;
    fr_hash128_add(&writer->hash, bytes.data, bytes.size);
    while (bytes.size > 0 && writer->status >= 0) {
        size_t moved = FR_MIN(bytes.size, writer->buffer_size - writer->held);

        memcpy(writer->buffer + writer->held, bytes.data, moved);
        writer->held += moved;
        bytes.data += moved;
        bytes.size -= moved;
        if (writer->held == writer->buffer_size) flush(writer);
    }
    return writer->status;
}

struct fr_hash128 fr_file_writer_hash(const struct fr_file_writer *writer)
{
    return fr_hash128_get(&writer->hash);
}

fr_status fr_file_writer_finish(struct fr_file_writer *writer)
{
    fr_status st;

    /* museum 24: a sync before the write that it is for */
    if (FR_MUSEUM(24)) FR_TRY(fr_file_sync(writer->file));
    flush(writer);
    FR_TRY(writer->status);
    if (FR_MUSEUM(24)) goto out;
    /* museum 5: a table named before it is synced */
    if (!FR_MUSEUM(5)) FR_TRY(fr_file_sync(writer->file));
out:
    writer->status = st;
    return st;
}

void fr_file_writer_close(struct fr_file_writer *writer, bool unlink)
{
    if (writer->file != NULL) {
        fr_file_close(writer->file);
        /* A name that stays is an orphan, which the next opening of the store collects. */
        fr_status st = unlink ? fr_dir_unlink(writer->dir, writer->name) : FR_OK;

        (void)st;
    }
    fr_free(writer->buffer);
    *writer = (struct fr_file_writer){0};
}
