/*
 * test_log.h - a small log on a simulated machine, and ways to write, damage and read it.
 *
 * Helpers end the test if a call that it does not ask about fails.
 */
#ifndef FR_TEST_LOG_H
#define FR_TEST_LOG_H

#include "base/buf.h"
#include "io/sim.h"
#include "tests/unit/io/test_world.h"
#include "wal/wal_reader.h"
#include "wal/wal_writer.h"

struct test_log {
    struct test_world world;
    struct fr_wal_writer_options options; /* of the next opening */
    struct fr_wal_writer *writer;
    uint64_t next_number;

    /* Of the latest reading. */
    fr_lsn start;
    uint64_t number;
    fr_lsn durable;
    char text[4096]; /* payloads with a space behind each */
    size_t batch_count;
    fr_lsn last_lsn;
    struct fr_wal_end end;
};

/* A log of small segments. */
void test_log_init(struct test_log *log);
void test_log_deinit(struct test_log *log);

/* Open the writer, from the log's beginning or behind what was read last. */
void test_log_open(struct test_log *log);

fr_lsn test_log_append(struct test_log *log, const char *text);
fr_lsn test_log_sync(struct test_log *log);

/* A batch of that many bytes which depend on their place. */
fr_lsn test_log_append_big(struct test_log *log, size_t size);

/* Close without a seal. */
void test_log_stop(struct test_log *log);

/* Read it all; FR_OK if it has an end, else the failure. */
fr_status test_log_read(struct test_log *log);

/* A file's bytes as they are, to be changed and put back. Free data with fr_free. */
struct fr_buf test_log_load(struct test_log *log, const char *name);
void test_log_store(struct test_log *log, const char *name, const struct fr_buf *bytes);
void test_log_flip(struct test_log *log, const char *name, uint64_t offset);

#endif
