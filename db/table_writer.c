/*
 * table_writer.c - the public table writer: arguments are checked here, the rest is lsm/prebuilt.h.
 */
#include "freshet/table_writer.h"

#include "base/alloc.h"
#include "io/env.h"
#include "lsm/prebuilt.h"

struct fr_table_writer {
    struct fr_env *env;
    struct fr_prebuilt *prebuilt;
};

void fr_table_writer_options_init(struct fr_table_writer_options *options)
{
    *options = (struct fr_table_writer_options){
            .size = sizeof(*options), .compression = FR_COMPRESSION_ZSTD, .verify = true};
}

static fr_status take_options(const struct fr_table_writer_options *options,
        struct fr_prebuilt_options *ret_options)
{
    struct fr_table_writer_options given;

    fr_table_writer_options_init(&given);
    if (options != NULL && options->size != sizeof(given))
        return FR_FAIL(FR_ERR_MISUSE, "fr_table_writer_options: size %zu, not %zu", options->size,
                sizeof(given));
    if (options != NULL) given = *options;
    ret_options->compress = given.compression == FR_COMPRESSION_ZSTD;
    ret_options->verify = given.verify;
    return FR_OK;
}

fr_status fr_table_writer_open(const char *path, const struct fr_table_writer_options *options,
        struct fr_table_writer **ret_writer)
{
    struct fr_prebuilt_options wanted;
    struct fr_table_writer *writer = NULL;
    fr_status st;

    if (path == NULL || ret_writer == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "fr_table_writer_open: no path");
    FR_TRY(take_options(options, &wanted));
    writer = FR_NEW(struct fr_table_writer);
    if (writer == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to write it", path);
    FR_TRY(fr_env_open(NULL, &writer->env));
    FR_TRY(fr_prebuilt_new(writer->env, path, &wanted, &writer->prebuilt));
    *ret_writer = FR_TAKE(writer);
out:
    fr_table_writer_close(writer);
    return st;
}

static fr_status check_key(const void *key, size_t size)
{
    if (key != NULL && size > 0) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE, "a key has one byte at least");
}

fr_status fr_table_writer_put(struct fr_table_writer *writer, const void *key, size_t key_size,
        const void *value, size_t value_size)
{
    return fr_table_writer_put_until(writer, key, key_size, value, value_size, 0);
}

fr_status fr_table_writer_put_until(struct fr_table_writer *writer, const void *key,
        size_t key_size, const void *value, size_t value_size, uint64_t expires_us)
{
    fr_status st = check_key(key, key_size);

    if (st == FR_OK)
        st = fr_prebuilt_put(writer->prebuilt, fr_slice_of(key, key_size),
                fr_slice_of(value, value_size), expires_us);
    return st;
}

fr_status fr_table_writer_delete(struct fr_table_writer *writer, const void *key, size_t key_size)
{
    fr_status st = check_key(key, key_size);

    if (st == FR_OK) st = fr_prebuilt_delete(writer->prebuilt, fr_slice_of(key, key_size));
    return st;
}

uint64_t fr_table_writer_count(const struct fr_table_writer *writer)
{
    return fr_prebuilt_count(writer->prebuilt);
}

uint64_t fr_table_writer_bytes(const struct fr_table_writer *writer)
{
    return fr_prebuilt_bytes(writer->prebuilt);
}

fr_status fr_table_writer_finish(struct fr_table_writer *writer)
{
    return fr_prebuilt_finish(writer->prebuilt);
}

void fr_table_writer_close(struct fr_table_writer *writer)
{
    if (writer == NULL) return;
    fr_prebuilt_free(writer->prebuilt);
    fr_env_close(writer->env);
    fr_free(writer);
}
