#include "tests/unit/wal/test_log.h"

static uint64_t take_number(void *ctx)
{
    struct test_log *log = ctx;
    return log->next_number++;
}

void test_log_init(struct test_log *log)
{
    memset(log, 0, sizeof(*log));
    log->world = test_world_open();
    log->next_number = 1;
    log->options = (struct fr_wal_writer_options){.kind = FR_WAL_KIND_LOG,
            .store = "sixteen letters",
            .epoch = 0x5eed,
            .next_number = take_number,
            .next_number_ctx = log,
            .segment_size = FR_WAL_SEGMENT_SIZE_MIN};
}

void test_log_deinit(struct test_log *log)
{
    fr_wal_writer_close(log->writer);
    test_world_close(&log->world);
}

void test_log_open(struct test_log *log)
{
    log->options.previous = log->end.link;
    log->options.epoch++;
    must(fr_wal_writer_open(log->world.dir, &log->options, &log->writer));
}

fr_lsn test_log_append(struct test_log *log, const char *text)
{
    fr_slice part = fr_slice_of_text(text);
    fr_lsn end = 0;

    must(fr_wal_writer_append(log->writer, &part, 1, 7, FR_WAL_OS, &end));
    return end;
}

fr_lsn test_log_append_big(struct test_log *log, size_t size)
{
    uint8_t *bytes = fr_alloc(size);
    fr_slice part = fr_slice_of(bytes, size);
    fr_lsn end = 0;

    test_fill(bytes, 0, size);
    must(fr_wal_writer_append(log->writer, &part, 1, 7, FR_WAL_OS, &end));
    fr_free(bytes);
    return end;
}

fr_lsn test_log_sync(struct test_log *log)
{
    fr_lsn durable = 0;

    must(fr_wal_writer_sync(log->writer, &durable));
    return durable;
}

void test_log_stop(struct test_log *log)
{
    fr_wal_writer_close(log->writer);
    log->writer = NULL;
}

static void note(struct test_log *log, fr_slice payload, uint64_t tag)
{
    size_t used = strlen(log->text);

    cr_assert_eq(tag, 7);
    log->batch_count++;
    if (payload.size < 100)
        snprintf(log->text + used, sizeof(log->text) - used, "%.*s ", (int)payload.size,
                (const char *)payload.data);
    else
        cr_assert(test_matches(payload.data, 0, payload.size));
}

fr_status test_log_read(struct test_log *log)
{
    struct fr_wal_reader_options options = {.kind = log->options.kind,
            .start = log->start,
            .number = log->number,
            .durable = log->durable};
    struct fr_wal_reader *reader = NULL;
    fr_slice payload;
    uint64_t tag;
    fr_status st;

    memcpy(options.store, log->options.store, FR_STORE_ID_SIZE);
    log->text[0] = '\0';
    log->batch_count = 0;
    st = fr_wal_reader_open(log->world.dir, &options, &reader);
    if (st < 0) return st;
    while ((st = fr_wal_reader_next(reader, &payload, &tag, &log->last_lsn)) == FR_OK)
        note(log, payload, tag);
    cr_assert_eq(fr_wal_reader_next(reader, &payload, &tag, &log->last_lsn), st); /* it sticks */
    if (st == FR_END) fr_wal_reader_end(reader, &log->end);
    fr_wal_reader_close(reader);
    return st == FR_END ? FR_OK : st;
}

struct fr_buf test_log_load(struct test_log *log, const char *name)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_file_info info;
    struct fr_file *file;

    must(fr_file_open(log->world.dir, name, 0, &file));
    must(fr_file_info_get(file, &info));
    must(fr_file_read_exact(file, 0, fr_buf_extend(&bytes, info.size), info.size));
    fr_file_close(file);
    return bytes;
}

void test_log_store(struct test_log *log, const char *name, const struct fr_buf *bytes)
{
    struct fr_file *file;

    cr_assert_geq(fr_dir_unlink(log->world.dir, name), 0);
    must(fr_file_open(log->world.dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    must(fr_file_write(file, 0, bytes->data, bytes->size, 0));
    fr_file_close(file);
}

void test_log_flip(struct test_log *log, const char *name, uint64_t offset)
{
    struct fr_file *file;
    uint8_t byte;

    must(fr_file_open(log->world.dir, name, FR_OPEN_WRITE, &file));
    must(fr_file_read_exact(file, offset, &byte, 1));
    byte ^= 0x10;
    must(fr_file_write(file, offset, &byte, 1, 0));
    fr_file_close(file);
}
