#include "tests/unit/recovery/test_store.h"

#include "lsm/batch.h"
#include "tests/unit/io/test_world.h"

struct fr_engine_options test_store_options(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.create = true;
    options.memtable_size = 64 << 10;
    options.log_segment_size = 64 << 10;
    options.cache_size = 256 << 10;
    options.value_threshold = 100;
    options.block_size = 4096;
    return options;
}

struct fr_engine *test_store_open(struct fr_env *env, const char *path)
{
    struct fr_engine_options options = test_store_options();
    struct fr_engine *engine;

    must(fr_engine_open(env, path, &options, &engine));
    return engine;
}

static fr_slice key_of(unsigned i, char text[16])
{
    snprintf(text, 16, "key%04u", i);
    return fr_slice_of_text(text);
}

/* The last state up to n that has changed the key; 0: none. */
static unsigned last_change(unsigned i, unsigned n)
{
    while (n > 0 && i % 3 != n % 3)
        n--;
    return n;
}

static bool is_deleted(unsigned i, unsigned change)
{
    return change == 0 || (i % 10 == 7 && change % 2 == 0);
}

/* Every other one goes to a value file. */
static fr_slice value_of(unsigned i, unsigned change, char bytes[256])
{
    size_t size = i % 2 == 0 ? 240 : 30;

    memset(bytes, 'a' + (int)((i + change) % 26), size);
    snprintf(bytes, 30, "%u of %u", i, change);
    return fr_slice_of(bytes, size);
}

void test_store_advance(struct fr_engine *engine, unsigned n)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    char key[16], bytes[256];
    fr_slice all;
    uint32_t count = 0;

    for (unsigned i = 0; i < TEST_STORE_KEYS; i++) {
        if (last_change(i, n) != n) continue;
        if (is_deleted(i, n)) {
            must(fr_batch_add_delete(&batch, key_of(i, key)));
        } else {
            must(fr_batch_add_put(&batch, key_of(i, key), value_of(i, n, bytes)));
            if (i % 5 == 0) {
                must(fr_batch_add_append(&batch, key_of(i, key), fr_slice_of_text("+more")));
                count++;
            }
        }
        count++;
    }
    must(fr_batch_finish(&batch, &all));
    must(fr_engine_write(engine, all, count, FR_DURABLE_DEVICE));
    fr_batch_deinit(&batch);
}

static void check_key(struct fr_engine *engine, unsigned i, unsigned n)
{
    unsigned change = last_change(i, n);
    struct fr_engine_value value;
    char key[16], bytes[300];

    if (is_deleted(i, change)) {
        must_be(FR_NOT_FOUND, fr_engine_get(engine, key_of(i, key), FR_SEQ_MAX, &value));
        return;
    }
    fr_slice expected = value_of(i, change, bytes);
    if (i % 5 == 0) {
        memcpy(bytes + expected.size, "+more", 5);
        expected.size += 5;
    }
    must(fr_engine_get(engine, key_of(i, key), FR_SEQ_MAX, &value));
    cr_assert(fr_slice_equal(value.bytes, expected), "%s is %.20s in state %u", key,
            (const char *)value.bytes.data, n);
    fr_engine_value_release(&value);
}

void test_store_check(struct fr_engine *engine, unsigned n)
{
    struct fr_engine_scan_options how = {.at = FR_SEQ_MAX};
    struct fr_iter *it;
    unsigned count = 0, expected = 0;
    fr_status st;

    for (unsigned i = 0; i < TEST_STORE_KEYS; i++) {
        check_key(engine, i, n);
        expected += !is_deleted(i, last_change(i, n));
    }
    must(fr_engine_scan(engine, &how, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        count++;
    cr_assert_eq(st, FR_END, "%s", fr_last_error());
    fr_iter_close(it);
    cr_assert_eq(count, expected);
}

void test_store_check_at(struct fr_env *env, const char *path, unsigned n)
{
    struct fr_engine *engine = test_store_open(env, path);

    test_store_check(engine, n);
    must(fr_engine_close(engine));
}

bool test_store_next_file(struct fr_dir *dir, enum fr_file_kind wanted, uint64_t *number,
        char name[FR_FILE_NAME_SIZE])
{
    struct fr_dir_names names;
    enum fr_file_kind kind;
    uint64_t found, best = UINT64_MAX;

    must(fr_dir_list(dir, &names));
    for (size_t i = 0; i < names.count; i++)
        if (fr_file_name_parse(names.names[i], &kind, &found) && kind == wanted &&
                found > *number && found < best)
            best = found;
    fr_dir_names_deinit(&names);
    if (best == UINT64_MAX) return false;
    *number = best;
    fr_file_name_format(wanted, best, name);
    return true;
}

uint64_t test_store_file_size(struct fr_dir *dir, const char *name)
{
    struct fr_file_info info;

    must(fr_dir_stat(dir, name, &info));
    return info.size;
}
