/* bench of internals: the helpers of base/ and tools/; engines are used as any program uses them.
 *
 * bench_kv.c - Freshet beside RocksDB, LevelDB, LMDB and WiredTiger: the same work, in turns.
 *
 *   bench_kv DIR                                      1 M keys of 512 B, cache of 256 MiB, 3
 *                                                     repeats
 *   bench_kv --engines rocksdb,lmdb --workloads readrandom DIR
 *   bench_kv --zstd -e freshet,freshet+nodict,rocksdb DIR
 *   bench_kv --quick DIR                              seconds; says that it works, not how fast
 *
 * Keys have 16 bytes and are ordered as their ids, 0 to N-1; values are slices of random floats
 * (kv_data.h). "Random order" is a permutation: every id once. "Random keys" are drawn evenly.
 * Writes are handed to the operating system before the call returns; in sync1 and sync8 they are on
 * the device.
 *
 * Compression is off, unless --zstd: then only engines that have zstd run, all at the same level,
 * and values are JSON, unless --values says otherwise.
 *
 * Variants of an engine take part where --engines names them, each beside the others: freshet+dict
 * and freshet+nodict (zstd's dictionaries; the library's default is to have them), freshet+direct
 * (reads past the page cache), freshet+block_size=16KiB (any option of the store), rocksdb+dict.
 * --dictionary and --direct say it for all that do not say it by a word of their name.
 *
 *   fillseq           every key in order, one put each, into a new store
 *   batch100          every key in random order, 100 to an atomic batch, into a new store
 *   fillrandom        every key in random order, one put each, into a new store
 *   overwrite         every key of that store anew, in another order
 *   readrandom        N gets of random keys of that store, caches warmed by as many gets
 *   multiread64       the same, 64 keys to a call; an operation is a key, a latency is a call's
 *   readseq           iterate over all; must come to every key. A latency is that of 64 entries
 *   readreverse       the same, backwards
 *   seekrandom        seek a random key, look at it and the 10 behind it
 *   coldread          gets, one after the other, of random keys, after the store's files were
 * synced and dropped from the page cache and the store was opened; few enough (1 % of the keys)
 * that what they themselves read does not make the store warm coldmulti64       the same with 64
 * keys to a call, twice as many keys reopen            open the store, closed before, and get a
 * key: 5 times, a latency is one opening readwhilewriting  --threads threads get random keys for a
 * while, one more overwrites them deleterange       delete the middle tenth of the keys in 100
 * neighbouring ranges; an operation is a range scandeleted       100 times: a new iterator, from 10
 * keys before what was deleted to 10 behind it append40          N times: 40 bytes behind the value
 * of a random one of N/100 keys, new store postingget        get those values, in whole passes
 *   sync1, sync8      durable puts of one thread, of 8 threads, into a new store
 *   reopenlog         in a process that is then killed (SIGKILL), put as much as the write buffer's
 *                     size, where the buffer has twice that; open and get a key. All that was put
 * must be there overload          puts of random keys, as fast as it goes, for half a minute, into
 * a new store
 *
 * Every value that is read must be its key's (id, version, last bytes), scans must come to the
 * right keys in the right number, postings must add up; otherwise the run ends with words and
 * code 1.
 *
 * Each run of a workload is a child process, so that memory, threads and caches of one engine do
 * not touch another's; the store stays on disk in between. Engines take turns workload by workload,
 * and begin in turn, too, from repeat to repeat. A run by count is cut after --limit; a cut fill is
 * completed, not measured, so that what follows finds its keys.
 *
 * SIGTERM and the end of --total let the run under way end, and what there is gets told.
 *
 * A virtual machine gets its memory from the host when it first writes to it, which is slow and
 * would be counted against whoever comes first; --touch does that before anything is measured.
 *
 * Write amplification is write_bytes of /proc/self/io (pages made dirty and direct writes, of all
 * of the child's threads) from before the store is opened until it has settled, over the bytes of
 * the keys and values put. Space amplification is what the folder takes up then, over the live
 * bytes.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/human.h"
#include "bench/kv_data.h"
#include "bench/kv_os.h"
#include "bench/kv_report.h"
#include "bench/kv_work.h"
#include "bench/measure.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "tools/args.h"
#include "tools/disk_probe.h"

#define PATH_ROOM      4096
#define LIST_ROOM      1024
#define KEYS_MIN       1000
#define STORE_KINDS    3
#define DISK_FILE      ((uint64_t)1 << 30)
#define DISK_TIME_US   2000000
#define EXIT_FAILED    1
#define EXIT_SKIPPED   77
#define DICTIONARY_MIN 1024
#define DICTIONARY_MAX 65536
#define COLD_SHARE     100
#define COLD_READ_MIN  200

struct bench {
    struct kv_settings settings;
    struct kv_report report;
    struct kv_state states[KV_ENGINES_MAX][STORE_KINDS];
    const char *engines, *workloads, *compression, *values, *json;
    uint64_t repeats, touch_bytes;
    uint64_t total_ns, end_ns; /* after which no run begins; 0: never */
    bool quick, keep, zstd;
};

/* Set by a signal: no more runs are begun, and what there is gets told. */
static volatile sig_atomic_t is_stopped;

static void stop_soon(int number)
{
    (void)number;
    is_stopped = 1;
}

static bool is_over(const struct bench *b)
{
    return is_stopped || (b->end_ns != 0 && measure_now_ns() >= b->end_ns);
}

/* Is the name in the list, separated by commas? No list has every name. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);

    if (list == NULL) return true;
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static bool is_wanted(const struct bench *b, const struct kv_workload *work)
{
    return (work->flags & KV_WORK_HIDDEN) == 0 && is_listed(b->workloads, work->name);
}

static void store_path(const struct bench *b, size_t engine, enum kv_store_kind kind,
        char path[PATH_ROOM])
{
    static const char *const kinds[STORE_KINDS] = {"scratch", "main", "postings"};

    snprintf(path, PATH_ROOM, "%s/bench_kv.%s.%s", b->settings.dir, b->report.engines[engine]->name,
            kinds[kind]);
}

/* --- Children ----------------------------------------------------------------------------------
 */

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

static bool write_all(int fd, const void *from, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)from + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* What a child is to do; it writes its answer to the descriptor and ends. */
typedef void child_work(void *arg, int fd);

/* Run it, read an answer of so many bytes, tell the child's peak memory. False: it failed. */
static bool run_child(child_work *work, void *arg, void *ret_answer, size_t size,
        uint64_t *ret_peak_bytes)
{
    int ends[2], status = 0;
    struct rusage usage;

    fflush(stdout);
    if (pipe(ends) != 0) kv_die("cannot make a pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0) kv_die("cannot fork: %s", strerror(errno));
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        close(ends[0]);
        work(arg, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    bool good = read_all(ends[0], ret_answer, size);
    close(ends[0]);
    while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    *ret_peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    return good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct job {
    struct bench *bench;
    const struct kv_workload *work;
    size_t engine;
};

static void do_workload(void *arg, int fd)
{
    static struct kv_result result;
    const struct job *job = arg;
    struct bench *b = job->bench;
    enum kv_store_kind kind = job->work->store;
    char path[PATH_ROOM];

    store_path(b, job->engine, kind, path);
    kv_workload_run(job->work, b->report.engines[job->engine], &b->settings, path,
            &b->states[job->engine][kind], &result);
    if (!write_all(fd, &result, sizeof(result))) kv_die("cannot hand back a result");
}

static bool run_job(struct bench *b, const struct kv_workload *work, size_t engine,
        struct kv_result *ret_result)
{
    struct job job = {.bench = b, .work = work, .engine = engine};
    struct kv_state *state = &b->states[engine][work->store];
    char path[PATH_ROOM];
    uint64_t peak = 0;

    if ((work->flags & KV_WORK_NEW) != 0) {
        store_path(b, engine, work->store, path);
        kv_dir_remove(path);
        kv_dir_make(path);
        *state = (struct kv_state){0};
    }
    if (!run_child(do_workload, &job, ret_result, sizeof(*ret_result), &peak)) {
        fprintf(stderr, "bench_kv: %s of %s failed\n", work->name, b->report.engines[engine]->name);
        return false;
    }
    ret_result->peak_bytes = peak;
    *state = ret_result->state;
    if (work->store == KV_STORE_SCRATCH) {
        store_path(b, engine, work->store, path);
        kv_dir_remove(path);
    }
    return true;
}

/* The workload, after what it needs. */
static bool measure(struct bench *b, const struct kv_workload *work, size_t engine)
{
    struct kv_cell *cell = &b->report.cells[work - kv_workloads][engine];
    struct kv_result *result = &cell->results[cell->count];
    struct kv_result unused;

    if ((work->flags & KV_WORK_NEW) == 0 && !b->states[engine][work->store].loaded &&
            !run_job(b, kv_workload_loader(work->store), engine, &unused))
        return false;
    if (!run_job(b, work, engine, result)) return false;
    cell->count++;
    kv_report_line(work->name, b->report.engines[engine], result);
    return true;
}

/* Wanted, or what a wanted one needs: scandeleted has no sense without deleterange before it. */
static bool is_needed(const struct bench *b, const struct kv_workload *work)
{
    return is_wanted(b, work) ||
           (strcmp(work->name, "deleterange") == 0 && is_listed(b->workloads, "scandeleted"));
}

static bool measure_all(struct bench *b)
{
    for (uint64_t repeat = 0; repeat < b->repeats; repeat++) {
        for (const struct kv_workload *work = kv_workloads; work->name != NULL; work++) {
            if ((work->flags & KV_WORK_HIDDEN) != 0 || !is_needed(b, work)) continue;
            for (size_t i = 0; i < b->report.engine_count; i++) {
                if (is_over(b)) return true;
                if (!measure(b, work, (i + repeat) % b->report.engine_count))
                    return is_stopped != 0;
            }
        }
        /* A tenth is gone where deleterange was not followed by scandeleted. */
        for (size_t e = 0; e < b->report.engine_count; e++)
            b->states[e][KV_STORE_MAIN].loaded = false;
    }
    return true;
}

/* --- The disk's own rate -----------------------------------------------------------------------
 */

static fr_status probe_disk(const char *path, uint64_t size, double *ret_rate)
{
    static struct fr_disk_rate rate;
    struct fr_env_options options = {.kind = FR_ENV_URING, .pool_threads_max = 64};
    struct fr_disk_reads plan = {
            .block_size = 4096, .depth = 64, .duration_us = DISK_TIME_US, .seed = 1};
    struct fr_env *env = NULL;
    struct fr_dir *dir = NULL;
    struct fr_file *file = NULL;
    fr_status st;

    FR_TRY(fr_env_open(&options, &env));
    FR_TRY(fr_dir_open(env, path, 0, &dir));
    FR_TRY(fr_disk_probe_file(dir, "iotest.kv", size, &file));
    FR_TRY(fr_disk_probe_reads(env, file, &plan, &rate));
    *ret_rate = fr_disk_rate_per_second(&rate);
out:
    if (dir != NULL) {
        fr_file_close(file);
        fr_dir_close(dir);
    }
    fr_env_close(env);
    return st;
}

static void do_probe(void *arg, int fd)
{
    const struct bench *b = arg;
    double rate = 0;

    if (probe_disk(b->settings.dir, b->quick ? DISK_FILE / 64 : DISK_FILE, &rate) < 0) rate = 0;
    if (!write_all(fd, &rate, sizeof(rate))) kv_die("cannot hand back a result");
}

static void measure_disk(struct bench *b)
{
    uint64_t peak;
    char path[PATH_ROOM];

    if (!is_listed(b->workloads, "coldmulti64")) return;
    if (!run_child(do_probe, b, &b->report.disk_reads, sizeof(double), &peak))
        b->report.disk_reads = 0;
    snprintf(path, sizeof(path), "%s/iotest.kv", b->settings.dir);
    unlink(path);
    if (b->report.disk_reads > 0)
        printf("disk             : %.0f random reads of 4 KiB per second at depth 64\n",
                b->report.disk_reads);
}

/* --- The machine's memory ----------------------------------------------------------------------
 */

static void do_touch(void *arg, int fd)
{
    const struct bench *b = arg;
    uint64_t before = measure_now_ns();

    kv_memory_touch(b->touch_bytes);
    uint64_t took = measure_now_ns() - before;
    if (!write_all(fd, &took, sizeof(took))) kv_die("cannot hand back a result");
}

/* In a child, whose memory goes back as a whole. An eighth of what there is stays alone. */
static void touch_memory(struct bench *b)
{
    uint64_t most = kv_memory_available() / 8 * 7, took = 0, peak;

    if (b->touch_bytes == 0) return;
    if (most != 0) b->touch_bytes = FR_MIN(b->touch_bytes, most);
    if (run_child(do_touch, b, &took, sizeof(took), &peak))
        printf("touched          : %s of memory in %s\n", fr_human_size(b->touch_bytes).text,
                fr_human_duration(took).text);
}

/* --- The command line --------------------------------------------------------------------------
 */

static bool is_all_known(const char *list, const char *what, bool (*is_known)(const char *))
{
    char copy[LIST_ROOM];
    char *rest = copy;

    snprintf(copy, sizeof(copy), "%s", list);
    for (char *at = strsep(&rest, ","); at != NULL; at = strsep(&rest, ",")) {
        if (is_known(at)) continue;
        fprintf(stderr, "bench_kv: there is no %s called %s\n", what, at);
        return false;
    }
    return true;
}

static bool is_workload(const char *name)
{
    for (const struct kv_workload *work = kv_workloads; work->name != NULL; work++)
        if ((work->flags & KV_WORK_HIDDEN) == 0 && strcmp(work->name, name) == 0) return true;
    return false;
}

static bool is_engine(const char *name)
{
    return kv_engine_find(name) != NULL;
}

/* --zstd is the compression, and values that it can do something about. */
static bool choose_values(struct bench *b)
{
    struct kv_settings *s = &b->settings;

    if (b->zstd) b->compression = "zstd";
    if (b->values == NULL) b->values = b->zstd ? "json" : "floats";
    if (strcmp(b->compression, "zstd") == 0) {
        s->compression = KV_COMPRESSION_ZSTD;
    } else if (strcmp(b->compression, "none") != 0) {
        fprintf(stderr, "bench_kv: compression is none or zstd\n");
        return false;
    }
    if (strcmp(b->values, "json") == 0) {
        s->values = KV_VALUES_JSON;
    } else if (strcmp(b->values, "floats") != 0) {
        fprintf(stderr, "bench_kv: values are floats or json\n");
        return false;
    }
    return true;
}

/* Say what was asked for and cannot be. */
static bool is_sane(struct bench *b)
{
    struct kv_settings *s = &b->settings;

    if (b->engines != NULL && !is_all_known(b->engines, "engine", is_engine)) return false;
    if (b->workloads != NULL && !is_all_known(b->workloads, "workload", is_workload)) return false;
    if (!choose_values(b)) return false;
    if (s->dictionary_bytes != UINT64_MAX && s->dictionary_bytes != 0 &&
            (s->dictionary_bytes < DICTIONARY_MIN || s->dictionary_bytes > DICTIONARY_MAX)) {
        fprintf(stderr, "bench_kv: a dictionary has 1 KiB to 64 KiB, or 0 for none\n");
        return false;
    }
    if (s->keys >= KEYS_MIN && s->value_size >= KV_VALUE_MIN && s->value_size <= KV_VALUE_MAX &&
            s->threads >= 1 && s->threads <= 64)
        return true;
    fprintf(stderr, "bench_kv: at least %d keys, values of %d B to 1 MiB, 1 to 64 threads\n",
            KEYS_MIN, KV_VALUE_MIN);
    return false;
}

static void choose_engine(struct bench *b, const struct kv_engine *engine)
{
    struct kv_report *report = &b->report;

    if (b->settings.compression == KV_COMPRESSION_ZSTD && (engine->caps & KV_CAP_ZSTD) == 0) {
        printf("left out         : %s: no zstd\n", engine->name);
        return;
    }
    for (size_t e = 0; e < report->engine_count; e++)
        if (report->engines[e] == engine) return;
    if (report->engine_count == KV_ENGINES_MAX)
        printf("left out         : %s: too many engines\n", engine->name);
    else
        report->engines[report->engine_count++] = engine;
}

/* All that are built in, or those that are named, variants among them. */
static void choose_engines(struct bench *b)
{
    char copy[LIST_ROOM];
    char *rest = copy;

    if (b->engines == NULL) {
        for (size_t i = 0; kv_engines[i] != NULL; i++)
            choose_engine(b, kv_engines[i]);
        return;
    }
    snprintf(copy, sizeof(copy), "%s", b->engines);
    for (char *name = strsep(&rest, ","); name != NULL; name = strsep(&rest, ","))
        choose_engine(b, kv_engine_find(name));
}

static void make_quick(struct bench *b)
{
    b->settings.keys = 20000;
    b->settings.cache_bytes = (uint64_t)4 << 20;
    b->settings.write_buffer_bytes = (uint64_t)2 << 20;
    b->settings.limit_ns = 1000000000;
    b->settings.timed_ns = 100000000;
    b->settings.overload_ns = 300000000;
    b->repeats = 1;
}

static void print_freshets_options(const struct kv_settings *s)
{
    if (s->dictionary_bytes != UINT64_MAX)
        printf("dictionary       : %s, where no word of an engine's name says otherwise\n",
                fr_human_size(s->dictionary_bytes).text);
    if (s->direct) printf("direct           : Freshet reads past the page cache\n");
}

static void print_versions(const struct bench *b)
{
    printf("versions         :");
    for (size_t e = 0; e < b->report.engine_count; e++)
        if (b->report.engines[e]->variant == NULL)
            printf(" %s %s", b->report.engines[e]->name, b->report.engines[e]->version());
    printf("\n");
}

static void print_preamble(const struct bench *b)
{
    const struct kv_settings *s = &b->settings;

    printf("keys             : %s of 16 B, values of %s, %s\n", fr_human_count(s->keys).text,
            fr_human_size(s->value_size).text, b->values);
    printf("cache            : %s, write buffer %s, compression %s",
            fr_human_size(s->cache_bytes).text, fr_human_size(s->write_buffer_bytes).text,
            b->compression);
    if (s->compression == KV_COMPRESSION_ZSTD) printf(", level %d", KV_ZSTD_LEVEL);
    printf("\n");
    print_freshets_options(s);
    printf("cold             : %s\n",
            s->drop_machine ? "the machine's page cache is dropped"
                            : "the files' pages are dropped (fsync, POSIX_FADV_DONTNEED)");
    printf("repeats          : %" PRIu64 ", engines in turn\n", b->repeats);
    print_versions(b);
    for (size_t e = 0; e < b->report.engine_count; e++)
        if ((b->report.engines[e]->caps & KV_CAP_APPEND) == 0)
            printf("append           : %s reads, joins and writes\n", b->report.engines[e]->name);
    if (kv_engines_absent[0] != '\0') printf("not built in     :%s\n", kv_engines_absent);
}

static bool write_json(const struct bench *b)
{
    FILE *file = fopen(b->json, "we");
    bool good = file != NULL && kv_report_json(&b->report, file);

    if (file != NULL && fclose(file) != 0) good = false;
    if (!good) fprintf(stderr, "bench_kv: cannot write %s\n", b->json);
    return good;
}

static void clean_up(struct bench *b)
{
    char path[PATH_ROOM];

    for (size_t e = 0; e < b->report.engine_count; e++) {
        for (int kind = 0; kind < STORE_KINDS; kind++) {
            store_path(b, e, (enum kv_store_kind)kind, path);
            kv_dir_remove(path);
        }
    }
}

static int run(struct bench *b)
{
    if (mkdir(b->settings.dir, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "bench_kv: cannot make %s: %s\n", b->settings.dir, strerror(errno));
        return FR_EXIT_IO;
    }
    b->report.settings = &b->settings;
    b->report.repeats = b->repeats;
    choose_engines(b);
    print_preamble(b);
    if (b->report.engine_count == 0) {
        printf("There is no engine to measure.\n");
        return EXIT_SKIPPED;
    }
    signal(SIGTERM, stop_soon);
    if (b->total_ns != 0) b->end_ns = measure_now_ns() + b->total_ns;
    touch_memory(b);
    measure_disk(b);
    bool good = measure_all(b);
    if (!b->keep) clean_up(b);
    kv_report_tables(&b->report);
    if (b->json != NULL && !write_json(b)) return FR_EXIT_IO;
    return good ? FR_EXIT_FINE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    static struct bench b = {
            .settings = {.keys = 1000000,
                    .value_size = 512,
                    .cache_bytes = (uint64_t)256 << 20,
                    .write_buffer_bytes = (uint64_t)64 << 20,
                    .threads = 2,
                    .limit_ns = 60000000000,
                    .timed_ns = 5000000000,
                    .overload_ns = 30000000000,
                    .dictionary_bytes = UINT64_MAX},
            .compression = "none",
            .repeats = 3,
    };
    struct kv_settings *s = &b.settings;
    const struct fr_option options[] = {
            {"keys", 'n', FR_OPTION_COUNT, "N", "keys (1000000)", &s->keys},
            {"value-size", 'v', FR_OPTION_SIZE, "SIZE", "of a value (512 B)", &s->value_size},
            {"engines", 'e', FR_OPTION_TEXT, "LIST", "separated by commas (all)", &b.engines},
            {"workloads", 'w', FR_OPTION_TEXT, "LIST", "separated by commas (all)", &b.workloads},
            {"cache", 0, FR_OPTION_SIZE, "SIZE", "budget of each engine (256 MiB)",
                    &s->cache_bytes},
            {"write-buffer", 0, FR_OPTION_SIZE, "SIZE", "one memtable of a peer (64 MiB)",
                    &s->write_buffer_bytes},
            {"compression", 0, FR_OPTION_TEXT, "KIND", "none or zstd (none)", &b.compression},
            {"zstd", 0, FR_OPTION_FLAG, NULL, "the same as --compression zstd --values json",
                    &b.zstd},
            {"values", 0, FR_OPTION_TEXT, "KIND", "floats or json (floats; with --zstd json)",
                    &b.values},
            {"dictionary", 0, FR_OPTION_SIZE, "SIZE",
                    "of zstd's, for Freshet and rocksdb+dict; 0: none (16 KiB)",
                    &s->dictionary_bytes},
            {"direct", 0, FR_OPTION_FLAG, NULL, "Freshet reads past the page cache", &s->direct},
            {"repeats", 'r', FR_OPTION_COUNT, "N", "medians are over so many (3)", &b.repeats},
            {"threads", 't', FR_OPTION_COUNT, "N", "readers of readwhilewriting (2)", &s->threads},
            {"limit", 0, FR_OPTION_DURATION, "TIME", "after which a run by count is cut (60 s)",
                    &s->limit_ns},
            {"time", 0, FR_OPTION_DURATION, "TIME", "of sync1, sync8, readwhilewriting (5 s)",
                    &s->timed_ns},
            {"overload-time", 0, FR_OPTION_DURATION, "TIME", "of overload (30 s)", &s->overload_ns},
            {"total", 0, FR_OPTION_DURATION, "TIME", "after which no run begins (never)",
                    &b.total_ns},
            {"touch", 0, FR_OPTION_SIZE, "SIZE", "write to so much memory before measuring (0 B)",
                    &b.touch_bytes},
            {"cold-reads", 0, FR_OPTION_COUNT, "N", "keys of coldread (1 % of the keys)",
                    &s->cold_reads},
            {"drop-caches", 0, FR_OPTION_FLAG, NULL,
                    "cold by dropping the whole machine's page cache (needs root)",
                    &s->drop_machine},
            {"dir", 'd', FR_OPTION_TEXT, "DIR", "where the stores go, instead of the operand",
                    &s->dir},
            {"json", 0, FR_OPTION_TEXT, "FILE", "the figures as one JSON object", &b.json},
            {"keep", 0, FR_OPTION_FLAG, NULL, "leave the stores behind", &b.keep},
            {"quick", 0, FR_OPTION_FLAG, NULL, "seconds: shows that it works", &b.quick},
    };
    struct fr_args args = {.verb = "bench_kv",
            .summary = "Freshet beside other storage engines: the same work, in turns.",
            .operand_names = "[DIR]",
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc - 1, argv + 1, &code)) return code;
    if (s->dir == NULL) s->dir = args.operand_count > 0 ? args.operands[0] : "bench_kv.dir";
    if (b.quick) make_quick(&b);
    if (!is_sane(&b)) return FR_EXIT_USAGE;
    b.repeats = FR_MAX(b.repeats, (uint64_t)1);
    b.repeats = FR_MIN(b.repeats, (uint64_t)KV_REPEATS_MAX);
    if (s->cold_reads == 0) s->cold_reads = FR_MAX(s->keys / COLD_SHARE, (uint64_t)COLD_READ_MIN);
    return run(&b);
}
