#include "tools/dump_item.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/index.h"
#include "io/dir.h"
#include "io/env.h"

#define SECRET "a secret payload"

struct test_dump {
    char path[64];
    struct fr_dump d;
    struct fr_env *env;
    struct fr_dir *dir;
    struct fr_buf text; /* all that was printed */
};

static bool gather(void *ctx, fr_slice text)
{
    fr_buf_append(ctx, text.data, text.size);
    return true;
}

/* A store with an index of texts, in which "pear" has a payload. */
static void setup(struct test_dump *t)
{
    struct fr_text_id ids[] = {{"apple", 5}, {"pear", 4}, {"17", 2}};
    struct fr_payload payloads[] = {{NULL, 0}, {SECRET, sizeof(SECRET) - 1}, {NULL, 0}};
    const float vectors[] = {1, 2, 3, 4, 5, 6};
    struct fr_index_options options;
    struct fr_index *index;
    struct fr_db *db;

    *t = (struct test_dump){.path = "test-dump-XXXXXX"};
    t->d.print = gather;
    t->d.ctx = &t->text;
    cr_assert_not_null(mkdtemp(t->path));
    cr_assert_eq(fr_db_open(t->path, NULL, &db), FR_OK, "%s", fr_last_error());
    fr_index_options_init(&options);
    options.dimension = 2;
    options.id_kind = FR_ID_TEXT;
    cr_assert_eq(fr_index_open(db, "", &options, &index), FR_OK, "%s", fr_last_error());
    cr_assert_eq(fr_index_upsert_text(index, NULL, 3, ids, vectors, payloads), FR_OK);
    fr_index_close(index);
    cr_assert_eq(fr_db_close(db), FR_OK);
    cr_assert_eq(fr_env_open(NULL, &t->env), FR_OK);
    cr_assert_eq(fr_dir_open(t->env, t->path, 0, &t->dir), FR_OK);
}

static void teardown(struct test_dump *t)
{
    struct fr_dir_names names = {0};

    cr_assert_eq(fr_dir_list(t->dir, &names), FR_OK);
    for (size_t i = 0; i < names.count; i++)
        cr_assert_eq(fr_dir_unlink(t->dir, names.names[i]), FR_OK);
    fr_dir_names_deinit(&names);
    fr_dir_close(t->dir);
    fr_env_close(t->env);
    fr_dump_deinit(&t->d);
    fr_buf_deinit(&t->text);
    (void)remove(t->path);
}

static fr_status dump_row(struct test_dump *t, const char *word)
{
    struct fr_dump_item item = {.kind = FR_DUMP_ROW, .word = word, .index = ""};

    fr_buf_clear(&t->text);
    return fr_dump_item(&t->d, t->dir, t->path, &item);
}

static bool printed(struct test_dump *t, const char *part)
{
    return memmem(t->text.data, t->text.size, part, strlen(part)) != NULL;
}

Test(dump, finds_a_row_by_its_text)
{
    struct test_dump t;

    setup(&t);
    cr_assert_eq(dump_row(&t, "pear"), FR_OK, "%s", fr_last_error());
    cr_assert(printed(&t, "text \"pear\""));
    cr_assert(printed(&t, "payload 16 bytes"));
    cr_assert_eq(dump_row(&t, "17"), FR_OK, "%s", fr_last_error());
    cr_assert(printed(&t, "text \"17\""));
    cr_assert_eq(dump_row(&t, "plum"), FR_ERR_MISUSE);
    teardown(&t);
}

Test(dump, hides_payloads_and_vectors_in_bytes_too)
{
    struct test_dump t;

    setup(&t);
    t.d.how.hex = true;
    cr_assert_eq(dump_row(&t, "pear"), FR_OK);
    cr_assert_not(printed(&t, "secret"));
    cr_assert_not(printed(&t, "61 20 73 65 63 72 65 74"));
    cr_assert_not(printed(&t, "00 00 40 40"));
    t.d.how.values = true;
    cr_assert_eq(dump_row(&t, "pear"), FR_OK);
    cr_assert(printed(&t, "payload \"" SECRET "\""));
    cr_assert(printed(&t, "vector 3,4"));
    teardown(&t);
}

Test(dump, stops_at_the_limit_of_a_file)
{
    struct test_dump t;

    setup(&t);
    t.d.how.limit = 1;
    cr_assert_eq(dump_row(&t, "pear"), FR_OK);
    cr_assert_not(printed(&t, "payload"));
    teardown(&t);
}
