#include "lsm/manifest.h"

#include <inttypes.h>

#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/test_crash.h"
#include "tests/unit/lsm/test_version.h"
#include "wal/wal_writer.h"

#define EDITS_MAX 24

/* A manifest, and the version after each of its edits. */
struct test_manifest {
    struct test_world world;
    struct test_version version;
    struct fr_manifest *manifest;
    struct fr_super super;
    uint64_t next_number;
    struct fr_buf history[EDITS_MAX]; /* all of the version, as an edit */
    size_t count;
};

static uint64_t next_number(void *ctx)
{
    return ((struct test_manifest *)ctx)->next_number++;
}

static void remember(struct test_manifest *t)
{
    cr_assert_lt(t->count, EDITS_MAX);
    fr_version_encode(t->version.version, &t->history[t->count]);
    must(fr_buf_status(&t->history[t->count++]));
}

static fr_status try_begin(struct test_manifest *t)
{
    struct fr_buf edit = FR_BUF_EMPTY;
    struct fr_manifest *next;

    fr_version_encode(t->version.version, &edit);
    fr_edit_put_next_file(&edit, t->next_number + 100);
    fr_edit_put_last_seq(&edit, 77);
    must(fr_buf_status(&edit));
    fr_status st =
            fr_manifest_begin(t->world.dir, &t->super, fr_buf_slice(&edit), next_number, t, &next);
    fr_buf_deinit(&edit);
    if (st < 0) return st;
    fr_manifest_close(t->manifest);
    t->manifest = next;
    return FR_OK;
}

static void append(struct test_manifest *t, const char *words)
{
    struct fr_buf edit = FR_BUF_EMPTY;

    must(test_version_change(&t->version, words, &edit));
    must(fr_buf_status(&edit));
    remember(t);
    must(fr_manifest_append(t->manifest, fr_buf_slice(&edit)));
    fr_buf_deinit(&edit);
}

static void open_manifest(struct test_manifest *t)
{
    memset(t, 0, sizeof(*t));
    t->world = test_world_open();
    test_version_open(&t->version);
    memcpy(t->super.store, "sixteen letters", FR_STORE_ID_SIZE);
    t->next_number = 1;
}

static void close_manifest(struct test_manifest *t)
{
    fr_manifest_close(t->manifest);
    for (size_t i = 0; i < t->count; i++)
        fr_buf_deinit(&t->history[i]);
    test_version_close(&t->version);
    test_world_close(&t->world);
}

/* Which of the versions a directory's manifest leads to; SIZE_MAX for none of them. */
static size_t found_in(const struct test_manifest *t, struct fr_dir *dir, size_t least)
{
    struct fr_manifest_state state;
    struct fr_obsolete obsolete;
    struct fr_buf all = FR_BUF_EMPTY;
    struct fr_super super;
    size_t at = least;

    must(fr_super_read(dir, &super));
    fr_obsolete_init(&obsolete);
    must(fr_manifest_replay(dir, &super, &obsolete, true, &state));
    fr_version_encode(state.version, &all);
    must(fr_buf_status(&all));
    cr_assert_eq(state.last_seq, 77);
    cr_assert_gt(state.next_file, super.manifest);
    while (at < t->count && !fr_slice_equal(fr_buf_slice(&all), fr_buf_slice(&t->history[at])))
        at++;
    fr_buf_deinit(&all);
    fr_version_unref(state.version);
    fr_obsolete_deinit(&obsolete);
    return at < t->count ? at : SIZE_MAX;
}

static const char *const words[] = {"+v9:100 +0:3:a-c:10:v9=10", "+0:4:a-c:10",
        "-0:3 -0:4 +6:5:a-c:20:v9=10", "+0:6:d-f:10:open", ">0:6 +v11:5", "-6:5 -v9 +0:8:a-b:1",
        "-v11"};

Test(manifest, replays_what_was_appended)
{
    static struct test_manifest t;

    open_manifest(&t);
    remember(&t);
    must(try_begin(&t));
    cr_assert_eq(found_in(&t, t.world.dir, 0), 0);
    for (size_t i = 0; i < FR_ARRAY_COUNT(words); i++) {
        append(&t, words[i]);
        cr_assert_eq(found_in(&t, t.world.dir, 0), i + 1);
    }
    cr_assert_gt(fr_manifest_bytes(t.manifest), 100);
    for (int i = 0; i < 3; i++) {
        must(try_begin(&t));
        cr_assert_eq(found_in(&t, t.world.dir, 0), FR_ARRAY_COUNT(words));
    }
    cr_assert_eq(t.super.generation, 3);
    close_manifest(&t);
}

static void check_prefix(void *ctx, struct fr_dir *dir, const struct test_crash_point *point)
{
    const struct test_manifest *t = ctx;
    struct fr_super super;
    fr_status st = fr_super_read(dir, &super);

    if (point->acked == 0 && st == FR_ERR_MISSING) return;
    must(st);
    size_t least = point->acked == 0 ? 0 : point->acked - 1, at = found_in(t, dir, least);
    cr_assert(at >= least && at < point->issued, "version %zu of %zu to %zu", at, least,
            point->issued);
}

/* Edits, a new manifest, more edits, and one more; between them the plug is pulled all the time. */
Test(manifest, a_crash_leaves_a_prefix_with_all_that_was_acknowledged, .timeout = 200)
{
    static struct test_manifest t;
    static struct test_crash crash;

    open_manifest(&t);
    remember(&t);
    crash.images_max = 12;
    test_crash_watch(&crash, t.world.sim);
    crash.issued = 1;
    must(try_begin(&t));
    crash.acked = 1;
    for (size_t i = 0; i < FR_ARRAY_COUNT(words); i++) {
        crash.issued++;
        append(&t, words[i]);
        crash.acked++;
        if (i % 3 == 1) must(try_begin(&t));
    }
    cr_assert_gt(test_crash_check(&crash, t.world.path, check_prefix, &t), 200);
    close_manifest(&t);
}

Test(manifest, one_that_was_begun_and_never_current_does_not_count)
{
    static struct test_manifest t;
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_WRITE), .name = "SUPER", .forever = true};

    open_manifest(&t);
    remember(&t);
    must(try_begin(&t));
    append(&t, words[0]);
    must(fr_sim_fault_add(t.world.sim, &fault));
    for (int i = 0; i < 3; i++) {
        must_be(FR_ERR_IO, try_begin(&t));
        cr_assert_eq(found_in(&t, t.world.dir, 0), 1);
    }
    fr_sim_fault_clear(t.world.sim);
    append(&t, words[1]);
    cr_assert_eq(found_in(&t, t.world.dir, 0), 2);
    must(try_begin(&t));
    append(&t, words[2]);
    cr_assert_eq(found_in(&t, t.world.dir, 0), 3);
    close_manifest(&t);
}

Test(manifest, is_current_although_an_old_one_stays_behind)
{
    static struct test_manifest t;
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_UNLINK), .forever = true};

    open_manifest(&t);
    remember(&t);
    must(try_begin(&t));
    must(fr_sim_fault_add(t.world.sim, &fault));
    must(try_begin(&t));
    append(&t, words[0]);
    cr_assert_eq(found_in(&t, t.world.dir, 0), 1);
    close_manifest(&t);
}

Test(manifest, an_edit_that_cannot_be_names_directory_and_lsn)
{
    static const char *const bad[] = {"\x05\x01\x00", "\x3f\x01x", "\x06\x02\x01\x07",
            "\x08\x01\x07",
            "\x03\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* a sequence number */};
    static const size_t sizes[] = {3, 3, 4, 3, 12};

    for (size_t i = 0; i < FR_ARRAY_COUNT(bad); i++) {
        static struct test_manifest t;
        struct fr_manifest_state state;

        open_manifest(&t);
        must(try_begin(&t));
        must(fr_manifest_append(t.manifest, fr_slice_of(bad[i], sizes[i])));
        must_be(i == 1 ? FR_ERR_TOO_NEW : FR_ERR_CORRUPT,
                fr_manifest_replay(t.world.dir, &t.super, &t.version.obsolete, false, &state));
        must_say(fr_dir_path(t.world.dir));
        must_say("lsn 109951");
        close_manifest(&t);
    }
}

/* Sealed before its first edit: no writer does that. */
Test(manifest, one_without_an_edit_is_damaged)
{
    static struct test_manifest t;
    struct fr_wal_writer_options options = {.kind = FR_WAL_KIND_MANIFEST,
            .store = "sixteen letters",
            .epoch = 1,
            .next_number = next_number,
            .next_number_ctx = &t,
            .segment_size = FR_WAL_SEGMENT_SIZE_MIN};
    struct fr_manifest_state state;
    struct fr_wal_writer *log;

    open_manifest(&t);
    must(fr_wal_writer_open(t.world.dir, &options, &log));
    must(fr_wal_writer_seal(log));
    t.super.manifest = fr_wal_writer_first_number(log);
    t.super.manifest_lsn = fr_wal_writer_start(log);
    fr_wal_writer_close(log);
    must_be(FR_ERR_CORRUPT,
            fr_manifest_replay(t.world.dir, &t.super, &t.version.obsolete, false, &state));
    must_say("is empty");
    close_manifest(&t);
}

Test(manifest, one_that_is_gone_is_missing)
{
    static struct test_manifest t;
    struct fr_manifest_state state;
    char name[FR_FILE_NAME_SIZE];

    open_manifest(&t);
    must(try_begin(&t));
    fr_file_name_format(FR_FILE_MANIFEST, t.super.manifest, name);
    must(fr_dir_unlink(t.world.dir, name));
    must_be(FR_ERR_MISSING,
            fr_manifest_replay(t.world.dir, &t.super, &t.version.obsolete, false, &state));
    close_manifest(&t);
}

Test(manifest, a_long_one_says_so_and_goes_over_many_segments)
{
    static struct test_manifest t;
    static uint8_t skipped[100000] = {64, 0x9c, 0x8d, 0x06}; /* a tag to skip, 99996 bytes */
    size_t appended = 0;

    open_manifest(&t);
    remember(&t);
    must(try_begin(&t));
    append(&t, words[0]);
    for (; !fr_manifest_is_long(t.manifest); appended++)
        must(fr_manifest_append(t.manifest, fr_slice_of(skipped, sizeof(skipped))));
    cr_assert(appended > 30 && appended < 50, "%zu", appended);
    append(&t, words[1]);
    cr_assert_eq(found_in(&t, t.world.dir, 0), 2);
    must(try_begin(&t));
    cr_assert(!fr_manifest_is_long(t.manifest));
    cr_assert_eq(found_in(&t, t.world.dir, 0), 2);
    close_manifest(&t);
}
