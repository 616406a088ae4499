/*
 * wal_kill_test.c - a real process that appends, and is killed: what it was told survives, it has.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/io/test_world.h"
#include "wal/wal_reader.h"
#include "wal/wal_writer.h"

static uint64_t take_number(void *ctx)
{
    return (*(uint64_t *)ctx)++;
}

/* Appends numbers without end, in batches of many sizes, and reports each once it is appended. */
static void append_until_killed(struct fr_dir *dir, struct fr_wal_link link, uint64_t next_number,
        uint64_t next, int report)
{
    static uint8_t filler[3000];
    struct fr_wal_writer_options options = {.kind = FR_WAL_KIND_LOG,
            .epoch = next + 1,
            .next_number = take_number,
            .next_number_ctx = &next_number,
            .previous = link,
            .segment_size = 1 << 20};
    struct fr_wal_writer *w;
    fr_lsn end;

    if (fr_wal_writer_open(dir, &options, &w) < 0) _exit(1);
    for (;; next++) {
        fr_slice part = fr_slice_of(filler, next * 37 % sizeof(filler));
        if (fr_wal_writer_append(w, &part, 1, next, FR_WAL_OS, &end) < 0) _exit(1);
        if (write(report, &next, sizeof(next)) != sizeof(next)) _exit(1);
    }
}

static uint64_t count_batches(struct fr_dir *dir, struct fr_wal_end *ret_end)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG, .flags = FR_WAL_READ_SETTLE};
    struct fr_wal_reader *reader;
    uint64_t count = 0, tag;
    fr_slice payload;
    fr_status st;
    fr_lsn lsn;

    must(fr_wal_reader_open(dir, &options, &reader));
    while ((st = fr_wal_reader_next(reader, &payload, &tag, &lsn)) == FR_OK) {
        cr_assert_eq(tag, count);
        cr_assert_eq(payload.size, count * 37 % 3000);
        count++;
    }
    cr_assert_eq(st, FR_END, "%s", fr_last_error());
    fr_wal_reader_end(reader, ret_end);
    fr_wal_reader_close(reader);
    return count;
}

Test(wal_kill, what_was_appended_survives_the_kill, .timeout = 120)
{
    struct test_world world = test_world_open();
    struct fr_wal_end end = {0};
    uint64_t count = 0;

    for (unsigned round = 0; round < 15; round++) {
        uint64_t last = 0, said;
        int report[2];
        cr_assert_eq(pipe(report), 0);
        pid_t child = fork();
        if (child == 0)
            append_until_killed(world.dir, end.link, end.last_number + 1, count, report[1]);
        close(report[1]);
        while (last < count + 300 + round * 131 && read(report[0], &said, 8) == 8)
            last = said;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(report[0], &said, 8) == 8)
            last = said;
        close(report[0]);
        cr_assert_gt(last, count);
        count = count_batches(world.dir, &end);
        cr_assert_gt(count, last, "%llu batches, and the last one was %llu",
                (unsigned long long)count, (unsigned long long)last);
    }
    test_world_close(&world);
}
