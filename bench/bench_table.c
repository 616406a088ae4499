/* bench of internals: tables, filters and the block cache, below the public interface.
 *
 * bench_table.c - what a table costs to build, to open, to ask and to walk.
 *
 *   bench_table [--json] [DIR]
 *
 * One million entries with values of 40 bytes, and 200000 with 512, in 8 KiB blocks; the table lies
 * in DIR (default: the current folder) and in the page cache, and all of its blocks in ours where
 * it says so. Keys are 16 bytes, random order of questions. Figures are the best of three rounds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"
#include "bench/measure.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/table.h"
#include "lsm/table_builder.h"
#include "wal/file_name.h"

#define ROUNDS    3
#define QUESTIONS 400000u

static const struct fr_file_id id = {{0xbe, 0xbc}, 999999};

struct bench {
    struct fr_env *env;
    struct fr_dir *dir;
    struct fr_cache *cache;
    struct fr_table *table;
    uint64_t count;
    size_t value_size;
    bool json;
    unsigned printed;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_table: %s: %s\n", what, fr_last_error());
    exit(1);
}

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0) die(#call);                                                                \
    } while (0)

static void report(struct bench *b, const char *name, const char *unit, double value)
{
    if (b->json)
        printf("%s\"%s_%zu\": {\"value\": %.4f, \"unit\": \"%s\"}", b->printed++ == 0 ? "{" : ", ",
                name, b->value_size, value, unit);
    else
        printf("%-32s %5zu B %12.2f %s\n", name, b->value_size, value, unit);
}

/* Even numbers are there, odd ones are not. */
static fr_slice key_of(uint64_t n, uint8_t *to)
{
    fr_put_u64(to, 0x762f726f74636576); /* "vector/v" */
    fr_put_u64(to + 8, __builtin_bswap64(n * 0x10001));
    return fr_slice_of(to, 16);
}

static double build_once(struct bench *b, struct fr_table_options *options)
{
    struct fr_table_builder *builder;
    struct fr_table_meta meta;
    uint8_t key[16], value[4096];
    struct fr_rng rng;
    uint64_t start = measure_now_ns();

    fr_rng_init(&rng, 1);
    fr_rng_fill(&rng, value, sizeof(value));
    must(fr_table_builder_open(b->dir, &id, options, &builder));
    for (uint64_t i = 0; i < b->count; i++) {
        struct fr_entry entry = {.key = key_of(2 * i, key),
                .value = fr_slice_of(value + i % 1024, b->value_size),
                .seq = 1 + (i * 7919) % b->count,
                .kind = FR_KIND_PUT};

        must(fr_table_builder_add(builder, &entry));
    }
    must(fr_table_builder_finish(builder, &meta));
    fr_table_builder_close(builder);
    double seconds = (double)(measure_now_ns() - start) * 1e-9;
    fr_table_meta_deinit(&meta);
    return (double)b->count * (double)(16 + b->value_size) / seconds / 1e6;
}

static void remove_table(struct bench *b)
{
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    must(fr_dir_unlink(b->dir, name));
}

static void bench_build(struct bench *b)
{
    struct fr_table_options options = fr_table_options_default();

    options.compression = FR_CODEC_ZSTD;
    report(b, "build_zstd", "MB/s", build_once(b, &options));
    remove_table(b);
    options.compression = FR_CODEC_NONE;
    options.verify = false;
    report(b, "build_unverified", "MB/s", build_once(b, &options));
    remove_table(b);
    report(b, "build", "MB/s", build_once(b, NULL));
}

static void bench_open(struct bench *b)
{
    uint64_t start = measure_now_ns();

    must(fr_table_open(b->dir, &id, b->cache, &b->table));
    report(b, "open", "ms", (double)(measure_now_ns() - start) * 1e-6);
    report(b, "open_table_memory", "MB", (double)fr_table_memory(b->table) * 1e-6);
}

static void warm(struct bench *b)
{
    for (size_t i = 0; i < fr_table_block_count(b->table); i++) {
        struct fr_table_spot spot = fr_table_spot_at(b->table, i);
        struct fr_table_block *block;

        must(fr_table_block_read(b->table, &spot.handle, false, &block));
        fr_table_block_release(b->table, block);
    }
}

static bool get(struct fr_table *table, fr_slice key, struct fr_block_iter *it)
{
    uint64_t hash = fr_hash64(key);
    struct fr_table_spot spot;
    struct fr_table_block *block;

    if (!fr_table_may_contain(table, hash)) return false;
    if (fr_table_locate(table, key, FR_SEQ_MAX, &spot) != FR_OK) return false;
    if (!fr_table_block_cached(table, &spot.handle, &block))
        must(fr_table_block_read(table, &spot.handle, false, &block));
    must(fr_block_iter_set(it, &block->block));
    fr_status st = fr_block_get_first(it, key, hash, FR_SEQ_MAX);
    fr_table_block_release(table, block);
    return st == FR_OK;
}

static double ask(struct bench *b, uint64_t odd)
{
    struct fr_block_iter it;
    struct fr_rng rng;
    uint8_t key[16];
    uint64_t found = 0, start;

    fr_block_iter_init(&it);
    fr_rng_init(&rng, 7);
    start = measure_now_ns();
    for (unsigned i = 0; i < QUESTIONS; i++)
        found += get(b->table, key_of(2 * fr_rng_below(&rng, b->count) + odd, key), &it);
    uint64_t taken = measure_now_ns() - start;
    if (found != (odd ? 0 : QUESTIONS)) die("wrong answers");
    fr_iter_close(&it.iter);
    return (double)taken / QUESTIONS;
}

static double walk(struct bench *b, bool back)
{
    struct fr_iter *it;
    uint64_t count = 0, sum = 0, start = measure_now_ns();

    must(fr_table_iter_new(b->table, NULL, &it));
    if (back) fr_iter_seek_last(it);
    while ((back ? fr_iter_prev(it) : fr_iter_next(it)) == FR_OK) {
        count++;
        sum += it->entry.seq;
    }
    fr_iter_close(it);
    if (count != b->count || sum == 0) die("wrong walk");
    return (double)count * 1e3 / (double)(measure_now_ns() - start);
}

static double probe(struct bench *b, uint64_t odd)
{
    uint64_t sum = 0, start = measure_now_ns();

    for (uint64_t i = 0; i < QUESTIONS; i++)
        sum += fr_table_may_contain(b->table, fr_mix64(i + odd));
    if (sum == QUESTIONS) die("a filter that filters nothing");
    return (double)(measure_now_ns() - start) / QUESTIONS;
}

static double hit(struct bench *b)
{
    struct fr_block_handle handle = fr_table_spot_at(b->table, 0).handle;
    struct fr_table_block *block;
    uint64_t start = measure_now_ns();

    for (unsigned i = 0; i < QUESTIONS; i++) {
        if (!fr_table_block_cached(b->table, &handle, &block)) die("not cached");
        fr_table_block_release(b->table, block);
    }
    return (double)(measure_now_ns() - start) / QUESTIONS;
}

static double read_all(struct bench *b)
{
    struct fr_cache *none = NULL;
    struct fr_table *table;
    struct fr_iter *it;
    uint64_t start;
    size_t count = 0;

    must(fr_table_open(b->dir, &id, none, &table));
    start = measure_now_ns();
    must(fr_table_iter_new(table, NULL, &it));
    while (fr_iter_next(it) == FR_OK)
        count++;
    double rate = (double)count * 1e3 / (double)(measure_now_ns() - start);
    fr_iter_close(it);
    fr_table_unref(table);
    return rate;
}

static double least(double a, double b)
{
    return a == 0 || b < a ? b : a;
}

static void bench_table(struct bench *b)
{
    double found = 0, missed = 0, filter = 0, cached = 0, forth = 0, back = 0, cold = 0;

    bench_build(b);
    bench_open(b);
    warm(b);
    for (int i = 0; i < ROUNDS; i++) {
        found = least(found, ask(b, 0));
        missed = least(missed, ask(b, 1));
        filter = least(filter, probe(b, 0));
        cached = least(cached, hit(b));
        forth = -least(-forth, -walk(b, false));
        back = -least(-back, -walk(b, true));
        cold = -least(-cold, -read_all(b));
    }
    report(b, "get_cached_found", "ns", found);
    report(b, "get_filtered_miss", "ns", missed);
    report(b, "filter_probe", "ns", filter);
    report(b, "cache_hit_pin_unpin", "ns", cached);
    report(b, "next_cached", "M/s", forth);
    report(b, "prev_cached", "M/s", back);
    report(b, "next_from_page_cache", "M/s", cold);
    fr_table_unref(b->table);
    remove_table(b);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {40, 512};
    struct bench b = {.json = argc > 1 && strcmp(argv[1], "--json") == 0};
    const char *path = argc > 1 + b.json ? argv[1 + b.json] : ".";

    must(fr_env_open(NULL, &b.env));
    must(fr_dir_open(b.env, path, FR_DIR_CREATE, &b.dir));
    for (int i = 0; i < 2; i++) {
        b.value_size = sizes[i];
        b.count = i == 0 ? 1000000 : 200000;
        must(fr_cache_new((size_t)256 << 20, 0, &b.cache));
        bench_table(&b);
        fr_cache_free(b.cache);
    }
    if (b.json) printf("}\n");
    fr_dir_close(b.dir);
    fr_env_close(b.env);
    return 0;
}
