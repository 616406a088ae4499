/* dump_find.c - every entry of a key in the files of a store. */
#include "tools/dump_find.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "io/dir.h"
#include "io/file.h"
#include "lsm/manifest.h"
#include "lsm/place.h"
#include "lsm/table.h"
#include "lsm/table_parts.h"
#include "wal/file_name.h"

struct find {
    struct fr_dump *d;
    struct fr_dir *dir;
    const char *path;
    fr_slice key;
    struct fr_obsolete obsolete;
    struct fr_manifest_state manifest;
    bool has_manifest;
};

/* ---- Which tables count ---- */

static void read_manifest(struct find *f)
{
    struct fr_super super;
    fr_status st = fr_super_read(f->dir, &super);

    if (st == FR_OK) st = fr_manifest_replay(f->dir, &super, &f->obsolete, false, &f->manifest);
    f->has_manifest = st == FR_OK;
}

static void tell_level(struct find *f, uint64_t number)
{
    const struct fr_version *version = f->manifest.version;

    if (!f->has_manifest) return;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            if (version->levels[level].tables[i]->meta.number == number) {
                fr_dump_u64(f->d, "level", level);
                return;
            }
    fr_dump_flag(f->d, "obsolete");
}

/* ---- In a table ---- */

static void begin_file(struct find *f, const char *name, const char *kind, uint64_t size)
{
    char path[sizeof(f->d->file_path)];

    (void)snprintf(path, sizeof(path), "%s/%s", f->path, name);
    fr_dump_file(f->d, path, kind, size);
}

static void begin_table(struct find *f, const struct fr_table *table)
{
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_TABLE, fr_table_id(table)->number, name);
    begin_file(f, name, "table", fr_table_file_size(table));
}

/* The record in the value file that an entry points to. */
static void tell_value(struct find *f, const struct fr_table *table, const struct fr_entry *entry)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_file *file = NULL;
    struct fr_file_info info = {.size = 0};
    struct fr_place place;

    if (!(entry->flags & FR_ENTRY_PLACED) || !fr_place_get(entry->value, &place)) return;
    fr_file_name_format(FR_FILE_VALUES, FR_MAX(place.file, (uint64_t)1), name);
    fr_status st = fr_file_open(f->dir, name, 0, &file);
    if (st == FR_OK) st = fr_file_info_get(file, &info);
    begin_file(f, name, "values", st == FR_OK ? info.size : FR_DUMP_NO_SIZE);
    if (st == FR_OK)
        fr_dump_value_at(f->d, file, info.size, place.offset);
    else
        fr_dump_damage(f->d, place.offset);
    fr_file_close(file);
    begin_table(f, table); /* again, if there is more of it */
}

static void tell_entry(struct find *f, const struct fr_table *table, const struct fr_entry *entry,
        uint64_t offset)
{
    fr_dump_begin(f->d, offset, "entry");
    tell_level(f, fr_table_id(table)->number);
    fr_dump_entry(f->d, entry);
    fr_dump_done(f->d);
    tell_value(f, table, entry);
}

/* The entries of the key in one block. false: the next one has none. */
static bool find_in_block(struct find *f, struct fr_table *table, const struct fr_table_spot *spot)
{
    struct fr_table_block *block = NULL;
    struct fr_block_iter it;
    bool more = spot->goes_on;

    fr_block_iter_init(&it);
    fr_status st = fr_table_block_read(table, &spot->handle, true, &block);
    if (st == FR_OK) st = fr_block_iter_set(&it, &block->block);
    if (st < 0) fr_dump_damage(f->d, spot->handle.offset);
    if (st == FR_OK) {
        fr_iter_seek(&it.iter, f->key, FR_SEQ_MAX);
        while (fr_iter_next(&it.iter) == FR_OK && !fr_dump_full(f->d)) {
            more = fr_slice_equal(it.iter.entry.key, f->key);
            if (!more) break;
            tell_entry(f, table, &it.iter.entry, spot->handle.offset);
        }
    }
    fr_iter_close(&it.iter);
    fr_table_block_release(table, block);
    return more && spot->goes_on;
}

static void find_ranges(struct find *f, const struct fr_table *table)
{
    size_t count;
    const struct fr_range *ranges = fr_table_ranges(table, &count);

    for (size_t i = 0; i < count; i++) {
        struct fr_entry entry = {.key = ranges[i].start,
                .value = ranges[i].end,
                .seq = ranges[i].seq,
                .kind = FR_KIND_DELETE_RANGE};
        if (fr_dump_concerns(f->d, &entry)) tell_entry(f, table, &entry, fr_table_file_size(table));
    }
}

static void find_in_open_table(struct find *f, struct fr_table *table)
{
    struct fr_table_spot spot;
    fr_status st = fr_table_locate(table, f->key, FR_SEQ_MAX, &spot);
    bool more = st == FR_OK;

    while (more) {
        more = find_in_block(f, table, &spot) && spot.index + 1 < fr_table_block_count(table);
        if (more) spot = fr_table_spot_at(table, spot.index + 1);
    }
    find_ranges(f, table);
}

/* Whose table it is it says itself: SUPER may be damaged. */
static fr_status read_id(struct fr_file *file, uint64_t size, struct fr_file_id *ret_id)
{
    uint8_t bytes[FR_TABLE_FOOTER_SIZE];
    struct fr_table_footer footer;
    fr_status st;

    if (size < FR_TABLE_HEADER_SIZE + FR_TABLE_FOOTER_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: %" PRIu64 " bytes are too few for a table",
                fr_file_path(file), size);
    FR_TRY(fr_file_read_exact(file, size - sizeof(bytes), bytes, sizeof(bytes)));
    FR_TRY(fr_table_footer_decode(bytes, fr_file_path(file), size, &footer));
    *ret_id = footer.id;
out:
    return st;
}

/* By its index; if it cannot be opened all of it is looked through. */
static void find_in_table(struct find *f, const char *name, struct fr_file *file, uint64_t size)
{
    struct fr_table *table = NULL;
    struct fr_file_id id;
    fr_status st = read_id(file, size, &id);

    if (st == FR_OK) st = fr_table_open_as(f->dir, name, &id, NULL, &table);
    if (st == FR_OK) {
        find_in_open_table(f, table);
    } else {
        fr_dump_table(f->d, file, size);
    }
    fr_table_unref(table);
}

/* ---- In all files ---- */

static void find_in_file(struct find *f, enum fr_file_kind kind, uint64_t number, const char *name)
{
    struct fr_file *file = NULL;
    struct fr_file_info info = {.size = 0};
    fr_status st = fr_file_open(f->dir, name, 0, &file);

    if (st == FR_OK) st = fr_file_info_get(file, &info);
    if (st == FR_ERR_MISSING) return; /* gone since the directory was read */
    if (st < 0) {
        fr_dump_damage(f->d, 0);
    } else if (kind == FR_FILE_TABLE) {
        begin_file(f, name, "table", info.size);
        find_in_table(f, name, file, info.size);
    } else {
        begin_file(f, name, "log", info.size);
        fr_dump_log(f->d, file, info.size, number, false);
    }
    fr_file_close(file);
}

static fr_status find_in_files(struct find *f)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    uint64_t number;
    fr_status st;

    FR_TRY(fr_dir_list(f->dir, &names));
    for (size_t i = 0; i < names.count; i++)
        if (fr_file_name_parse(names.names[i], &kind, &number) &&
                (kind == FR_FILE_TABLE || kind == FR_FILE_WAL))
            find_in_file(f, kind, number, names.names[i]);
out:
    fr_dir_names_deinit(&names);
    return st;
}

fr_status fr_dump_find(struct fr_dump *d, struct fr_dir *dir, const char *path, fr_slice key)
{
    struct find f = {.d = d, .dir = dir, .path = path, .key = key};
    struct fr_dump_how how = d->how;

    fr_obsolete_init(&f.obsolete);
    read_manifest(&f);
    d->how.key = key;
    fr_status st = find_in_files(&f);
    d->how = how;
    if (f.has_manifest) fr_version_unref(f.manifest.version);
    fr_obsolete_deinit(&f.obsolete);
    return st;
}
