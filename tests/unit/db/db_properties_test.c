/* db_properties_test.c - what can be known of a store, by name and as a report. */
#define FR_ALLOW_MALLOC
#include "tests/unit/db/test_store.h"

static char path[64];
static struct fr_db *db;

static void set_up(void)
{
    struct fr_db_options options;

    test_store_name(path);
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options,
            "memory_budget=8MiB,memtable_size=256KiB,log_segment_size=256KiB,sync=none"));
    must(fr_db_open(path, &options, &db));
}

static void tear_down(void)
{
    must(fr_db_close(db));
    test_store_remove(path);
}

TestSuite(db_properties, .init = set_up, .fini = tear_down, .timeout = 60);

#define number(name) test_store_number(db, name)

static char *dump(fr_dump_format format)
{
    size_t size, again;

    must(fr_db_dump(db, format, NULL, 0, &size));
    char *text = malloc(size + 1000);
    cr_assert_not_null(text);
    must(fr_db_dump(db, format, text, size + 1000, &again));
    return text;
}

Test(db_properties, have_names_that_occur_once)
{
    const struct fr_db_property_info *one, *other;
    char text[128];

    for (size_t i = 0; (one = fr_db_property_list(i)) != NULL; i++) {
        must(fr_db_property(db, one->name, text, sizeof(text), NULL));
        cr_assert(one->help[0] != '\0');
        for (size_t j = 0; j < i; j++) {
            other = fr_db_property_list(j);
            cr_assert_str_neq(one->name, other->name);
        }
    }
    must_fail(fr_db_property(db, "level7.bytes", text, sizeof(text), NULL), FR_ERR_MISUSE,
            "level7.bytes");
    must_fail(fr_db_property_u64(db, "stall.state", NULL), FR_ERR_MISUSE, "stall.state");
}

Test(db_properties, count_what_was_written)
{
    test_store_fill(db, 0, 300, 100);
    cr_assert_eq(number("memtable.entries"), 300);
    cr_assert_eq(number("seq.last"), 300);
    cr_assert_geq(number("bytes.user"), 300 * 111);
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
    cr_assert_geq(number("flush.count"), 1);
    cr_assert_eq(number("memtable.entries"), 0);
    uint64_t entries = 0;
    for (unsigned level = 0; level < 7; level++) {
        char name[32];
        snprintf(name, sizeof(name), "level%u.entries", level);
        entries += number(name);
    }
    cr_assert_eq(entries, 300);
    cr_assert_gt(number("write_amplification"), 1000);
    cr_assert_eq(number("flush.running"), 0);
    cr_assert_eq(number("background_error"), 0);
}

Test(db_properties, count_what_was_read)
{
    char out[200];
    size_t size;

    test_store_fill(db, 0, 1000, 100);
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
    uint64_t hits = number("cache.hits"), checked = number("filter.checked");
    for (int i = 0; i < 10; i++)
        must(fr_db_get_copy(db, NULL, "key00000500", 11, out, sizeof(out), &size));
    cr_assert_geq(number("cache.hits"), hits + 9);
    cr_assert_geq(number("filter.checked"), checked + 10);
    for (int i = 0; i < 100; i++) {
        struct fr_pinned value;
        size = (size_t)snprintf(out, sizeof(out), "key00000500-%d", i);
        cr_assert_eq(fr_db_get(db, NULL, out, size, &value), FR_NOT_FOUND);
    }
    cr_assert_geq(number("filter.useful"), 80);
}

Test(db_properties, are_a_text)
{
    char *text = dump(FR_DUMP_TEXT);

    for (size_t i = 0; fr_db_property_list(i) != NULL; i++)
        cr_assert_not_null(strstr(text, fr_db_property_list(i)->name));
    free(text);
}

Test(db_properties, are_an_object_of_json)
{
    char *text = dump(FR_DUMP_JSON);
    size_t quotes = 0;

    cr_assert_eq(text[0], '{');
    cr_assert_str_eq(text + strlen(text) - 2, "}\n");
    for (const char *at = text; *at != '\0'; at++)
        quotes += *at == '"';
    cr_assert_eq(quotes % 2, 0);
    cr_assert_not_null(strstr(text, "\"stall.state\": \"none\""));
    cr_assert_null(strstr(text, ",\n}"));
    free(text);
}

/* Each metric is announced once, before its first sample, and has samples in one place only. */
Test(db_properties, are_an_exposition_for_prometheus)
{
    char *text = dump(FR_DUMP_PROMETHEUS), *save = NULL;
    char announced[100] = "";

    for (char *line = strtok_r(text, "\n", &save); line != NULL;
            line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# HELP ", 7) == 0) continue;
        if (strncmp(line, "# TYPE ", 7) == 0) {
            cr_assert_eq(sscanf(line, "# TYPE %99s", announced), 1);
            continue;
        }
        cr_assert(strncmp(line, "freshet_", 8) == 0, "%s", line);
        cr_assert(strncmp(line, announced, strlen(announced)) == 0, "%s after %s", line, announced);
        cr_assert(line[strlen(announced)] == ' ' || line[strlen(announced)] == '{', "%s", line);
    }
    free(text);
}

/* Where nothing goes on, one by one says what all together say. */
Test(db_properties, are_the_same_one_by_one)
{
    static char all[65536], line[300], one[200];
    const struct fr_db_property_info *info;
    size_t size;

    test_store_fill(db, 0, 3000, 300);
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
    for (unsigned i = 0; i < 200; i++) {
        struct fr_pinned value;
        must(fr_db_get(db, NULL, "key00000007", 11, &value));
        fr_pinned_release(&value);
    }
    must(fr_db_dump(db, FR_DUMP_TEXT, all, sizeof(all), &size));
    for (size_t i = 0; (info = fr_db_property_list(i)) != NULL; i++) {
        must(fr_db_property(db, info->name, one, sizeof(one), &size));
        snprintf(line, sizeof(line), "%s %s", info->name, one);
        cr_assert_not_null(strstr(all, line), "%s", line);
    }
    cr_assert_gt(number("level0.tables") + number("level6.tables"), 0);
    cr_assert_gt(number("cache.hits"), 0);
    cr_assert_gt(number("filter.checked"), 0);
    cr_assert_gt(number("latency.get.count"), 0);
    cr_assert_gt(number("memory.total"), 0);
}

Test(db_properties, account_for_all_memory_in_parts)
{
    static const char *const parts[] = {"memory.memtables", "memory.blocks", "memory.cache_slots",
            "memory.tables", "memory.iterators", "memory.jobs", "memory.indexes", "memory.other"};
    uint64_t sum = 0;

    test_store_fill(db, 0, 2000, 100);
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        sum += number(parts[i]);
    cr_assert_eq(sum, number("memory.total"));
}

Test(db_properties, show_memory_within_its_budget)
{
    struct fr_iterator *it;

    for (unsigned round = 0; round < 10; round++) {
        test_store_fill(db, round * 2000, (round + 1) * 2000, 200);
        must(fr_iterator_new(db, NULL, &it));
        while (fr_iterator_next(it) == FR_OK)
            ;
        fr_iterator_free(it);
        cr_assert_leq(number("memory.total"), (uint64_t)9 << 20, "%zu",
                (size_t)number("memory.total"));
    }
}

/* Values that lie apart are cached one by one; so are the blocks that lead to them. */
Test(db_properties, show_cached_values_within_the_budget)
{
    struct fr_pinned value;
    char key[16];

    test_store_fill(db, 0, 30000, 600);
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    for (unsigned i = 0; i < 90000; i++) {
        int size = snprintf(key, sizeof(key), "key%08u", i / 3 * 7919 % 30000);
        must(fr_db_get(db, NULL, key, (size_t)size, &value));
        fr_pinned_release(&value);
    }
    cr_assert_leq(number("memory.total"), (uint64_t)9 << 20);
    cr_assert_geq(number("memory.blocks"), number("cache.bytes"));
    cr_assert_geq(number("cache.bytes"), (uint64_t)2 << 20, "%zu", (size_t)number("cache.bytes"));
}

/* Of a store that began with a large one: what waits for its next memtables goes as well. */
Test(db_properties, show_memtables_give_way_to_a_smaller_budget)
{
    struct fr_db_options options;

    must(fr_db_close(db));
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, "memory_budget=256MiB,sync=none"));
    must(fr_db_open(path, &options, &db));
    test_store_fill(db, 0, 30000, 1000);
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
    cr_assert_gt(number("memory.memtables"), (uint64_t)16 << 20);
    must(fr_db_set_option(db, "memory_budget", "16MiB"));
    cr_assert_leq(number("memory.memtables"), (uint64_t)6 << 20, "%zu",
            (size_t)number("memory.memtables"));
}

Test(db_properties, show_the_cache_give_way_to_a_smaller_budget)
{
    struct fr_iterator *it;

    must(fr_db_set_option(db, "memory_budget", "16MiB"));
    test_store_fill(db, 0, 30000, 200);
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
    must(fr_iterator_new(db, NULL, &it));
    while (fr_iterator_next(it) == FR_OK)
        ;
    fr_iterator_free(it);
    uint64_t before = number("memory.blocks");
    must(fr_db_set_option(db, "memory_budget", "4MiB"));
    cr_assert_lt(number("memory.blocks"), before);
    cr_assert_leq(number("memory.total"), (uint64_t)4 << 20, "%zu", (size_t)number("memory.total"));
}

/* The page shows levelN for all levels. */
Test(db_properties, stand_in_the_documentation)
{
    static char page[1 << 16];
    char quoted[100];
    FILE *file = fopen(DOCS "/observability.md", "r");

    cr_assert_not_null(file);
    size_t size = fread(page, 1, sizeof(page) - 1, file);
    fclose(file);
    cr_assert_lt(size, sizeof(page) - 1);
    for (size_t i = 0; fr_db_property_list(i) != NULL; i++) {
        snprintf(quoted, sizeof(quoted), "| `%s` |", fr_db_property_list(i)->name);
        if (strncmp(quoted + 3, "level", 5) == 0) quoted[8] = 'N';
        cr_assert_not_null(strstr(page, quoted), "%s", quoted);
    }
}
