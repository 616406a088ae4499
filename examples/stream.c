/*
 * stream.c - vectors that change all the time, and a process that dies in the middle of it.
 *
 * A child writes batches of vectors and searches meanwhile, and tells through a pipe which batches
 * were acknowledged. After a while it is killed with signal 9, as a crash would. Then the store is
 * opened again, and every vector that was acknowledged has to be there, and be found.
 *
 *   stream DIR [SECONDS]
 *
 * C11, and C++20 as it stands.
 */
#include <freshet/freshet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DIM   64
#define BATCH 100

/* Every so many ids are put again later, as another version. */
#define AGAIN 10

static void check(fr_status st)
{
    if (st >= 0) return;
    fprintf(stderr, "stream: %s\n", fr_last_error());
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x7fb5d329728ea185ULL;
    x = (x ^ x >> 27) * 0x81dadef4bc2dd44dULL;
    return (uint32_t)(x >> 33);
}

/* The vector of an id is always the same: near one of a thousand centres. */
static void make(uint64_t id, float *x)
{
    uint64_t centre = mix(id) % 1000;

    for (unsigned i = 0; i < DIM; i++)
        x[i] = (float)(mix(centre * 977 + i) % 1000) + (float)(mix(id * DIM + i) % 300);
}

static void open_all(const char *path, struct fr_db **db, struct fr_index **index)
{
    struct fr_index_options options;

    check(fr_db_open(path, NULL, db));
    fr_index_options_init(&options);
    options.dimension = DIM;
    check(fr_index_open(*db, "", &options, index));
}

/* ---- The child ---- */

struct progress {
    uint64_t acknowledged; /* all ids below */
    double search_ms;      /* the middle of the latest searches */
    struct fr_index_stats stats;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The middle of a few searches; the vector itself has to be the first hit. */
static double search_some(struct fr_index *index, uint64_t end)
{
    double times[9];

    for (unsigned i = 0; i < 9; i++) {
        uint64_t id = mix(end + i) % end;
        struct fr_hit hits[10];
        double start;
        float x[DIM];
        size_t count;

        make(id, x);
        start = now();
        check(fr_index_search(index, NULL, x, 10, hits, &count));
        times[i] = (now() - start) * 1e3;
    }
    qsort(times, 9, sizeof(times[0]), compare);
    return times[4];
}

static void stream(const char *path, int out)
{
    struct progress progress = {.stats = {.size = sizeof(progress.stats)}};
    struct fr_index *index;
    struct fr_db *db;
    float *vectors = (float *)malloc(sizeof(float) * BATCH * DIM);

    open_all(path, &db, &index);
    for (uint64_t next = 0;; next += BATCH - AGAIN) {
        uint64_t ids[BATCH];

        for (unsigned i = 0; i < BATCH; i++) {
            /* The first of a batch are old ones, which take each other's place. */
            ids[i] = next > 0 && i < AGAIN ? mix(next + i) % next
                                           : next + i - (next > 0 ? AGAIN : 0);
            make(ids[i], vectors + i * DIM);
        }
        if (next == 0) next = AGAIN;
        check(fr_index_upsert(index, NULL, BATCH, ids, vectors, NULL));
        progress.acknowledged = next + BATCH - AGAIN;
        progress.search_ms = search_some(index, progress.acknowledged);
        check(fr_index_stats_get(index, &progress.stats));
        if (write(out, &progress, sizeof(progress)) != (ssize_t)sizeof(progress)) exit(1);
    }
}

/* ---- The parent ---- */

static void print_line(const struct progress *p, double seconds)
{
    printf("  %5.1f s  %8llu vectors  %6.0f/s durable   a search %.2f ms   %5llu postings, "
           "%llu splits, %llu moved\n",
            seconds, (unsigned long long)p->acknowledged, (double)p->acknowledged / seconds,
            p->search_ms, (unsigned long long)p->stats.postings,
            (unsigned long long)p->stats.splits, (unsigned long long)p->stats.moved);
}

/* Until the time is over; then the child dies, and what it had still told counts. */
static uint64_t watch(int in, pid_t child, double seconds)
{
    struct progress progress = {0};
    double start = now(), told = start;
    int alive = 1;

    while (read(in, &progress, sizeof(progress)) == (ssize_t)sizeof(progress)) {
        if (now() - told >= 1) {
            told = now();
            print_line(&progress, told - start);
        }
        if (alive && now() - start >= seconds) {
            kill(child, SIGKILL);
            printf("  killed with signal 9 after %.1f s\n", now() - start);
            alive = 0;
        }
    }
    waitpid(child, NULL, 0);
    return progress.acknowledged;
}

static int same(const float *a, const float *b)
{
    for (unsigned i = 0; i < DIM; i++)
        if (a[i] != b[i]) return 0;
    return 1;
}

/* Every vector is read, and every one is found. */
static uint64_t count_missing(struct fr_index *index, uint64_t end)
{
    struct fr_search_options all = {.size = sizeof(all), .postings = 1U << 30};
    struct fr_hit *hits = (struct fr_hit *)malloc((end + 10 * BATCH) * sizeof(*hits));
    unsigned char *found = (unsigned char *)calloc(end + 10 * BATCH, 1);
    uint64_t missing = 0;
    float x[DIM], got[DIM];
    size_t count;

    make(0, x);
    check(fr_index_search(index, &all, x, end + 10 * BATCH, hits, &count));
    for (size_t i = 0; i < count; i++)
        if (hits[i].id < end) found[hits[i].id] = 1;
    for (uint64_t id = 0; id < end; id++) {
        make(id, x);
        fr_status st = fr_index_get(index, id, got, NULL);
        check(st);
        missing += st != FR_OK || !same(x, got) || !found[id];
    }
    free(hits);
    free(found);
    return missing;
}

int main(int argc, char **argv)
{
    struct fr_index *index;
    struct fr_db *db;
    double start;
    int ends[2];

    if (argc < 2 || argc > 3 || pipe(ends) != 0) {
        fprintf(stderr, "usage: stream DIR [SECONDS]\n");
        return 2;
    }
    printf("streaming vectors of %d dimensions, %d a batch, each batch on stable storage before "
           "it\n"
           "is acknowledged; some of each batch take the place of older ones\n",
            DIM, BATCH);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        stream(argv[1], ends[1]);
    }
    close(ends[1]);
    uint64_t acknowledged = watch(ends[0], child, argc == 3 ? strtod(argv[2], NULL) : 10);

    start = now();
    open_all(argv[1], &db, &index);
    printf("opened again in %.3f s\n", now() - start);
    uint64_t missing = count_missing(index, acknowledged);
    printf("%llu vectors were acknowledged, %llu of them are missing\n",
            (unsigned long long)acknowledged, (unsigned long long)missing);
    start = now();
    check(fr_index_verify(index));
    printf("verified in %.3f s: every vector is where it belongs\n", now() - start);
    fr_index_close(index);
    check(fr_db_close(db));
    return missing == 0 && acknowledged > 0 ? 0 : 1;
}
