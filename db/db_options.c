/*
 * db_options.c - the one table of options: defaults, names, and how each is read from text.
 */
#include <inttypes.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/human.h"
#include "base/status.h"
#include "freshet/db.h"

enum kind { KIND_BOOL, KIND_SIZE64, KIND_SIZE32, KIND_SYNC, KIND_COMPRESSION };

struct option {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct fr_db_options */
    const char *help;
};

#define AT(field) offsetof(struct fr_db_options, field)

static const struct option table[] = {
        {"create", KIND_BOOL, AT(create), "make the store if there is none (true)"},
        {"must_be_new", KIND_BOOL, AT(must_be_new), "fail if there is a store (false)"},
        {"read_only", KIND_BOOL, AT(read_only), "take no lock and write nothing (false)"},
        {"sync", KIND_SYNC, AT(sync), "device, os or none: of writes that do not say (device)"},
        {"memory_budget", KIND_SIZE64, AT(memory_budget), "memtables and block cache (256 MiB)"},
        {"block_size", KIND_SIZE32, AT(block_size), "of tables, before compression (8 KiB)"},
        {"value_threshold", KIND_SIZE32, AT(value_threshold),
                "values from this size lie in value files (256 B; 0: never)"},
        {"compression", KIND_COMPRESSION, AT(compression), "zstd or none (zstd)"},
        {"filter_bits", KIND_SIZE32, AT(filter_bits), "per key (10; 0: no filters)"},
        {"memtable_size", KIND_SIZE64, AT(memtable_size), "0 for a share of the budget (0)"},
        {"log_segment_size", KIND_SIZE64, AT(log_segment_size), "of the log's files (16 MiB)"},
        {"table_size", KIND_SIZE64, AT(table_size), "of a table below level 0 (64 MiB)"},
        {"verify_tables", KIND_BOOL, AT(verify_tables), "read new tables back first (true)"},
};

void fr_db_options_init(struct fr_db_options *options)
{
    *options = (struct fr_db_options){
            .size = sizeof(*options),
            .create = true,
            .sync = FR_SYNC_DEVICE,
            .memory_budget = (uint64_t)256 << 20,
            .block_size = 8192,
            .value_threshold = 256,
            .compression = FR_COMPRESSION_ZSTD,
            .filter_bits = 10,
            .log_segment_size = (uint64_t)16 << 20,
            .table_size = (uint64_t)64 << 20,
            .verify_tables = true,
    };
}

const char *fr_db_options_name(size_t index, const char **ret_help)
{
    if (index >= FR_ARRAY_COUNT(table)) return NULL;
    *ret_help = table[index].help;
    return table[index].name;
}

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(table); i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

/* The place of a word in a list; -1 if it is not there. */
static int find_word(const char *const *words, size_t count, const char *value)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], value) == 0) return (int)i;
    return -1;
}

static fr_status set_bool(bool *to, const char *name, const char *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "0", "1", "off", "on"};
    int at = find_word(words, FR_ARRAY_COUNT(words), value);

    if (at < 0) return FR_FAIL(FR_ERR_MISUSE, "%s is true or false, not \"%.40s\"", name, value);
    *to = at % 2 == 1;
    return FR_OK;
}

static fr_status set_sync(fr_sync *to, const char *value)
{
    static const char *const words[] = {"device", "os", "none"};
    int at = find_word(words, FR_ARRAY_COUNT(words), value);

    if (at < 0) return FR_FAIL(FR_ERR_MISUSE, "sync is device, os or none, not \"%.40s\"", value);
    *to = (fr_sync)at;
    return FR_OK;
}

static fr_status set_compression(fr_compression *to, const char *value)
{
    static const char *const words[] = {"zstd", "none"};
    int at = find_word(words, FR_ARRAY_COUNT(words), value);

    if (at < 0) return FR_FAIL(FR_ERR_MISUSE, "compression is zstd or none, not \"%.40s\"", value);
    *to = (fr_compression)at;
    return FR_OK;
}

static fr_status set_size32(uint32_t *to, const char *name, const char *value)
{
    uint64_t size;
    fr_status st;

    FR_TRY(fr_human_parse_size(fr_slice_of_text(value), &size));
    if (size > UINT32_MAX) return FR_FAIL(FR_ERR_MISUSE, "%s: %.40s is too large", name, value);
    *to = (uint32_t)size;
out:
    return st;
}

fr_status fr_db_options_set(struct fr_db_options *options, const char *name, const char *value)
{
    const struct option *option = find_option(name);

    if (option == NULL) return FR_FAIL(FR_ERR_MISUSE, "there is no option \"%.40s\"", name);
    void *at = (char *)options + option->offset;
    switch (option->kind) {
    case KIND_BOOL:
        return set_bool(at, name, value);
    case KIND_SIZE64:
        return fr_human_parse_size(fr_slice_of_text(value), at);
    case KIND_SIZE32:
        return set_size32(at, name, value);
    case KIND_SYNC:
        return set_sync(at, value);
    case KIND_COMPRESSION:
        return set_compression(at, value);
    }
    return FR_ERR_MISUSE;
}
