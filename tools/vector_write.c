/* vector_write.c - vectors to files: the other direction of vector_file.h. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tools/vector_file_priv.h"
#include "tools/vector_id.h"

struct fr_vector_writer {
    enum fr_vector_format format;
    uint32_t dimension;
    uint64_t count;
    FILE *file; /* NULL once finished */
    bool is_standard;
    struct fr_buf path;    /* each with a terminating zero */
    struct fr_buf partial; /* its name until it is whole */
    struct fr_buf row;
};

static bool has_count(enum fr_vector_format format)
{
    return format == FR_VECTORS_FBIN || format == FR_VECTORS_U8BIN || format == FR_VECTORS_I8BIN ||
           format == FR_VECTORS_NPY;
}

static const char *name_of(const struct fr_vector_writer *writer)
{
    return writer->is_standard ? "standard output" : (const char *)writer->path.data;
}

static fr_status write_row(struct fr_vector_writer *writer)
{
    if (fr_buf_status(&writer->row) < 0)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a row", name_of(writer));
    if (fwrite(writer->row.data, 1, writer->row.size, writer->file) == writer->row.size)
        return FR_OK;
    if (writer->is_standard && errno == EPIPE) return FR_END;
    return FR_FAIL_OS(errno, "%s: cannot write to it", name_of(writer));
}

/* With the count as it is known by now. */
static fr_status write_header(struct fr_vector_writer *writer)
{
    if (!has_count(writer->format)) return FR_OK;
    fr_buf_clear(&writer->row);
    if (writer->format == FR_VECTORS_NPY) {
        fr_npy_append_header(&writer->row, writer->count, writer->dimension);
    } else {
        fr_buf_u32(&writer->row, (uint32_t)writer->count);
        fr_buf_u32(&writer->row, writer->dimension);
    }
    return write_row(writer);
}

static fr_status open_file(struct fr_vector_writer *writer, const char *path)
{
    fr_buf_printf(&writer->path, "%s", path);
    fr_buf_printf(&writer->partial, "%s.partial", path);
    fr_buf_u8(&writer->path, 0);
    fr_buf_u8(&writer->partial, 0);
    if (fr_buf_status(&writer->path) < 0 || fr_buf_status(&writer->partial) < 0)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to write it", path);
    writer->file = fopen((const char *)writer->partial.data, "wbe");
    if (writer->file == NULL)
        return FR_FAIL_OS(errno, "%s: cannot make it", (const char *)writer->partial.data);
    return FR_OK;
}

static fr_status open_standard(struct fr_vector_writer *writer)
{
    writer->is_standard = true;
    if (has_count(writer->format) && lseek(STDOUT_FILENO, 0, SEEK_CUR) != 0)
        return FR_FAIL(FR_ERR_UNSUPPORTED,
                "standard output: %s has the count of its rows in front, so it has to go to a new "
                "file; fvecs and jsonl can go through pipes",
                fr_vector_format_name(writer->format));
    writer->file = stdout;
    return FR_OK;
}

fr_status fr_vector_writer_open(const char *path, enum fr_vector_format format, uint32_t dimension,
        struct fr_vector_writer **ret_writer)
{
    struct fr_vector_writer *writer = FR_NEW(struct fr_vector_writer);
    fr_status st;

    if (writer == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to write it", path);
    writer->format = format;
    writer->dimension = dimension;
    FR_TRY(strcmp(path, "-") == 0 ? open_standard(writer) : open_file(writer, path));
    FR_TRY(write_header(writer));
    *ret_writer = FR_TAKE(writer);
out:
    fr_vector_writer_close(writer);
    return st;
}

static fr_status append_bytes(struct fr_vector_writer *writer, const struct fr_vector_row *row)
{
    bool is_signed = writer->format == FR_VECTORS_I8BIN;
    float least = is_signed ? -128 : 0, most = is_signed ? 127 : 255;

    for (uint32_t i = 0; i < writer->dimension; i++) {
        float value = row->vector[i];
        if (!(value >= least && value <= most) || value != truncf(value))
            return FR_FAIL(FR_ERR_LIMIT,
                    "%s: vector %s has the value %.9g, and %s holds whole numbers from %g to %g",
                    name_of(writer), fr_id_words(row->id, row->text).text, (double)value,
                    fr_vector_format_name(writer->format), (double)least, (double)most);
        fr_buf_u8(&writer->row, (uint8_t)(int)value);
    }
    return FR_OK;
}

static void append_floats(struct fr_vector_writer *writer, const float *vector)
{
    for (uint32_t i = 0; i < writer->dimension; i++) {
        uint32_t bits;
        memcpy(&bits, &vector[i], sizeof(bits));
        fr_buf_u32(&writer->row, bits);
    }
}

fr_status fr_vector_writer_add(struct fr_vector_writer *writer, const struct fr_vector_row *row)
{
    enum fr_vector_format format = writer->format;
    fr_status st = FR_OK;

    FR_ASSERT(row->dimension == writer->dimension);
    if (has_count(format) && format != FR_VECTORS_NPY && writer->count == UINT32_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "%s: %s cannot count more than %" PRIu32 " rows",
                name_of(writer), fr_vector_format_name(format), UINT32_MAX);
    fr_buf_clear(&writer->row);
    if (format == FR_VECTORS_FVECS || format == FR_VECTORS_BVECS)
        fr_buf_u32(&writer->row, writer->dimension);
    if (format == FR_VECTORS_JSONL)
        fr_vector_line(&writer->row, row);
    else if (format == FR_VECTORS_BVECS || format == FR_VECTORS_U8BIN || format == FR_VECTORS_I8BIN)
        FR_TRY(append_bytes(writer, row));
    else
        append_floats(writer, row->vector);
    FR_TRY(write_row(writer));
    writer->count++;
out:
    return st;
}

fr_status fr_vector_writer_finish(struct fr_vector_writer *writer)
{
    fr_status st = FR_OK;

    if (has_count(writer->format)) {
        if (fseeko(writer->file, 0, SEEK_SET) != 0)
            return FR_FAIL_OS(errno, "%s: cannot go back to its front", name_of(writer));
        FR_TRY(write_header(writer));
        (void)fseeko(writer->file, 0, SEEK_END);
    }
    if (fflush(writer->file) != 0 && !(writer->is_standard && errno == EPIPE))
        return FR_FAIL_OS(errno, "%s: cannot write to it", name_of(writer));
    if (writer->is_standard) return FR_OK;
    if (fsync(fileno(writer->file)) != 0)
        return FR_FAIL_OS(errno, "%s: cannot make it durable", name_of(writer));
    fclose(FR_TAKE(writer->file));
    if (rename((const char *)writer->partial.data, (const char *)writer->path.data) != 0)
        return FR_FAIL_OS(errno, "%s: cannot give it its name", name_of(writer));
out:
    return st;
}

void fr_vector_writer_close(struct fr_vector_writer *writer)
{
    if (writer == NULL) return;
    if (writer->file != NULL && !writer->is_standard) {
        fclose(writer->file);
        (void)unlink((const char *)writer->partial.data);
    }
    fr_buf_deinit(&writer->path);
    fr_buf_deinit(&writer->partial);
    fr_buf_deinit(&writer->row);
    fr_free(writer);
}
