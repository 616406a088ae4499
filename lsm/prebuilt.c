#include "lsm/prebuilt.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/rng.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "lsm/table.h"
#include "lsm/table_builder.h"

/* The identity of all of them: "FRESHET PREBUILT" in place of a store's, and a number. */
const struct fr_file_id fr_prebuilt_id = {
        .store = {0x2054454853455246u, 0x544c495542455250u}, .number = 1};

#define SEQ 1

#define BLOCK_SIZE ((size_t)32 << 10)

struct fr_prebuilt {
    struct fr_dir *dir;
    struct fr_table_builder *builder;
    struct fr_buf last_key;
    bool finished;
    char name[FR_NAME_MAX + 1];
    char beside[32];
};

static fr_status check_free(const struct fr_prebuilt *p)
{
    struct fr_file_info info;
    fr_status st = fr_dir_stat(p->dir, p->name, &info);

    if (st == FR_OK)
        return FR_FAIL(FR_ERR_EXISTS, "%s/%s: is there already", fr_dir_path(p->dir), p->name);
    return st == FR_NOT_FOUND ? FR_OK : st;
}

fr_status fr_prebuilt_new(struct fr_env *env, const char *path,
        const struct fr_prebuilt_options *options, struct fr_prebuilt **ret_prebuilt)
{
    struct fr_prebuilt *p = FR_NEW(struct fr_prebuilt);
    struct fr_table_options table = fr_table_options_default();
    fr_status st;

    if (p == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to write a table", path);
    table.block_size = BLOCK_SIZE;
    table.filter_bits = 0; /* it is read once, from front to back */
    table.compression = options->compress ? FR_CODEC_ZSTD : FR_CODEC_NONE;
    table.verify = options->verify;
    table.origin = FR_TABLE_ORIGIN_INGEST;
    table.created_us = fr_env_wall_us(env);
    FR_TRY(fr_dir_open_parent(env, path, &p->dir, p->name));
    FR_TRY(check_free(p));
    (void)snprintf(p->beside, sizeof(p->beside), "%016" PRIx64 ".unfinished", fr_rng_entropy());
    FR_TRY(fr_table_builder_open_as(p->dir, p->beside, &fr_prebuilt_id, &table, &p->builder));
    *ret_prebuilt = FR_TAKE(p);
out:
    fr_prebuilt_free(p);
    return st;
}

static fr_status check_entry(const struct fr_prebuilt *p, const struct fr_entry *entry)
{
    if (p->finished) return FR_FAIL(FR_ERR_MISUSE, "%s: the table is finished", p->name);
    if (entry->key.size == 0) return FR_FAIL(FR_ERR_MISUSE, "a key has one byte at least");
    if (entry->key.size > FR_KEY_SIZE_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "a key of %zu bytes; %d are the most", entry->key.size,
                FR_KEY_SIZE_MAX);
    if (entry->value.size > FR_VALUE_SIZE_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "a value of %zu bytes; %zu are the most", entry->value.size,
                FR_VALUE_SIZE_MAX);
    if (p->last_key.size > 0 && fr_slice_compare(entry->key, fr_buf_slice(&p->last_key)) <= 0)
        return FR_FAIL(FR_ERR_MISUSE,
                "%s: a key that is not above the one before, after %" PRIu64 " keys", p->name,
                fr_table_builder_count(p->builder));
    return FR_OK;
}

static fr_status add(struct fr_prebuilt *p, const struct fr_entry *entry)
{
    fr_status st;

    FR_TRY(check_entry(p, entry));
    FR_TRY(fr_table_builder_add(p->builder, entry));
    fr_buf_clear(&p->last_key);
    fr_buf_append(&p->last_key, entry->key.data, entry->key.size);
    st = fr_buf_status(&p->last_key);
out:
    return st;
}

fr_status fr_prebuilt_put(struct fr_prebuilt *p, fr_slice key, fr_slice value, uint64_t expires_us)
{
    struct fr_entry entry = {.key = key,
            .value = value,
            .seq = SEQ,
            .expires_us = expires_us,
            .kind = FR_KIND_PUT,
            .flags = expires_us != 0 ? FR_ENTRY_EXPIRES : 0};

    return add(p, &entry);
}

fr_status fr_prebuilt_delete(struct fr_prebuilt *p, fr_slice key)
{
    struct fr_entry entry = {.key = key, .seq = SEQ, .kind = FR_KIND_DELETE};

    return add(p, &entry);
}

uint64_t fr_prebuilt_count(const struct fr_prebuilt *p)
{
    return fr_table_builder_count(p->builder);
}

uint64_t fr_prebuilt_bytes(const struct fr_prebuilt *p)
{
    return fr_table_builder_size_estimate(p->builder);
}

fr_status fr_prebuilt_finish(struct fr_prebuilt *p)
{
    struct fr_table_meta meta;
    fr_status st;

    if (p->finished) return FR_FAIL(FR_ERR_MISUSE, "%s: the table is finished", p->name);
    FR_TRY(fr_table_builder_finish(p->builder, &meta));
    fr_table_meta_deinit(&meta);
    p->finished = true;
    FR_TRY(check_free(p));
    FR_TRY(fr_dir_rename(p->dir, p->beside, p->name));
    p->beside[0] = '\0';
    FR_TRY(fr_dir_sync(p->dir));
out:
    return st;
}

/* The builder removes a file that it has not finished; one that has got no name is ours. */
void fr_prebuilt_free(struct fr_prebuilt *p)
{
    if (p == NULL) return;
    fr_table_builder_close(p->builder);
    if (p->finished && p->beside[0] != '\0') (void)!fr_dir_unlink(p->dir, p->beside);
    fr_buf_deinit(&p->last_key);
    fr_dir_close(p->dir);
    fr_free(p);
}

/* ---- reading */

/* Where the block of an entry stands, for words. */
static uint64_t offset_of(const struct fr_table *table, const struct fr_entry *entry)
{
    struct fr_table_spot spot;

    return fr_table_locate(table, entry->key, entry->seq, &spot) == FR_OK ? spot.handle.offset : 0;
}

static fr_status check_kept(const struct fr_table *table, const struct fr_entry *entry)
{
    bool put = entry->kind == FR_KIND_PUT, expires = (entry->flags & FR_ENTRY_EXPIRES) != 0;

    if (entry->seq == SEQ && (put || entry->kind == FR_KIND_DELETE) &&
            !(entry->flags & FR_ENTRY_PLACED) && (put || (!expires && entry->value.size == 0)) &&
            entry->key.size > 0 && entry->key.size <= FR_KEY_SIZE_MAX &&
            entry->value.size <= FR_VALUE_SIZE_MAX)
        return FR_OK;
    return FR_FAIL(FR_ERR_CORRUPT,
            "%s: the block at %" PRIu64 " has an entry that no table writer writes",
            fr_table_path(table), offset_of(table, entry));
}

static uint64_t data_end(const struct fr_table *table)
{
    size_t count = fr_table_block_count(table);

    if (count == 0) return FR_TABLE_HEADER_SIZE;
    struct fr_table_spot last = fr_table_spot_at(table, count - 1);
    return last.handle.offset + last.handle.size;
}

/* That keys ascend strictly follows from the order of entries, as all have one number. */
static fr_status check_entries(struct fr_table *table)
{
    struct fr_iter *it = NULL;
    size_t ranges;
    fr_status st;

    (void)fr_table_ranges(table, &ranges);
    if (ranges > 0)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: range deletes at %" PRIu64 " or behind, which no table writer writes",
                fr_table_path(table), data_end(table));
    FR_TRY(fr_table_iter_new(table, NULL, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        FR_TRY(check_kept(table, &it->entry));
    if (st == FR_END) st = FR_OK;
out:
    fr_iter_close(it);
    return st;
}

/* Whether a file begins as a table does; true if that cannot be read, as nothing says otherwise. */
static bool begins_as_table(struct fr_dir *dir, const char *name)
{
    struct fr_file *file = NULL;
    uint8_t magic[8];
    bool begins = true;
    fr_status st;

    FR_TRY(fr_file_open(dir, name, 0, &file));
    FR_TRY(fr_file_read_exact(file, 0, magic, sizeof(magic)));
    begins = fr_get_u64(magic) == FR_TABLE_MAGIC;
out:
    fr_file_close(file);
    return begins;
}

/*
 * A table whose end is damaged is one all the same, as far as it goes; what has neither end is
 * something else, and nobody should look for what has damaged it.
 */
static fr_status open_table(struct fr_dir *dir, const char *name, struct fr_table **ret_table)
{
    struct fr_error error = {.size = sizeof(error)};
    fr_status st = fr_table_open_as(dir, name, &fr_prebuilt_id, NULL, ret_table);

    if (st != FR_ERR_CORRUPT) return st;
    fr_error_save(&error);
    if (!begins_as_table(dir, name))
        return FR_FAIL(FR_ERR_FOREIGN, "%s/%s: is no table: does not begin as one, at 0",
                fr_dir_path(dir), name);
    return fr_error_restore(&error);
}

fr_status fr_prebuilt_open(struct fr_env *env, const char *path, struct fr_table **ret_table)
{
    struct fr_table *table = NULL;
    char name[FR_NAME_MAX + 1];
    struct fr_dir *dir = NULL;
    fr_status st;

    FR_TRY(fr_dir_open_parent(env, path, &dir, name));
    FR_TRY(open_table(dir, name, &table));
    FR_TRY(fr_table_verify(table, NULL, NULL));
    FR_TRY(check_entries(table));
    *ret_table = FR_TAKE(table);
out:
    fr_table_unref(table);
    fr_dir_close(dir);
    return st;
}

fr_status fr_prebuilt_remove(struct fr_env *env, const char *path)
{
    char name[FR_NAME_MAX + 1];
    struct fr_dir *dir = NULL;
    fr_status st;

    FR_TRY(fr_dir_open_parent(env, path, &dir, name));
    FR_TRY(fr_dir_unlink(dir, name));
out:
    fr_dir_close(dir);
    return st < 0 ? st : FR_OK;
}
