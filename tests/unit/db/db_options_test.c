/* db_options_test.c - options by name: from text, to text, and while a store is open. */
#define FR_ALLOW_MALLOC
#include "tests/unit/db/test_store.h"

static struct fr_db_options options;

static void set_up(void)
{
    fr_db_options_init(&options);
}

TestSuite(db_options, .init = set_up, .timeout = 60);

Test(db_options, reads_many_at_once)
{
    must(fr_db_options_parse(&options, "memory_budget=1GiB,sync=os; block_size = 16 KiB # a "
                                       "comment\n\n  read_only = yes\r\n"));
    cr_assert_eq(options.memory_budget, (uint64_t)1 << 30);
    cr_assert_eq(options.sync, FR_SYNC_OS);
    cr_assert_eq(options.block_size, 16384);
    cr_assert(options.read_only);
}

Test(db_options, sets_all_or_none)
{
    must_fail(fr_db_options_parse(&options, "memory_budget=1GiB,block_size=3"), FR_ERR_MISUSE,
            "block_size");
    cr_assert_eq(options.memory_budget, (uint64_t)256 << 20);
}

Test(db_options, says_what_is_wrong_with_a_text)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
            {"memory_bugdet=1GiB", "there is no option \"memory_bugdet\""},
            {"memory_budget", "is not name = value"},
            {"=5", "there is no option"},
            {"memory_budget=", "memory_budget"},
            {"memory_budget=many", "memory_budget: \"many\" is not 1 MiB to 64 TiB"},
            {"memory_budget=1", "memory_budget: \"1\""},
            {"memory_budget=-1", "memory_budget"},
            {"memory_budget=99999999999999999999", "memory_budget"},
            {"memory_budget=65TiB", "64 TiB"},
            {"block_size=4095", "4 KiB to 64 KiB"},
            {"block_size=4GiB", "4 KiB to 64 KiB"},
            {"filter_bits=41", "0, or 1 to 40"},
            {"filter_bits=1K", "0, or 1 to 40"},
            {"log_segment_size=16385", "in steps of 4 KiB"},
            {"sync=maybe", "device, os or none"},
            {"sync=OS", "device, os or none"},
            {"compression=lz4", "zstd or none"},
            {"create=perhaps", "true or false"},
            {"sync=os=none", "sync"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        must_fail(fr_db_options_parse(&options, cases[i].text), FR_ERR_MISUSE, cases[i].words);
}

Test(db_options, reads_what_it_has_printed)
{
    struct fr_db_options again;
    char text[4096];
    size_t size;

    must(fr_db_options_parse(&options, "memory_budget=12345678,sync=none,filter_bits=0,create=no"));
    must(fr_db_options_print(&options, text, sizeof(text), &size));
    cr_assert_eq(size, strlen(text));
    fr_db_options_init(&again);
    must(fr_db_options_parse(&again, text));
    cr_assert(memcmp(&options, &again, sizeof(options)) == 0, "%s", text);
}

Test(db_options, cuts_text_at_the_room_there_is)
{
    char text[4] = "xxx";
    size_t size;

    must(fr_db_options_get(&options, "memory_budget", text, sizeof(text), &size));
    cr_assert_str_eq(text, "256");
    cr_assert_eq(size, strlen("256 MiB"));
    must(fr_db_options_get(&options, "memory_budget", NULL, 0, &size));
    must_fail(fr_db_options_get(&options, "memory", text, sizeof(text), &size), FR_ERR_MISUSE,
            "memory");
}

Test(db_options, tells_all_about_each)
{
    struct fr_db_option_info info = {.size = sizeof(info)};
    size_t count = 0;

    for (; fr_db_option_info_get(count, &info); count++) {
        cr_assert(info.name[0] != '\0' && info.help[0] != '\0' && info.range[0] != '\0');
        must(fr_db_options_set(&options, info.name, info.preset));
    }
    cr_assert_geq(count, 14);
    cr_assert_null(fr_db_options_name(count, NULL));
}

Test(db_options, judges_what_was_set_in_the_struct)
{
    struct fr_db *db;
    char path[64];

    test_store_name(path);
    options.block_size = 100;
    must_fail(fr_db_open(path, &options, &db), FR_ERR_MISUSE, "block_size");
    fr_db_options_init(&options);
    options.sync = (fr_sync)77;
    must_fail(fr_db_open(path, &options, &db), FR_ERR_MISUSE, "sync");
    fr_db_options_init(&options);
    memset(&options.create, 2, 1);
    must_fail(fr_db_open(path, &options, &db), FR_ERR_MISUSE, "create");
    cr_assert_eq(rmdir(path), 0); /* nothing was made in it */
}

Test(db_options, takes_the_shorter_struct_of_an_earlier_version)
{
    struct fr_db *db;
    char path[64];

    test_store_name(path);
    options.size = offsetof(struct fr_db_options, memory_budget_max);
    must(fr_db_open(path, &options, &db));
    must(fr_db_close(db));
    options.size = sizeof(options) + 8;
    must_fail(fr_db_open(path, &options, &db), FR_ERR_MISUSE, "fr_db_options_init");
    test_store_remove(path);
}

Test(db_options, changes_an_open_store)
{
    struct fr_db *db;
    char path[64], text[32];

    test_store_name(path);
    must(fr_db_open(path, &options, &db));
    must(fr_db_set_option(db, "memory_budget", "64 MiB"));
    must(fr_db_get_option(db, "memory_budget", text, sizeof(text), NULL));
    cr_assert_str_eq(text, "64 MiB");
    cr_assert_eq(test_store_number(db, "memory.budget"), 64 << 20);
    must(fr_db_set_option(db, "sync", "none"));
    must_fail(fr_db_set_option(db, "log_segment_size", "1 MiB"), FR_ERR_MISUSE, "log_segment_size");
    must_fail(fr_db_set_option(db, "memory_budget", "0"), FR_ERR_MISUSE, "memory_budget");
    must_fail(fr_db_set_option(db, "nothing", "0"), FR_ERR_MISUSE, "nothing");
    must(fr_db_set_memory_budget(db, 32 << 20));
    cr_assert_eq(test_store_number(db, "memory.budget"), 32 << 20);
    must(fr_db_close(db));
    test_store_remove(path);
}
