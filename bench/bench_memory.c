/* bench of internals: its options are read as the tools' are; the store is a stranger's.
 *
 * bench_memory.c - whether a store keeps to its budget, by its own account and by the system's.
 *
 * A million keys are written in random order, flushed and compacted, read at random and walked
 * over, once for each budget, each time by a process of its own. At each of these moments the
 * account (memory.total), what of it is in which part, and RssAnon of the process are put beside
 * each other: the latter without what it was before the store was opened, and without pages of
 * files, which are the system's to take back.
 *
 *   bench_memory DIR           a table
 *   bench_memory --json DIR    one JSON object a line
 *
 * Figures in MiB. rss/account tells what the account does not know of, and what the C library keeps
 * for itself; account/budget whether the store keeps to what it was given.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freshet/freshet.h"
#include "tools/args.h"

#define MIB 1048576.0

static uint64_t keys = 1000000, value_size = 400;
static bool json;

static const uint64_t budgets[] = {(uint64_t)128 << 20, (uint64_t)256 << 20, (uint64_t)512 << 20};

static void must(fr_status st)
{
    if (st >= 0) return;
    fprintf(stderr, "bench_memory: %s\n", fr_last_error());
    _exit(1);
}

/* A field of /proc/self/status in bytes. */
static double status_bytes(const char *field)
{
    uint64_t kib = 0;
    size_t size = strlen(field);
    char line[256];

    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, field, size) == 0 && line[size] == ':')
            kib = strtoull(line + size + 1, NULL, 10);
    fclose(file);
    return (double)kib * 1024;
}

static double number(struct fr_db *db, const char *name)
{
    uint64_t value = 0;

    must(fr_db_property_u64(db, name, &value));
    return (double)value;
}

static const char *const parts[] = {"memory.memtables", "memory.blocks", "memory.cache_slots",
        "memory.tables", "memory.iterators", "memory.jobs", "memory.other"};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void show(struct fr_db *db, const char *moment, uint64_t budget, double before)
{
    double rss = status_bytes("RssAnon") - before, account = number(db, "memory.total");

    if (json)
        printf("{\"budget\":%" PRIu64 ",\"moment\":\"%s\",\"rss_anon\":%.0f,\"vm_rss\":%.0f,"
               "\"account\":%.0f",
                budget, moment, rss, status_bytes("VmRSS"), account);
    else
        printf("%6.0f  %-8s %7.1f %8.1f %6.1f %7.3f %7.3f ", (double)budget / MIB, moment,
                rss / MIB, status_bytes("VmRSS") / MIB, account / MIB, rss / account,
                account / (double)budget);
    for (size_t i = 0; i < PARTS; i++) {
        double bytes = number(db, parts[i]);
        if (json)
            printf(",\"%s\":%.0f", parts[i], bytes);
        else
            printf(" %8.1f", bytes / MIB);
    }
    printf(json ? "}\n" : "\n");
    fflush(stdout);
}

/* --- The work ----------------------------------------------------------------------------------
 */

static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t key_of(uint64_t id, char key[32])
{
    return (size_t)snprintf(key, 32, "%016" PRIx64, scramble(id));
}

static void fill(struct fr_db *db, uint64_t budget, double before)
{
    static uint64_t value[8192];
    char key[32];

    for (uint64_t i = 0; i < keys; i++) {
        for (size_t w = 0; w < (value_size + 7) / 8; w++)
            value[w] = scramble(i * 1024 + w);
        must(fr_db_put(db, NULL, key, key_of(i, key), value, value_size));
        if (i == keys / 2) show(db, "filling", budget, before);
    }
}

static void get_many(struct fr_db *db)
{
    struct fr_pinned value;
    char key[32];

    for (uint64_t i = 0; i < keys; i++) {
        must(fr_db_get(db, NULL, key, key_of(scramble(i) % keys, key), &value));
        fr_pinned_release(&value);
    }
}

static void walk(struct fr_db *db, uint64_t budget, double before)
{
    struct fr_iterator *it;
    uint64_t count = 0;
    fr_status st;

    must(fr_iterator_new(db, NULL, &it));
    while ((st = fr_iterator_next(it)) == FR_OK)
        if (++count == keys / 2) show(db, "walking", budget, before);
    must(st);
    fr_iterator_free(it);
    if (count == keys) return;
    fprintf(stderr, "bench_memory: %" PRIu64 " keys of %" PRIu64 "\n", count, keys);
    _exit(1);
}

static void run(const char *path, uint64_t budget)
{
    struct fr_db_options options;
    struct fr_db *db;

    fr_db_options_init(&options);
    options.memory_budget = budget;
    options.must_be_new = true;
    options.sync = FR_SYNC_NONE;
    options.compression = FR_COMPRESSION_NONE;
    double before = status_bytes("RssAnon");
    must(fr_db_open(path, &options, &db));
    show(db, "open", budget, before);
    fill(db, budget, before);
    show(db, "filled", budget, before);
    must(fr_db_flush(db));
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    must(fr_db_wait_idle(db));
    show(db, "settled", budget, before);
    get_many(db);
    show(db, "read", budget, before);
    walk(db, budget, before);
    show(db, "walked", budget, before);
    must(fr_db_close(db));
}

/* What a process has taken from the system is not always given back: each budget has its own. */
static bool run_apart(const char *dir, uint64_t budget)
{
    char path[4096];
    int status = 0;

    snprintf(path, sizeof(path), "%s/budget-%u", dir, (unsigned)(budget >> 20));
    pid_t child = fork();
    if (child == 0) {
        run(path, budget);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv)
{
    const struct fr_option options[] = {
            {"keys", 'n', FR_OPTION_COUNT, "N", "keys (1000000)", &keys},
            {"value-size", 'v', FR_OPTION_SIZE, "SIZE", "of a value (400 B; to 64 KiB)",
                    &value_size},
            {"json", 0, FR_OPTION_FLAG, NULL, "one JSON object for each moment", &json},
    };
    struct fr_args args = {.verb = "bench_memory",
            .summary = "A store's memory beside its budget. Leaves the stores in DIR.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = sizeof(options) / sizeof(options[0])};
    int code = 0;

    if (!fr_args_parse(&args, argc - 1, argv + 1, &code)) return code;
    if (keys == 0 || value_size > 65536) return FR_EXIT_USAGE;
    if (!json)
        printf("budget  moment   RssAnon    VmRSS   acct rss/acc acc/bud  memtabl   blocks    slots"
               "   tables    iters     jobs    other\n");
    fflush(stdout);
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
        if (!run_apart(args.operands[0], budgets[i])) return 1;
    return 0;
}
