/*
 * table_writer.h - files of sorted keys, made without a store and taken over by one at once.
 *
 *     struct fr_table_writer *writer;
 *     fr_status st = fr_table_writer_open("part-1", NULL, &writer);
 *     while (st == FR_OK && next(&key, &value))
 *         st = fr_table_writer_put(writer, key, key_size, value, value_size);
 *     if (st == FR_OK) st = fr_table_writer_finish(writer);
 *     fr_table_writer_close(writer);
 *     if (st == FR_OK) st = fr_db_ingest(db, &path, 1, NULL);
 *
 * The way to load much data: sorted elsewhere, by as many processes as there are, each range of
 * keys in files of its own. One thread at a time for each writer.
 */
#ifndef FRESHET_TABLE_WRITER_H
#define FRESHET_TABLE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/api.h"
#include "freshet/db.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

struct fr_table_writer;

/*
 * How the file is written; how its content lies in the store is for the store's options to say.
 * fr_table_writer_options_init() fills in the defaults and the size.
 */
struct fr_table_writer_options {
    size_t size;                /* sizeof(struct fr_table_writer_options) */
    fr_compression compression; /* (FR_COMPRESSION_ZSTD) */
    bool verify;                /* read the file back in finish (true) */
};

FR_API void fr_table_writer_options_init(struct fr_table_writer_options *options);

/*
 * Begin a file. It has its name once it is finished; until then there is "*.unfinished" beside it,
 * which a crash leaves there. NULL options are the defaults. FR_ERR_EXISTS: the path is taken.
 */
FR_API FR_NODISCARD fr_status fr_table_writer_open(const char *path,
        const struct fr_table_writer_options *options, struct fr_table_writer **ret_writer);

/*
 * Add a key, copying what is given: above the key before it, byte by byte, or FR_ERR_MISUSE and
 * nothing was added. A deleted key is one that the store shall not have any more. FR_ERR_LIMIT: as
 * for the store. After FR_ERR_IO, FR_ERR_NOSPACE or FR_ERR_NOMEM there is only closing.
 */
FR_API FR_NODISCARD fr_status fr_table_writer_put(struct fr_table_writer *writer, const void *key,
        size_t key_size, const void *value, size_t value_size);
FR_API FR_NODISCARD fr_status fr_table_writer_put_until(struct fr_table_writer *writer,
        const void *key, size_t key_size, const void *value, size_t value_size,
        uint64_t expires_us);
FR_API FR_NODISCARD fr_status fr_table_writer_delete(struct fr_table_writer *writer,
        const void *key, size_t key_size);

/* Keys so far, and about how large the file would be if it were finished now. */
FR_API uint64_t fr_table_writer_count(const struct fr_table_writer *writer);
FR_API uint64_t fr_table_writer_bytes(const struct fr_table_writer *writer);

/* Write the rest, make it durable, and give the file its name. */
FR_API FR_NODISCARD fr_status fr_table_writer_finish(struct fr_table_writer *writer);

/* Without finish before it, nothing remains. NULL is fine. */
FR_API void fr_table_writer_close(struct fr_table_writer *writer);

FR_END_DECLS

#endif
