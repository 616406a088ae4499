/*
 * io_request_test.c - the life of one transfer, over a backend which answers from a script.
 *
 * Each attempt takes the next answer: a count of bytes, or a negative errno. What was asked for is
 * written down, so that a claim can be made about every attempt.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>

#include "base/alloc.h"
#include "io/env_priv.h"

#define ALL INT64_MAX /* an answer: everything that was asked for */

struct attempt {
    char op; /* r, w, d (a synchronous write), s */
    uint64_t offset;
    size_t size;
};

static int64_t script[2000];
static struct attempt attempts[2000];
static unsigned attempt_count;
static uint64_t slept_us;
static struct fr_file *poisoned_by_another; /* at poisoned_at attempts, as if by another thread */
static unsigned poisoned_at;

static int64_t play(char op, uint64_t offset, size_t size)
{
    int64_t answer = script[attempt_count];

    attempts[attempt_count++] = (struct attempt){.op = op, .offset = offset, .size = size};
    if (poisoned_by_another != NULL && attempt_count == poisoned_at)
        atomic_store(&poisoned_by_another->poison, EIO);
    return answer == ALL ? (int64_t)size : answer;
}

static int64_t play_read(void *ctx, fr_handle file, uint64_t offset, void *data, size_t size)
{
    (void)ctx, (void)file;
    int64_t count = play('r', offset, size);
    for (int64_t i = 0; i < count; i++)
        ((uint8_t *)data)[i] = (uint8_t)(offset + (uint64_t)i);
    return count;
}

static int64_t play_write(void *ctx, fr_handle file, uint64_t offset, const void *data, size_t size,
        bool dsync)
{
    (void)ctx, (void)file, (void)data;
    return play(dsync ? 'd' : 'w', offset, size);
}

static int play_sync(void *ctx, fr_handle file)
{
    (void)ctx, (void)file;
    return (int)play('s', 0, 0);
}

static int play_truncate(void *ctx, fr_handle file, uint64_t size)
{
    (void)ctx, (void)file;
    return (int)play('t', size, 0);
}

static int play_punch_hole(void *ctx, fr_handle file, uint64_t offset, uint64_t size)
{
    (void)ctx, (void)file;
    return (int)play('h', offset, size);
}

static int play_open(void *ctx, fr_handle dir, const char *name, unsigned flags,
        struct fr_open_result *ret_result)
{
    (void)ctx, (void)dir, (void)name, (void)flags;
    *ret_result = (struct fr_open_result){.alignment = 1};
    return (int)play('o', 0, 0);
}

static uint64_t file_size = 612;

static int play_info(void *ctx, fr_handle file, struct fr_file_info *ret_info)
{
    (void)ctx, (void)file;
    *ret_info = (struct fr_file_info){.size = file_size};
    return 0;
}

static void play_close(void *ctx, fr_handle file)
{
    (void)ctx, (void)file;
}

static void play_sleep(void *ctx, uint64_t duration_us)
{
    (void)ctx;
    slept_us += duration_us;
}

static const struct fr_backend_ops script_ops = {
        .file_read = play_read,
        .file_write = play_write,
        .file_sync = play_sync,
        .file_truncate = play_truncate,
        .file_punch_hole = play_punch_hole,
        .file_open = play_open,
        .file_close = play_close,
        .file_info = play_info,
        .file_lock = play_sync,
        .file_unlock = play_close,
        .dir_sync = play_sync,
        .sleep_us = play_sleep,
};

static struct fr_env env = {.ops = &script_ops};
static char path[] = "store/file";
static struct fr_file plain = {.env = &env, .path = path, .alignment = 1, .writable = true};
static struct fr_file direct = {
        .env = &env, .path = path, .alignment = 512, .writable = true, .direct = true};
static struct fr_file coarse = {
        .env = &env, .path = path, .alignment = 4096, .writable = true, .direct = true};
static FR_ALIGNED(4096) uint8_t data[8192];

#define SCRIPT(...) memcpy(script, (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}))

static void attempt_is(unsigned index, char op, uint64_t offset, size_t size)
{
    cr_assert_lt(index, attempt_count);
    cr_assert_eq(attempts[index].op, op);
    cr_assert_eq(attempts[index].offset, offset);
    cr_assert_eq(attempts[index].size, size);
}

Test(io_request, a_short_read_is_resumed_behind_what_it_got)
{
    SCRIPT(10, 1, ALL);
    cr_assert_eq(fr_file_read_exact(&plain, 100, data, 50), FR_OK);
    cr_assert_eq(attempt_count, 3);
    attempt_is(1, 'r', 110, 40);
    attempt_is(2, 'r', 111, 39);
    for (unsigned i = 0; i < 50; i++)
        cr_assert_eq(data[i], (uint8_t)(100 + i));
}

Test(io_request, a_read_of_nothing_is_the_end_of_the_file)
{
    size_t size;

    SCRIPT(10, 0);
    cr_assert_eq(fr_file_read(&plain, 100, data, 50, &size), FR_OK);
    cr_assert_eq(size, 10);
    cr_assert_eq(attempt_count, 2);
}

Test(io_request, a_direct_read_which_stops_inside_a_block_is_not_tried_behind_it)
{
    size_t size;

    SCRIPT(512 + 100);
    cr_assert_eq(fr_file_read(&direct, 0, data, 4096, &size), FR_OK);
    cr_assert_eq(size, 612);
    cr_assert_eq(attempt_count, 1);
}

Test(io_request, a_direct_read_which_stops_at_a_sector_before_the_end_reads_the_block_again)
{
    file_size = 1 << 20;
    SCRIPT(4096 + 512, 1024, ALL);
    cr_assert_eq(fr_file_read_exact(&coarse, 0, data, 8192), FR_OK);
    cr_assert_eq(attempt_count, 3);
    attempt_is(1, 'r', 4096, 4096);
    attempt_is(2, 'r', 4096, 4096);
    for (unsigned i = 0; i < 8192; i++)
        cr_assert_eq(data[i], (uint8_t)i);
}

Test(io_request, a_bounced_read_which_stops_at_a_sector_before_the_end_reads_the_block_again)
{
    file_size = 8192;
    SCRIPT(512, ALL);
    cr_assert_eq(fr_file_read_exact(&coarse, 1000, data + 1, 100), FR_OK);
    cr_assert_eq(attempt_count, 2);
    attempt_is(1, 'r', 0, 4096);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(data[1 + i], (uint8_t)(1000 + i));
}

Test(io_request, a_direct_read_which_ends_at_a_sector_ends)
{
    size_t size;

    file_size = 4096 + 512;
    SCRIPT(4096 + 512);
    cr_assert_eq(fr_file_read(&coarse, 0, data, 8192, &size), FR_OK);
    cr_assert_eq(size, 4096 + 512);
    cr_assert_eq(attempt_count, 1);
}

Test(io_request, a_direct_read_which_never_gets_a_whole_block_fails)
{
    file_size = 1 << 20;
    for (unsigned i = 0; i < FR_ARRAY_COUNT(script); i++)
        script[i] = 512;
    cr_assert_eq(fr_file_read_exact(&coarse, 0, data, 8192), FR_ERR_IO);
    cr_assert_gt(attempt_count, 10);
    cr_assert_gt(slept_us, 0);
}

Test(io_request, a_direct_read_which_stops_between_blocks_goes_on)
{
    size_t size;

    SCRIPT(1024, 0);
    cr_assert_eq(fr_file_read(&direct, 0, data, 4096, &size), FR_OK);
    cr_assert_eq(size, 1024);
    attempt_is(1, 'r', 1024, 3072);
}

Test(io_request, an_unaligned_direct_read_covers_the_blocks_around_it)
{
    SCRIPT(512, ALL);
    cr_assert_eq(fr_file_read_exact(&direct, 1000, data + 1, 100), FR_OK);
    attempt_is(0, 'r', 512, 1024);
    attempt_is(1, 'r', 1024, 512);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(data[1 + i], (uint8_t)(1000 + i));
}

Test(io_request, a_bounced_read_which_ends_before_its_place_gives_nothing)
{
    size_t size;

    SCRIPT(100);
    cr_assert_eq(fr_file_read(&direct, 1000, data + 1, 100, &size), FR_OK);
    cr_assert_eq(size, 0);
}

Test(io_request, an_interruption_is_tried_again_at_the_same_place)
{
    SCRIPT(-EINTR, 5, -EINTR, -EINTR, ALL);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, 0), FR_OK);
    attempt_is(1, 'w', 0, 50);
    attempt_is(4, 'w', 5, 45);
    cr_assert_eq(slept_us, 0);
}

Test(io_request, what_the_system_puts_off_is_tried_again_after_a_pause)
{
    SCRIPT(-EAGAIN, -EAGAIN, ALL);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, 0), FR_OK);
    cr_assert_eq(attempt_count, 3);
    cr_assert_gt(slept_us, 0);
}

Test(io_request, a_transfer_that_never_gets_on_ends_in_an_error)
{
    for (unsigned i = 0; i < 2000; i++)
        script[i] = i % 2 ? -EINTR : -EAGAIN;
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, 0), FR_ERR_IO);
    cr_assert_lt(attempt_count, 1100);
    cr_assert_leq(slept_us, 2000000);
}

Test(io_request, a_write_of_nothing_is_not_success)
{
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, 0), FR_ERR_IO);
    cr_assert_gt(attempt_count, 1);
}

Test(io_request, a_direct_write_which_stops_inside_a_block_writes_the_block_again)
{
    SCRIPT(700, ALL);
    cr_assert_eq(fr_file_write(&direct, 0, data, 2048, 0), FR_OK);
    attempt_is(1, 'w', 512, 1536);
}

Test(io_request, a_refused_synchronous_write_becomes_a_write_and_then_a_sync)
{
    SCRIPT(-EOPNOTSUPP, 20, ALL, 0, ALL, 0);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_OK);
    cr_assert_eq(attempt_count, 4);
    attempt_is(0, 'd', 0, 50);
    attempt_is(1, 'w', 0, 50);
    attempt_is(2, 'w', 20, 30);
    attempt_is(3, 's', 0, 0);
    /* The file is not asked again. */
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_OK);
    attempt_is(4, 'w', 0, 50);
    attempt_is(5, 's', 0, 0);
}

Test(io_request, a_failed_sync_is_never_retried_and_ends_all_writing)
{
    SCRIPT(-EIO, ALL, ALL, ALL);
    cr_assert_eq(fr_file_sync(&plain), FR_ERR_IO);
    cr_assert_eq(attempt_count, 1);
    cr_assert_eq(fr_file_sync(&plain), FR_ERR_POISONED);
    cr_assert(strstr(fr_last_error(), "store/file: no sync after a sync") != NULL);
    cr_assert(strstr(fr_last_error(), "Input/output error") != NULL);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, 0), FR_ERR_POISONED);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_ERR_POISONED);
    cr_assert_eq(attempt_count, 1, "nothing of that reaches the system");
    cr_assert_eq(fr_file_read_exact(&plain, 0, data, 50), FR_OK, "reading goes on");
}

Test(io_request, a_failed_synchronous_write_poisons_the_file_too)
{
    SCRIPT(20, -ENOSPC);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_ERR_NOSPACE);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, 0), FR_ERR_POISONED);
}

Test(io_request, a_failed_sync_of_a_two_step_write_poisons_the_file)
{
    SCRIPT(-EOPNOTSUPP, ALL, -EIO);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_ERR_IO);
    cr_assert_eq(fr_file_sync(&plain), FR_ERR_POISONED);
}

Test(io_request, a_failed_plain_write_does_not_poison)
{
    SCRIPT(-ENOSPC, ALL, 0);
    cr_assert_eq(fr_file_write(&plain, 7, data, 50, 0), FR_ERR_NOSPACE);
    cr_assert(strstr(fr_last_error(), "store/file: write of 50 bytes at 7: No space") != NULL);
    cr_assert_eq(fr_file_write(&plain, 7, data, 50, 0), FR_OK);
    cr_assert_eq(fr_file_sync(&plain), FR_OK);
}

Test(io_request, a_sync_during_which_another_one_failed_has_not_succeeded)
{
    SCRIPT(0);
    poisoned_by_another = &plain, poisoned_at = 1;
    cr_assert_eq(fr_file_sync(&plain), FR_ERR_POISONED);
}

Test(io_request, a_synchronous_write_during_which_a_sync_failed_has_not_succeeded)
{
    SCRIPT(ALL);
    poisoned_by_another = &plain, poisoned_at = 1;
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_ERR_POISONED);
}

Test(io_request, a_two_step_write_is_not_synced_after_another_sync_has_failed)
{
    SCRIPT(-EOPNOTSUPP, ALL, 0);
    poisoned_by_another = &plain, poisoned_at = 2;
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_ERR_POISONED);
    cr_assert_eq(attempt_count, 2);
}

Test(io_request, a_short_write_is_not_resumed_after_a_sync_has_failed)
{
    SCRIPT(10, ALL);
    poisoned_by_another = &plain, poisoned_at = 1;
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, 0), FR_ERR_POISONED);
    cr_assert_eq(attempt_count, 1);
}

Test(io_request, an_interrupted_sync_is_tried_again)
{
    SCRIPT(-EINTR, 0);
    cr_assert_eq(fr_file_sync(&plain), FR_OK);
    cr_assert_eq(attempt_count, 2);
}

Test(io_request, calls_that_move_no_bytes_are_made_again_after_an_interruption_too)
{
    static char dir_path[] = "store";
    struct fr_dir dir = {.env = &env, .path = dir_path, .syncing = {.rank = FR_RANK_IO_DIR}};
    struct fr_dir_lock *lock;
    struct fr_file *file;

    SCRIPT(-EINTR, -EINTR, 0, -EINTR, 0, -EINTR, 0, -EINTR, 0);
    cr_assert_eq(fr_dir_sync(&dir), FR_OK);
    cr_assert_eq(fr_file_truncate(&plain, 100), FR_OK);
    cr_assert_eq(fr_file_punch_hole(&plain, 0, 100), FR_OK);
    cr_assert_eq(fr_file_open(&dir, "file", 0, &file), FR_OK);
    fr_file_close(file);
    cr_assert_eq(attempt_count, 9);
    script[10] = -EINTR; /* the lock, behind the opening of its file */
    cr_assert_eq(fr_dir_lock(&dir, "LOCK", &lock), FR_OK);
    fr_dir_unlock(lock);
    cr_assert_eq(attempt_count, 12);
}

Test(io_request, a_cancelled_attempt_is_made_again_from_where_it_was)
{
    SCRIPT(30, -ECANCELED, ALL);
    cr_assert_eq(fr_file_write(&plain, 0, data, 50, FR_WRITE_DSYNC), FR_OK);
    attempt_is(2, 'd', 30, 20);
}

Test(io_request, more_bytes_than_asked_for_abort, .signal = SIGABRT)
{
    SCRIPT(51);
    (void)!fr_file_read_exact(&plain, 0, data, 50);
}

Test(io_request, errors_have_the_errno_in_the_record)
{
    struct fr_error error = {.size = sizeof(error)};

    SCRIPT(-EIO);
    cr_assert_eq(fr_file_read_exact(&plain, 4096, data, 50), FR_ERR_IO);
    cr_assert_eq(fr_last_error_get(&error), FR_OK);
    cr_assert_eq(error.os_error, EIO);
    cr_assert_str_eq(error.source, "io/io_request.c");
    cr_assert_str_eq(error.text, "store/file: read of 50 bytes at 4096: Input/output error");
}
