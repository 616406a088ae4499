#include "recovery/backup_format.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "lsm/edit_format.h"
#include "lsm/table_format.h"
#include "lsm/value_format.h"

static void put_header(const struct fr_backup_list *list, size_t edit_size, struct fr_buf *to)
{
    uint8_t header[FR_BACKUP_HEADER_SIZE] = {0};
    uint64_t size = FR_BACKUP_HEADER_SIZE + list->file_count * FR_BACKUP_FILE_SIZE + edit_size +
                    FR_BACKUP_HASH_SIZE;

    fr_put_u64(header, FR_BACKUP_MAGIC);
    fr_put_u32(header + 8, FR_BACKUP_VERSION);
    memcpy(header + 16, list->store, FR_STORE_ID_SIZE);
    fr_put_u64(header + 32, list->generation);
    fr_put_u64(header + 40, list->created_us);
    fr_put_u64(header + 48, list->last_seq);
    fr_put_u64(header + 56, list->next_number);
    fr_put_u64(header + 64, list->file_count);
    fr_put_u64(header + 72, edit_size);
    fr_put_u64(header + 80, size);
    fr_buf_append(to, header, sizeof(header));
}

static void put_file(const struct fr_backup_file *file, struct fr_buf *to)
{
    uint8_t bytes[FR_BACKUP_FILE_SIZE];

    fr_put_u32(bytes, file->kind);
    fr_put_u32(bytes + 4, file->footer_crc);
    fr_put_u64(bytes + 8, file->number);
    fr_put_u64(bytes + 16, file->size);
    fr_put_u64(bytes + 24, file->hash.low);
    fr_put_u64(bytes + 32, file->hash.high);
    fr_buf_append(to, bytes, sizeof(bytes));
}

static struct fr_hash128 hash_of(fr_slice bytes)
{
    struct fr_hash128_state state;

    fr_hash128_init(&state);
    fr_hash128_add(&state, bytes.data, bytes.size);
    return fr_hash128_get(&state);
}

void fr_backup_list_put(const struct fr_backup_list *list, const struct fr_backup_file *files,
        fr_slice edit, struct fr_buf *to)
{
    uint8_t hash[FR_BACKUP_HASH_SIZE];
    size_t start = to->size;

    put_header(list, edit.size, to);
    for (uint64_t i = 0; i < list->file_count; i++)
        put_file(&files[i], to);
    fr_buf_append(to, edit.data, edit.size);
    if (to->failed) return;
    struct fr_hash128 all = hash_of(fr_slice_of(to->data + start, to->size - start));
    fr_put_u64(hash, all.low);
    fr_put_u64(hash + 8, all.high);
    fr_buf_append(to, hash, sizeof(hash));
}

struct fr_backup_file fr_backup_list_file(const struct fr_backup_list *list, uint64_t index)
{
    const uint8_t *at = list->files + index * FR_BACKUP_FILE_SIZE;

    return (struct fr_backup_file){
            .kind = fr_get_u32(at),
            .footer_crc = fr_get_u32(at + 4),
            .number = fr_get_u64(at + 8),
            .size = fr_get_u64(at + 16),
            .hash = {.low = fr_get_u64(at + 24), .high = fr_get_u64(at + 32)},
    };
}

size_t fr_backup_footer_size(enum fr_backup_kind kind)
{
    return kind == FR_BACKUP_TABLE ? FR_TABLE_FOOTER_SIZE : FR_VALUE_FOOTER_SIZE;
}

enum fr_file_kind fr_backup_file_kind(enum fr_backup_kind kind)
{
    return kind == FR_BACKUP_TABLE ? FR_FILE_TABLE : FR_FILE_VALUES;
}

/* --- Reading --- */

static bool is_before(const struct fr_backup_file *a, const struct fr_backup_file *b)
{
    return a->kind < b->kind || (a->kind == b->kind && a->number < b->number);
}

static fr_status check_files(struct fr_backup_list *list, const char *path)
{
    struct fr_backup_file before = {0};

    list->file_bytes = 0;
    for (uint64_t i = 0; i < list->file_count; i++) {
        struct fr_backup_file file = fr_backup_list_file(list, i);

        if ((file.kind != FR_BACKUP_TABLE && file.kind != FR_BACKUP_VALUES) || file.number == 0 ||
                file.number >= list->next_number || !is_before(&before, &file) ||
                file.size < fr_backup_footer_size(file.kind) || file.size > INT64_MAX ||
                __builtin_add_overflow(list->file_bytes, file.size, &list->file_bytes))
            return FR_FAIL(FR_ERR_CORRUPT,
                    "%s: file %" PRIu64 " of the list at %" PRIu64 " cannot be one", path, i,
                    FR_BACKUP_HEADER_SIZE + i * FR_BACKUP_FILE_SIZE);
        before = file;
    }
    return FR_OK;
}

/* What the edit says of its files against what the list says of them. */
struct edit_check {
    const struct fr_backup_list *list;
    const char *path;
    uint64_t found;
    bool reset;
};

static uint64_t find_file(const struct fr_backup_list *list, enum fr_backup_kind kind,
        uint64_t number)
{
    const struct fr_backup_file wanted = {.kind = kind, .number = number};
    uint64_t low = 0, high = list->file_count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct fr_backup_file file = fr_backup_list_file(list, middle);
        if (is_before(&file, &wanted))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static fr_status check_one(struct edit_check *check, enum fr_backup_kind kind, uint64_t number,
        uint64_t size, const uint8_t *hash)
{
    uint64_t index = find_file(check->list, kind, number);
    struct fr_backup_file file = {0};

    if (index < check->list->file_count) file = fr_backup_list_file(check->list, index);
    if (!check->reset || file.kind != kind || file.number != number || file.size != size ||
            file.hash.low != fr_get_u64(hash) || file.hash.high != fr_get_u64(hash + 8))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the version has another file %" PRIu64 " than the list",
                check->path, number);
    check->found++;
    return FR_OK;
}

static fr_status on_reset(void *ctx)
{
    struct edit_check *check = ctx;

    if (check->reset) return FR_FAIL(FR_ERR_CORRUPT, "%s: two versions", check->path);
    check->reset = true;
    return FR_OK;
}

static fr_status on_table(void *ctx, unsigned level, const struct fr_edit_table *table)
{
    (void)level;
    return check_one(ctx, FR_BACKUP_TABLE, table->number, table->size, table->hash);
}

static fr_status on_values(void *ctx, const struct fr_edit_values *values)
{
    return check_one(ctx, FR_BACKUP_VALUES, values->number, values->size, values->hash);
}

static fr_status not_here(struct edit_check *check)
{
    return FR_FAIL(FR_ERR_CORRUPT, "%s: the version has a field that does not belong there",
            check->path);
}

static fr_status on_number(void *ctx, uint64_t number)
{
    (void)number;
    return not_here(ctx);
}

static fr_status on_log(void *ctx, const struct fr_edit_log *log)
{
    (void)log;
    return not_here(ctx);
}

static fr_status on_drop_table(void *ctx, unsigned level, uint64_t number)
{
    (void)level;
    (void)number;
    return not_here(ctx);
}

static fr_status check_edit(const struct fr_backup_list *list, const char *path)
{
    static const struct fr_edit_visitor visitor = {.reset = on_reset,
            .next_file = on_number,
            .last_seq = on_number,
            .log = on_log,
            .add_table = on_table,
            .drop_table = on_drop_table,
            .add_values = on_values,
            .drop_values = on_number};
    struct edit_check check = {.list = list, .path = path};
    fr_status st;

    FR_TRY(fr_edit_read(list->edit, &visitor, &check));
    if (!check.reset || check.found != list->file_count)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the version has other files than the list", path);
out:
    return st;
}

/* What the header says of sizes is compared with what there is before anything is believed. */
fr_status fr_backup_list_open(fr_slice bytes, const char *path, struct fr_backup_list *list)
{
    const uint8_t *at = bytes.data;

    if (bytes.size < FR_BACKUP_HEADER_SIZE + FR_BACKUP_HASH_SIZE ||
            fr_get_u64(at) != FR_BACKUP_MAGIC)
        return FR_FAIL(FR_ERR_FOREIGN, "%s: is no list of a backup", path);
    if (fr_get_u32(at + 8) != FR_BACKUP_VERSION || fr_get_u32(at + 12) != 0)
        return FR_FAIL(FR_ERR_TOO_NEW, "%s: version %" PRIu32 ", features %" PRIx32, path,
                fr_get_u32(at + 8), fr_get_u32(at + 12));
    memcpy(list->store, at + 16, FR_STORE_ID_SIZE);
    list->generation = fr_get_u64(at + 32);
    list->created_us = fr_get_u64(at + 40);
    list->last_seq = fr_get_u64(at + 48);
    list->next_number = fr_get_u64(at + 56);
    list->file_count = fr_get_u64(at + 64);
    uint64_t edit_size = fr_get_u64(at + 72);
    uint64_t room = bytes.size - FR_BACKUP_HEADER_SIZE - FR_BACKUP_HASH_SIZE;
    if (fr_get_u64(at + 80) != bytes.size || list->file_count > room / FR_BACKUP_FILE_SIZE ||
            edit_size != room - list->file_count * FR_BACKUP_FILE_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: is %zu bytes, of a list of %" PRIu64 " files", path,
                bytes.size, list->file_count);
    if (list->generation == 0 || list->last_seq > FR_SEQ_MAX || fr_get_u64(at + 88) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the header at 0 cannot be one", path);
    list->files = at + FR_BACKUP_HEADER_SIZE;
    list->edit =
            fr_slice_of(list->files + list->file_count * FR_BACKUP_FILE_SIZE, (size_t)edit_size);
    return FR_OK;
}

fr_status fr_backup_list_get(fr_slice bytes, const char *path, struct fr_backup_list *ret_list)
{
    struct fr_backup_list list = {0};
    fr_status st;

    FR_TRY(fr_backup_list_open(bytes, path, &list));
    size_t end = bytes.size - FR_BACKUP_HASH_SIZE;
    struct fr_hash128 hash = hash_of(fr_slice_of(bytes.data, end));
    if (hash.low != fr_get_u64(bytes.data + end) || hash.high != fr_get_u64(bytes.data + end + 8))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: what is before %zu does not match its hash", path, end);
    FR_TRY(check_files(&list, path));
    FR_TRY(check_edit(&list, path));
    *ret_list = list;
out:
    return st;
}

/* --- Names --- */

void fr_backup_file_name(const struct fr_backup_file *file,
        char ret_name[static FR_BACKUP_NAME_SIZE])
{
    (void)snprintf(ret_name, FR_BACKUP_NAME_SIZE, "%016" PRIx64 "%016" PRIx64 ".%s",
            file->hash.high, file->hash.low, file->kind == FR_BACKUP_TABLE ? "table" : "values");
}

void fr_backup_list_name(uint64_t generation, char ret_name[static FR_BACKUP_NAME_SIZE])
{
    (void)snprintf(ret_name, FR_BACKUP_NAME_SIZE, "%06" PRIu64 ".backup", generation);
}

/* There is one way to write a name: what is read is written again and compared. */
bool fr_backup_list_name_parse(const char *name, uint64_t *ret_generation)
{
    char again[FR_BACKUP_NAME_SIZE];
    uint64_t generation = 0;
    const char *at = name;

    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(generation, (uint64_t)10, &generation) ||
                __builtin_add_overflow(generation, (uint64_t)(*at - '0'), &generation))
            return false;
    if (generation == 0) return false;
    fr_backup_list_name(generation, again);
    if (strcmp(again, name) != 0) return false;
    *ret_generation = generation;
    return true;
}
