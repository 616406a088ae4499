/*
 * db_options.c - the one table of options: name, range and meaning of each. It reads them from
 * text, prints and lists them, and judges those that were set in the struct.
 */
#include <inttypes.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/human.h"
#include "base/status.h"
#include "db/options.h"
#include "freshet/db.h"

enum kind { KIND_BOOL, KIND_SIZE64, KIND_SIZE32, KIND_COUNT32, KIND_SYNC, KIND_COMPRESSION };

struct option {
    const char *name;
    enum kind kind;
    bool changeable;  /* while the store is open */
    bool zero;        /* also 0, which means something of its own */
    size_t offset;    /* in struct fr_db_options */
    uint64_t least;   /* numbers only */
    uint64_t most;    /* of 32 bits at most for the kinds that say so */
    uint64_t step;    /* a multiple of this; 0: any */
    const char *help; /* a line */
};

#define AT(field) offsetof(struct fr_db_options, field)
#define KIB       ((uint64_t)1 << 10)
#define MIB       ((uint64_t)1 << 20)
#define GIB       ((uint64_t)1 << 30)
#define TIB       ((uint64_t)1 << 40)

static const struct option table[] = {
        {.name = "create",
                .kind = KIND_BOOL,
                .offset = AT(create),
                .help = "make the store if there is none"},
        {.name = "must_be_new",
                .kind = KIND_BOOL,
                .offset = AT(must_be_new),
                .help = "fail if there is a store"},
        {.name = "read_only",
                .kind = KIND_BOOL,
                .offset = AT(read_only),
                .help = "take no lock and write nothing"},
        {.name = "sync",
                .kind = KIND_SYNC,
                .changeable = true,
                .offset = AT(sync),
                .help = "how durable writes are that do not say"},
        {.name = "memory_budget",
                .kind = KIND_SIZE64,
                .changeable = true,
                .offset = AT(memory_budget),
                .least = MIB,
                .most = 64 * TIB,
                .help = "for all that the store holds in memory"},
        {.name = "memory_budget_max",
                .kind = KIND_SIZE64,
                .zero = true,
                .offset = AT(memory_budget_max),
                .least = MIB,
                .most = 64 * TIB,
                .help = "what the budget may be raised to with full effect; 0: as it is at "
                        "opening"},
        {.name = "block_size",
                .kind = KIND_SIZE32,
                .changeable = true,
                .offset = AT(block_size),
                .least = 4 * KIB,
                .most = 64 * KIB,
                .help = "of tables, before compression"},
        {.name = "value_threshold",
                .kind = KIND_SIZE32,
                .changeable = true,
                .zero = true,
                .offset = AT(value_threshold),
                .least = 1,
                .most = 256 * MIB,
                .help = "values from this size lie in value files; 0: never"},
        {.name = "compression",
                .kind = KIND_COMPRESSION,
                .changeable = true,
                .offset = AT(compression),
                .help = "of new tables and value files"},
        {.name = "dictionary_size",
                .kind = KIND_SIZE32,
                .changeable = true,
                .zero = true,
                .offset = AT(dictionary_size),
                .least = KIB,
                .most = 64 * KIB,
                .help = "of a table at the bottom, for zstd, where it pays; 0: none"},
        {.name = "filter_bits",
                .kind = KIND_COUNT32,
                .changeable = true,
                .zero = true,
                .offset = AT(filter_bits),
                .least = 1,
                .most = 40,
                .help = "per key; 0: no filters"},
        {.name = "memtable_size",
                .kind = KIND_SIZE64,
                .changeable = true,
                .zero = true,
                .offset = AT(memtable_size),
                .least = 16 * KIB,
                .most = 16 * GIB,
                .help = "at which a memtable is full; 0: a share of the budget"},
        {.name = "log_segment_size",
                .kind = KIND_SIZE64,
                .offset = AT(log_segment_size),
                .least = 16 * KIB,
                .most = 4 * GIB,
                .step = 4 * KIB,
                .help = "of the log's files"},
        {.name = "table_size",
                .kind = KIND_SIZE64,
                .changeable = true,
                .offset = AT(table_size),
                .least = 16 * KIB,
                .most = 64 * GIB,
                .help = "of a table below level 0"},
        {.name = "verify_tables",
                .kind = KIND_BOOL,
                .changeable = true,
                .offset = AT(verify_tables),
                .help = "read new tables back before they are used"},
        {.name = "direct_reads",
                .kind = KIND_BOOL,
                .offset = AT(direct_reads),
                .help = "read tables and value files past the page cache"},
        {.name = "disk_reserve",
                .kind = KIND_SIZE64,
                .changeable = true,
                .zero = true,
                .offset = AT(disk_reserve),
                .least = 1,
                .most = 64 * TIB,
                .help = "free space that only deletes may use; 0: none"},
        {.name = "background_rate",
                .kind = KIND_SIZE64,
                .changeable = true,
                .zero = true,
                .offset = AT(background_rate),
                .least = 64 * KIB,
                .most = 64 * TIB,
                .help = "bytes a second that flush and compaction write; 0: no limit"},
        {.name = "scrub_interval",
                .kind = KIND_COUNT32,
                .changeable = true,
                .zero = true,
                .offset = AT(scrub_interval),
                .least = 1,
                .most = 366 * 24 * 3600,
                .help = "seconds from one check of all files in the background to the next; 0: "
                        "none"},
        {.name = "scrub_rate",
                .kind = KIND_SIZE64,
                .changeable = true,
                .zero = true,
                .offset = AT(scrub_rate),
                .least = 64 * KIB,
                .most = 64 * TIB,
                .help = "bytes a second that such a check reads; 0: no limit"},
};

static const char *const sync_words[] = {"device", "os", "none"};
static const char *const compression_words[] = {"zstd", "none"};

void fr_db_options_init(struct fr_db_options *options)
{
    /* Gaps too, so that two of them can be compared as bytes. */
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
    options->create = true;
    options->sync = FR_SYNC_DEVICE;
    options->memory_budget = 256 * MIB;
    options->block_size = 8192;
    options->value_threshold = 256;
    options->compression = FR_COMPRESSION_ZSTD;
    options->filter_bits = 10;
    options->log_segment_size = 16 * MIB;
    options->table_size = 64 * MIB;
    options->verify_tables = true;
    options->disk_reserve = 64 * MIB;
    options->dictionary_size = 16 * KIB;
    options->scrub_rate = 8 * MIB;
}

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; name != NULL && i < FR_ARRAY_COUNT(table); i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

static bool is_number(const struct option *option)
{
    return option->kind == KIND_SIZE64 || option->kind == KIND_SIZE32 ||
           option->kind == KIND_COUNT32;
}

/* The words of an option that has words; NULL for numbers and booleans. */
static const char *const *words_of(const struct option *option, size_t *ret_count)
{
    if (option->kind == KIND_SYNC) {
        *ret_count = FR_ARRAY_COUNT(sync_words);
        return sync_words;
    }
    *ret_count = option->kind == KIND_COMPRESSION ? FR_ARRAY_COUNT(compression_words) : 0;
    return *ret_count > 0 ? compression_words : NULL;
}

/* ---- Values, whatever their type: booleans and words by their number ---- */

static uint64_t load(const struct fr_db_options *options, const struct option *option)
{
    const void *at = (const char *)options + option->offset;

    switch (option->kind) {
    case KIND_BOOL:
        return *(const uint8_t *)at; /* it may be none, and reading it as one is undefined */
    case KIND_SIZE64:
        return *(const uint64_t *)at;
    case KIND_SIZE32:
    case KIND_COUNT32:
        return *(const uint32_t *)at;
    case KIND_SYNC:
        return (uint64_t) * (const fr_sync *)at;
    case KIND_COMPRESSION:
        return (uint64_t) * (const fr_compression *)at;
    }
    return 0;
}

static void store(struct fr_db_options *options, const struct option *option, uint64_t value)
{
    void *at = (char *)options + option->offset;

    switch (option->kind) {
    case KIND_BOOL:
        *(bool *)at = value != 0;
        break;
    case KIND_SIZE64:
        *(uint64_t *)at = value;
        break;
    case KIND_SIZE32:
    case KIND_COUNT32:
        *(uint32_t *)at = (uint32_t)value;
        break;
    case KIND_SYNC:
        *(fr_sync *)at = (fr_sync)value;
        break;
    case KIND_COMPRESSION:
        *(fr_compression *)at = (fr_compression)value;
        break;
    }
}

static bool in_range(const struct option *option, uint64_t value)
{
    size_t count;

    if (option->kind == KIND_BOOL) return value <= 1;
    if (words_of(option, &count) != NULL) return value < count;
    if (value == 0 && option->zero) return true;
    return value >= option->least && value <= option->most &&
           (option->step == 0 || value % option->step == 0);
}

/* ---- Text ---- */

/* A number as it can be read back: a size only with a unit that divides it. */
static void print_number(struct fr_buf *to, const struct option *option, uint64_t value)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;

    if (option->kind == KIND_COUNT32) {
        fr_buf_printf(to, "%" PRIu64, value);
        return;
    }
    while (value != 0 && value % 1024 == 0 && unit + 1 < FR_ARRAY_COUNT(units))
        value /= 1024, unit++;
    fr_buf_printf(to, "%" PRIu64 " %s", value, units[unit]);
}

static void print_value(struct fr_buf *to, const struct option *option, uint64_t value)
{
    size_t count;
    const char *const *words = words_of(option, &count);

    if (option->kind == KIND_BOOL)
        fr_buf_printf(to, "%s", value != 0 ? "true" : "false");
    else if (words != NULL)
        fr_buf_printf(to, "%s", value < count ? words[value] : "?");
    else
        print_number(to, option, value);
}

static void print_range(struct fr_buf *to, const struct option *option)
{
    size_t count;
    const char *const *words = words_of(option, &count);

    if (option->kind == KIND_BOOL) fr_buf_printf(to, "true or false");
    for (size_t i = 0; i < count; i++)
        fr_buf_printf(to, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", words[i]);
    if (!is_number(option)) return;
    if (option->zero) fr_buf_printf(to, "0, or ");
    print_number(to, option, option->least);
    fr_buf_printf(to, " to ");
    print_number(to, option, option->most);
    if (option->step == 0) return;
    fr_buf_printf(to, " in steps of ");
    print_number(to, option, option->step);
}

/* value is what was given, as it was given. */
static fr_status refuse(const struct option *option, const char *value, int length)
{
    struct fr_buf range = FR_BUF_EMPTY;

    print_range(&range, option);
    fr_buf_u8(&range, 0);
    fr_status st = FR_FAIL(FR_ERR_MISUSE, "option %s: \"%.*s\" is not %s", option->name,
            FR_MIN(length, 40), value, range.failed ? "in its range" : (const char *)range.data);
    fr_buf_deinit(&range);
    return st;
}

static bool is_word(fr_slice value, const char *word)
{
    return fr_slice_equal(value, fr_slice_of_text(word));
}

/* The place of a word in a list; count if it is not there. */
static size_t find_word(const char *const *words, size_t count, fr_slice value)
{
    for (size_t i = 0; i < count; i++)
        if (is_word(value, words[i])) return i;
    return count;
}

static bool read_number(const struct option *option, fr_slice text, uint64_t *ret_value)
{
    /* Counts have no units, or 10 K filter bits would be a number. */
    for (size_t i = 0; option->kind == KIND_COUNT32 && i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9') return false;
    return fr_human_parse_size(text, ret_value) == FR_OK;
}

static bool read_value(const struct option *option, fr_slice text, uint64_t *ret_value)
{
    static const char *const booleans[] = {"false", "true", "no", "yes", "0", "1", "off", "on"};
    size_t count, at;
    const char *const *words = words_of(option, &count);

    if (option->kind == KIND_BOOL) {
        at = find_word(booleans, FR_ARRAY_COUNT(booleans), text);
        *ret_value = at % 2;
        return at < FR_ARRAY_COUNT(booleans);
    }
    if (words != NULL) {
        *ret_value = find_word(words, count, text);
        return *ret_value < count;
    }
    return read_number(option, text, ret_value) && in_range(option, *ret_value);
}

static fr_status set_option(struct fr_db_options *options, const struct option *option,
        fr_slice text)
{
    uint64_t value;

    if (!read_value(option, text, &value))
        return refuse(option, (const char *)text.data, (int)FR_MIN(text.size, (size_t)INT32_MAX));
    store(options, option, value);
    return FR_OK;
}

static fr_status no_such(const char *name, int length)
{
    return FR_FAIL(FR_ERR_MISUSE, "there is no option \"%.*s\"", FR_MIN(length, 40), name);
}

fr_status fr_db_options_set(struct fr_db_options *options, const char *name, const char *value)
{
    const struct option *option = find_option(name);

    if (options == NULL || name == NULL || value == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_options_set: an argument is NULL");
    if (option == NULL) return no_such(name, (int)strnlen(name, 64));
    return set_option(options, option, fr_slice_of_text(value));
}

/* ---- Many at once ---- */

static fr_slice trim(fr_slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t' || text.data[0] == '\r'))
        text.data++, text.size--;
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t' ||
                                    text.data[text.size - 1] == '\r'))
        text.size--;
    return text;
}

/* What stands before a character, which is taken off with it; all of the text if it is not there.
 */
static fr_slice cut(fr_slice *text, const char *at)
{
    size_t size = 0;

    while (size < text->size && strchr(at, text->data[size]) == NULL)
        size++;
    fr_slice head = fr_slice_of(text->data, size);
    size_t gone = FR_MIN(size + 1, text->size);
    *text = fr_slice_of(text->data + gone, text->size - gone);
    return head;
}

static fr_status parse_one(struct fr_db_options *options, fr_slice line, size_t number)
{
    char name_text[64];
    fr_slice value = line;
    fr_slice name = trim(cut(&value, "="));

    if (name.size == line.size || name.size >= sizeof(name_text))
        return FR_FAIL(FR_ERR_MISUSE, "option %zu: \"%.*s\" is not name = value", number,
                (int)FR_MIN(line.size, (size_t)40), (const char *)line.data);
    memcpy(name_text, name.data, name.size);
    name_text[name.size] = '\0';
    const struct option *option = find_option(name_text);
    if (option == NULL) return no_such(name_text, (int)name.size);
    return set_option(options, option, trim(value));
}

fr_status fr_db_options_parse(struct fr_db_options *options, const char *text)
{
    struct fr_db_options parsed;
    fr_slice rest;
    fr_status st = FR_OK;

    if (options == NULL || text == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_options_parse: an argument is NULL");
    parsed = *options;
    rest = fr_slice_of_text(text);
    for (size_t number = 1; rest.size > 0; number++) {
        fr_slice line = cut(&rest, ",;\n");
        line = trim(cut(&line, "#"));
        if (line.size > 0) FR_TRY(parse_one(&parsed, line, number));
    }
    *options = parsed;
out:
    return st;
}

fr_status fr_db_options_print(const struct fr_db_options *options, char *to, size_t room,
        size_t *ret_size)
{
    struct fr_buf text = FR_BUF_EMPTY;

    if (options == NULL || (to == NULL && room > 0))
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_options_print: an argument is NULL");
    for (size_t i = 0; i < FR_ARRAY_COUNT(table); i++) {
        fr_buf_printf(&text, "%s = ", table[i].name);
        print_value(&text, &table[i], load(options, &table[i]));
        fr_buf_u8(&text, '\n');
    }
    return fr_db_give_text(&text, to, room, ret_size);
}

fr_status fr_db_options_get(const struct fr_db_options *options, const char *name, char *to,
        size_t room, size_t *ret_size)
{
    const struct option *option = find_option(name);
    struct fr_buf text = FR_BUF_EMPTY;

    if (options == NULL || name == NULL || (to == NULL && room > 0))
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_options_get: an argument is NULL");
    if (option == NULL) return no_such(name, (int)strnlen(name, 64));
    print_value(&text, option, load(options, option));
    return fr_db_give_text(&text, to, room, ret_size);
}

fr_status fr_db_give_text(struct fr_buf *text, char *to, size_t room, size_t *ret_size)
{
    fr_status st = fr_buf_status(text);
    size_t size = text->size;

    if (st == FR_OK && room > 0) {
        size_t fits = FR_MIN(size, room - 1);
        if (fits > 0) memcpy(to, text->data, fits);
        to[fits] = '\0';
    }
    if (st == FR_OK && ret_size != NULL) *ret_size = size;
    fr_buf_deinit(text);
    return st;
}

/* ---- Telling about them ---- */

const char *fr_db_options_name(size_t index, const char **ret_help)
{
    if (index >= FR_ARRAY_COUNT(table)) return NULL;
    *ret_help = table[index].help;
    return table[index].name;
}

static const char *type_of(const struct option *option)
{
    if (option->kind == KIND_BOOL) return "bool";
    if (option->kind == KIND_COUNT32) return "count";
    return is_number(option) ? "size" : "word";
}

bool fr_db_option_info_get(size_t index, struct fr_db_option_info *ret_info)
{
    struct fr_db_options defaults;
    struct fr_buf text = FR_BUF_EMPTY;

    if (ret_info == NULL || ret_info->size != sizeof(*ret_info) || index >= FR_ARRAY_COUNT(table))
        return false;
    const struct option *option = &table[index];
    *ret_info = (struct fr_db_option_info){.size = sizeof(*ret_info),
            .name = option->name,
            .type = type_of(option),
            .help = option->help,
            .changeable = option->changeable};
    fr_db_options_init(&defaults);
    print_value(&text, option, load(&defaults, option));
    if (fr_db_give_text(&text, ret_info->preset, sizeof(ret_info->preset), NULL) < 0) return false;
    print_range(&text, option);
    return fr_db_give_text(&text, ret_info->range, sizeof(ret_info->range), NULL) == FR_OK;
}

/* ---- Judging ---- */

fr_status fr_db_option_check_changeable(const char *name)
{
    const struct option *option = find_option(name);

    if (name == NULL) return FR_FAIL(FR_ERR_MISUSE, "an option without a name");
    if (option == NULL) return no_such(name, (int)strnlen(name, 64));
    if (option->changeable) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE, "option %s cannot be changed while the store is open", name);
}

fr_status fr_db_options_check(const struct fr_db_options *options)
{
    struct fr_buf text = FR_BUF_EMPTY;

    for (size_t i = 0; i < FR_ARRAY_COUNT(table); i++) {
        uint64_t value = load(options, &table[i]);
        if (in_range(&table[i], value)) continue;
        if (is_number(&table[i]))
            print_number(&text, &table[i], value);
        else
            fr_buf_printf(&text, "%" PRIu64, value);
        fr_status st = refuse(&table[i], (const char *)text.data, (int)text.size);
        fr_buf_deinit(&text);
        return st;
    }
    return FR_OK;
}
