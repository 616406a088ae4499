/* pool_queue_test.c - the pool with few workers, with none, and with many queues at once. */
#include <sys/resource.h>

#include "base/thread.h"
#include "io/env_priv.h"
#include "tests/unit/io/test_world.h"

enum { COUNT = 100, SIZE = 500 };

/* Read a file of COUNT * SIZE bytes through a queue of its own, many times. */
struct reader {
    struct fr_thread thread;
    struct fr_env *env;
    struct fr_file *file;
    unsigned rounds;
    unsigned wrong_count;
};

static void read_rounds(void *arg)
{
    struct reader *reader = arg;
    struct fr_io_request requests[COUNT];
    static _Thread_local uint8_t data[COUNT][SIZE];
    struct fr_io_queue_options options = {.depth = 20};
    struct fr_io_request *request;
    struct fr_io_queue *queue;

    reader->wrong_count = 1000;
    if (fr_io_queue_open(reader->env, &options, &queue) != FR_OK) return;
    reader->wrong_count = 0;
    for (unsigned round = 0; round < reader->rounds; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            requests[i] = (struct fr_io_request){.op = FR_IO_READ,
                    .file = reader->file,
                    .data = data[i],
                    .size = SIZE,
                    .offset = i * SIZE};
            fr_io_queue_push(queue, &requests[i]);
        }
        fr_io_queue_wait(queue, COUNT);
        while ((request = fr_io_queue_pop(queue)) != NULL)
            if (fr_io_request_check_exact(request) != FR_OK ||
                    !test_matches(request->data, request->offset, SIZE))
                reader->wrong_count++;
    }
    fr_io_queue_close(queue);
}

Test(pool_queue, serves_many_threads_with_few_workers, .timeout = 60)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", COUNT * SIZE);
    struct reader readers[6];

    for (unsigned i = 0; i < FR_ARRAY_COUNT(readers); i++) {
        readers[i] = (struct reader){.env = world.env, .file = file, .rounds = 50};
        must(fr_thread_start(&readers[i].thread, "reader", read_rounds, &readers[i]));
    }
    for (unsigned i = 0; i < FR_ARRAY_COUNT(readers); i++) {
        fr_thread_join(&readers[i].thread);
        cr_assert_eq(readers[i].wrong_count, 0);
    }
    fr_file_close(file);
    test_world_close(&world);
}

Test(pool_queue, works_without_a_single_thread)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", COUNT * SIZE);
    struct reader reader = {.env = world.env, .file = file, .rounds = 3};
    struct fr_io_pool *pool;

    /* A pool that may have no threads stands for a system that gives none. */
    must(fr_io_pool_new(0, &pool));
    struct fr_queue_backend *queue;
    struct fr_io_queue_options options = {.depth = 4};
    must(fr_pool_queue_open(pool, &options, &queue));
    uint8_t data[SIZE];
    struct fr_io_request request = {
            .op = FR_IO_READ, .file = file, .data = data, .size = SIZE, .offset = SIZE};
    cr_assert(fr_io_request_begin(&request));
    cr_assert(queue->ops->stage(queue, &request));
    queue->ops->start(queue);
    cr_assert_eq(queue->ops->reap(queue, 1), &request);
    cr_assert_eq(request.result, SIZE);
    cr_assert(test_matches(data, SIZE, SIZE));
    queue->ops->close(queue);
    fr_io_pool_free(pool);

    read_rounds(&reader);
    cr_assert_eq(reader.wrong_count, 0);
    fr_file_close(file);
    test_world_close(&world);
}
