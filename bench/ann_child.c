/* bench of internals: it shares alloc.h. */
#include "bench/ann_child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "bench/ann_data.h"

#define THREADS_MAX 256

static double seconds_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A value in KiB of this process's map, in bytes. */
static uint64_t map_value(const char *name)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    uint64_t kib = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0) kib = strtoull(line + strlen(name), NULL, 10);
    if (file != NULL) fclose(file);
    return kib << 10;
}

static uint64_t private_bytes(void)
{
    return map_value("Private_Dirty:") + map_value("Private_Clean:");
}

/* The searching process's own. */
struct server {
    const struct ann_engine *engine;
    const struct ann_task *task;
    void *index;
    uint32_t *ids; /* k for each query */
    double *took;  /* of each query, by one thread */
    size_t level;
    bool is_timed;
    _Atomic(size_t) next; /* relaxed: it only deals out queries */
};

/* One of a pass's threads: they take one query after the other, from one counter. */
static void *search_all(void *given)
{
    struct server *server = given;
    const struct ann_task *task = server->task;
    void *session = server->engine->session_open(server->index);
    size_t q;

    while ((q = atomic_fetch_add_explicit(&server->next, 1, memory_order_relaxed)) <
            task->queries->count) {
        double start = server->is_timed ? seconds_of(CLOCK_MONOTONIC) : 0;

        server->engine->search(session, server->level,
                task->queries->vectors + q * task->queries->dimension, task->k,
                server->ids + q * task->k);
        if (server->is_timed) server->took[q] = seconds_of(CLOCK_MONOTONIC) - start;
    }
    server->engine->session_close(session);
    return NULL;
}

/* Whether an id is right, and was not answered before. */
static bool is_hit(const struct ann_task *task, size_t q, const uint32_t *ids, size_t i)
{
    size_t dimension = task->base->dimension;

    if (ids[i] == UINT32_MAX) return false;
    if (ids[i] >= task->base->count) ann_die("an answer that is no vector's id: %u", ids[i]);
    for (size_t j = 0; j < i; j++)
        if (ids[j] == ids[i]) return false;
    float distance = ann_distance(task->metric, task->queries->vectors + q * dimension,
            task->base->vectors + (size_t)ids[i] * dimension, dimension);
    return distance <= task->farthest[q];
}

static double recall_of(const struct server *server)
{
    const struct ann_task *task = server->task;
    size_t hits = 0;

    for (size_t q = 0; q < task->queries->count; q++)
        for (size_t i = 0; i < task->k; i++)
            hits += is_hit(task, q, server->ids + q * task->k, i);
    return (double)hits / ((double)task->queries->count * (double)task->k);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double percentile_us(const double *sorted, size_t count, double share)
{
    return sorted[(size_t)((double)(count - 1) * share)] * 1e6;
}

static void run_pass(struct server *server, size_t level, unsigned threads,
        struct ann_pass *ret_pass)
{
    pthread_t ids[THREADS_MAX];
    size_t count = server->task->queries->count;
    /* What others do on the machine meanwhile is no part of one thread's time. */
    clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    double start = seconds_of(clock);

    server->level = level;
    server->is_timed = threads == 1;
    atomic_store_explicit(&server->next, 0, memory_order_relaxed);
    for (unsigned i = 1; i < threads; i++)
        if (pthread_create(&ids[i], NULL, search_all, server) != 0)
            ann_die("cannot start a thread");
    search_all(server);
    for (unsigned i = 1; i < threads; i++)
        pthread_join(ids[i], NULL);
    *ret_pass =
            (struct ann_pass){.seconds = seconds_of(clock) - start, .recall = recall_of(server)};
    if (!server->is_timed) return;
    qsort(server->took, count, sizeof(server->took[0]), by_value);
    ret_pass->p50_us = percentile_us(server->took, count, 0.50);
    ret_pass->p95_us = percentile_us(server->took, count, 0.95);
    ret_pass->p99_us = percentile_us(server->took, count, 0.99);
}

static bool read_all(int fd, void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)to + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* What is small enough goes through a pipe in one piece. */
static bool write_all(int fd, const void *from, size_t size)
{
    ssize_t n;

    do
        n = write(fd, from, size);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)size;
}

struct order {
    size_t level;
    unsigned threads; /* 0: be gone */
};

static struct ann_made make_index(struct server *server, const struct ann_job *job)
{
    struct ann_made made = {0};
    uint64_t before = private_bytes();
    double start = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);

    server->index = server->engine->build(job, &made.built);
    made.seconds = seconds_of(CLOCK_MONOTONIC) - start;
    made.cpu_seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    made.private_bytes = private_bytes() - before;
    return made;
}

/* The child's life. */
static void serve(struct server *server, const struct ann_job *job, int from, int to)
{
    size_t count = server->task->queries->count;
    struct ann_made made = make_index(server, job);
    struct ann_pass pass;
    struct order order;

    server->ids = fr_alloc(count * server->task->k * sizeof(uint32_t));
    server->took = fr_alloc(count * sizeof(double));
    if (server->ids == NULL || server->took == NULL) ann_die("no memory");
    if (!write_all(to, &made, sizeof(made))) return;
    while (read_all(from, &order, sizeof(order)) && order.threads > 0) {
        run_pass(server, order.level, order.threads, &pass);
        if (!write_all(to, &pass, sizeof(pass))) return;
    }
}

void ann_child_start(struct ann_child *child, const struct ann_engine *engine,
        const struct ann_task *task, const struct ann_job *job)
{
    struct server server = {.engine = engine, .task = task};
    int down[2], up[2];

    fflush(stdout);
    if (pipe(down) != 0 || pipe(up) != 0) ann_die("cannot make a pipe");
    pid_t pid = fork();
    if (pid < 0) ann_die("cannot fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(down[1]);
        close(up[0]);
        serve(&server, job, down[0], up[1]);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    *child = (struct ann_child){.engine = engine, .pid = pid, .to = down[1], .from = up[0]};
    if (!read_all(child->from, &child->made, sizeof(child->made)))
        ann_die("%s: made no index", engine->name);
}

void ann_child_pass(struct ann_child *child, size_t level, unsigned threads,
        struct ann_pass *ret_pass)
{
    struct order order = {.level = level, .threads = FR_MIN(threads, (unsigned)THREADS_MAX)};

    if (!write_all(child->to, &order, sizeof(order)) ||
            !read_all(child->from, ret_pass, sizeof(*ret_pass)))
        ann_die("%s: gave no answer", child->engine->name);
}

void ann_child_stop(struct ann_child *child)
{
    struct order order = {0};

    /* To close the pipe would not do: processes that were started later have its end too. */
    (void)write_all(child->to, &order, sizeof(order));
    close(child->to);
    close(child->from);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
