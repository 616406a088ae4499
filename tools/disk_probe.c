#include "tools/disk_probe.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "io/io_queue.h"

/* Space for commits: they go round in it. Large enough that no device hides it in one erase block.
 */
#define COMMIT_SPACE ((uint64_t)16 << 20)
#define COMMIT_NAME  "iotest.sync"

/* Unlike pre-written zeros, these cannot be stored as nothing. */
#define FILL_CHUNK ((size_t)1 << 20)

/*
 * A stream of reads hands over what it pushes after so many, not only when it has to wait.
 * Completions come in bursts; whoever answers a burst with one burst leaves the device idle in
 * between.
 */
#define STREAM_SUBMIT_EVERY 1

fr_status fr_disk_probe_file(struct fr_dir *dir, const char *name, uint64_t size,
        struct fr_file **ret_file)
{
    struct fr_file *file = NULL;
    struct fr_rng rng;
    fr_status st;

    uint8_t *chunk = fr_alloc_aligned(FILL_CHUNK, 4096);
    if (chunk == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to fill a file");
    fr_rng_init(&rng, size);
    FR_TRY(fr_dir_unlink(dir, name));
    FR_TRY(fr_file_open(dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    for (uint64_t at = 0; at < size; at += FILL_CHUNK) {
        fr_rng_fill(&rng, chunk, FILL_CHUNK);
        FR_TRY(fr_file_write(file, at, chunk, (size_t)FR_MIN(size - at, (uint64_t)FILL_CHUNK), 0));
    }
    FR_TRY(fr_file_sync(file));
    fr_file_advise(file, 0, 0, FR_ADVICE_DONT_NEED);
    fr_file_close(FR_TAKE(file));
    FR_TRY(fr_file_open(dir, name, FR_OPEN_DIRECT, ret_file));
out:
    fr_file_close(file);
    fr_free(chunk);
    return st;
}

/* What the loop of random reads works with. */
struct reader {
    const struct fr_disk_reads *plan;
    struct fr_env *env;
    struct fr_file *file;
    struct fr_io_queue *queue;
    struct fr_io_request *requests; /* depth */
    uint64_t *started_us;           /* depth */
    uint8_t *memory;                /* depth * block_size */
    uint64_t block_count;
    struct fr_rng rng;
};

static void close_reader(struct reader *reader)
{
    fr_io_queue_close(reader->queue);
    fr_free(reader->requests);
    fr_free(reader->started_us);
    fr_free(reader->memory);
}

static fr_status open_reader(struct reader *reader)
{
    const struct fr_disk_reads *plan = reader->plan;
    struct fr_file_info info;
    fr_status st;

    size_t memory_size = plan->depth * plan->block_size;
    reader->requests = fr_alloc_zeroed(plan->depth, sizeof(*reader->requests));
    reader->started_us = fr_alloc_zeroed(plan->depth, sizeof(*reader->started_us));
    reader->memory = fr_alloc_aligned(memory_size, 4096);
    if (reader->requests == NULL || reader->started_us == NULL || reader->memory == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for %u reads", plan->depth);

    struct fr_io_queue_options options = {.depth = plan->depth,
            .buffer = plan->registered ? reader->memory : NULL,
            .buffer_size = memory_size};
    FR_TRY(fr_io_queue_open(reader->env, &options, &reader->queue));
    FR_TRY(fr_file_info_get(reader->file, &info));
    reader->block_count = info.size / plan->block_size;
    if (reader->block_count == 0)
        return FR_FAIL(FR_ERR_MISUSE, "%s: too small to be read", fr_file_path(reader->file));
    fr_rng_init(&reader->rng, plan->seed);
out:
    return st;
}

static void push_read(struct reader *reader, size_t index, uint64_t now_us)
{
    size_t size = reader->plan->block_size;

    reader->started_us[index] = now_us;
    reader->requests[index] = (struct fr_io_request){
            .op = FR_IO_READ,
            .file = reader->file,
            .data = reader->memory + index * size,
            .size = size,
            .offset = fr_rng_below(&reader->rng, reader->block_count) * size,
    };
    fr_io_queue_push(reader->queue, &reader->requests[index]);
}

static fr_status run_reads(struct reader *reader, struct fr_disk_rate *rate)
{
    unsigned batch = FR_MAX(reader->plan->batch, 1u);
    struct fr_io_request *request;
    fr_status st = FR_OK;

    uint64_t start_us = fr_env_now_us(reader->env), now_us = start_us;
    for (size_t i = 0; i < reader->plan->depth; i++)
        push_read(reader, i, start_us);
    while (now_us - start_us < reader->plan->duration_us) {
        fr_io_queue_wait(reader->queue, batch);
        now_us = fr_env_now_us(reader->env);
        while ((request = fr_io_queue_pop(reader->queue)) != NULL) {
            size_t index = (size_t)(request - reader->requests);
            FR_TRY(fr_io_request_check_exact(request));
            fr_histogram_record(&rate->latency, now_us - reader->started_us[index]);
            rate->count++;
            push_read(reader, index, now_us);
            if (reader->plan->batch == 0 && rate->count % STREAM_SUBMIT_EVERY == 0)
                fr_io_queue_submit(reader->queue);
        }
    }
    rate->elapsed_us = now_us - start_us;
out:
    return st;
}

fr_status fr_disk_probe_reads(struct fr_env *env, struct fr_file *file,
        const struct fr_disk_reads *plan, struct fr_disk_rate *ret_rate)
{
    struct reader reader = {.plan = plan, .env = env, .file = file};
    fr_status st;

    ret_rate->count = 0;
    ret_rate->elapsed_us = 0;
    fr_histogram_init(&ret_rate->latency);
    FR_TRY(open_reader(&reader));
    FR_TRY(run_reads(&reader, ret_rate));
out:
    close_reader(&reader);
    return st;
}

static const struct {
    const char *name;
    const char *text;
    bool prewritten;
    bool direct;
} ways[] = {
        [FR_SYNC_WAY_APPEND] = {"append", "append, then fdatasync", false, false},
        [FR_SYNC_WAY_APPEND_DSYNC] = {"append_dsync", "append by synchronous write", false, false},
        [FR_SYNC_WAY_PREWRITTEN] = {"prewritten", "pre-written, then fdatasync", true, false},
        [FR_SYNC_WAY_PREWRITTEN_DSYNC] = {"prewritten_dsync", "pre-written by synchronous write",
                true, false},
        [FR_SYNC_WAY_DIRECT_SYNC] = {"direct_sync", "pre-written, direct, then fdatasync", true,
                true},
        [FR_SYNC_WAY_DIRECT_DSYNC] = {"direct_dsync", "pre-written, direct, by synchronous write",
                true, true},
        [FR_SYNC_WAY_QUEUE_DSYNC] = {"queue_dsync", "the same through a queue", true, true},
        [FR_SYNC_WAY_REPLACE] = {"replace", "a new file, renamed, directory synced", false, false},
};

const char *fr_sync_way_text(enum fr_sync_way way)
{
    return ways[way].text;
}

const char *fr_sync_way_name(enum fr_sync_way way)
{
    return ways[way].name;
}

struct committer {
    const struct fr_disk_syncs *plan;
    struct fr_dir *dir;
    struct fr_file *file;      /* NULL for FR_SYNC_WAY_REPLACE */
    struct fr_io_queue *queue; /* for FR_SYNC_WAY_QUEUE_DSYNC */
    uint8_t *data;
};

static fr_status commit_by_queue(struct committer *c, uint64_t offset)
{
    struct fr_io_request request = {.op = FR_IO_WRITE_DSYNC,
            .file = c->file,
            .data = c->data,
            .size = c->plan->size,
            .offset = offset};

    fr_io_queue_push(c->queue, &request);
    fr_io_queue_wait(c->queue, 1);
    return fr_io_request_check(fr_io_queue_pop(c->queue));
}

static fr_status commit(struct committer *c, uint64_t offset)
{
    fr_status st;

    switch (c->plan->way) {
    case FR_SYNC_WAY_REPLACE:
        return fr_dir_replace(c->dir, COMMIT_NAME, fr_slice_of(c->data, c->plan->size));
    case FR_SYNC_WAY_QUEUE_DSYNC:
        return commit_by_queue(c, offset);
    case FR_SYNC_WAY_APPEND_DSYNC:
    case FR_SYNC_WAY_PREWRITTEN_DSYNC:
    case FR_SYNC_WAY_DIRECT_DSYNC:
        return fr_file_write(c->file, offset, c->data, c->plan->size, FR_WRITE_DSYNC);
    default:
        FR_TRY(fr_file_write(c->file, offset, c->data, c->plan->size, 0));
        FR_TRY(fr_file_sync(c->file));
    }
out:
    return st;
}

static fr_status open_committer(struct committer *c, struct fr_env *env)
{
    enum fr_sync_way way = c->plan->way;
    unsigned flags = FR_OPEN_WRITE | FR_OPEN_CREATE | (ways[way].direct ? FR_OPEN_DIRECT : 0);
    fr_status st;

    c->data = fr_alloc_aligned(c->plan->size, 4096);
    if (c->data == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a commit");
    memset(c->data, 0xa5, c->plan->size);
    FR_TRY(fr_dir_unlink(c->dir, COMMIT_NAME));
    if (way == FR_SYNC_WAY_REPLACE) return FR_OK;
    FR_TRY(fr_file_open(c->dir, COMMIT_NAME, flags, &c->file));
    if (ways[way].prewritten) FR_TRY(fr_file_prewrite(c->file, 0, COMMIT_SPACE));
    FR_TRY(fr_dir_sync(c->dir));
    if (way == FR_SYNC_WAY_QUEUE_DSYNC) FR_TRY(fr_io_queue_open(env, NULL, &c->queue));
out:
    return st < 0 ? st : FR_OK;
}

static void close_committer(struct committer *c)
{
    fr_io_queue_close(c->queue);
    fr_file_close(c->file);
    fr_free(c->data);
    /* The first error is the one to tell, and a left-over file is named by the directory. */
    struct fr_error error;
    fr_error_save(&error);
    if (fr_dir_unlink(c->dir, COMMIT_NAME) < 0) (void)fr_error_restore(&error);
}

static fr_status run_commits(struct committer *c, struct fr_env *env, struct fr_disk_rate *rate)
{
    bool round = ways[c->plan->way].prewritten;
    fr_status st = FR_OK;

    uint64_t start_us = fr_env_now_us(env), now_us = start_us, offset = 0;
    while (now_us - start_us < c->plan->duration_us) {
        uint64_t before_us = now_us;
        if (round && offset + c->plan->size > COMMIT_SPACE) offset = 0;
        FR_TRY(commit(c, offset));
        offset += c->plan->size;
        now_us = fr_env_now_us(env);
        fr_histogram_record(&rate->latency, now_us - before_us);
        rate->count++;
    }
    rate->elapsed_us = now_us - start_us;
out:
    return st;
}

fr_status fr_disk_probe_syncs(struct fr_env *env, struct fr_dir *dir,
        const struct fr_disk_syncs *plan, struct fr_disk_rate *ret_rate)
{
    struct committer committer = {.plan = plan, .dir = dir};
    fr_status st;

    if (plan->size == 0 || plan->size % 4096 != 0 || plan->size > COMMIT_SPACE)
        return FR_FAIL(FR_ERR_MISUSE, "a commit of %zu bytes cannot be measured", plan->size);
    ret_rate->count = 0;
    ret_rate->elapsed_us = 0;
    fr_histogram_init(&ret_rate->latency);
    FR_TRY(open_committer(&committer, env));
    FR_TRY(run_commits(&committer, env, ret_rate));
out:
    close_committer(&committer);
    return st;
}
