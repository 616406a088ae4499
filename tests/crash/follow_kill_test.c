/*
 * follow_kill_test.c - a reader that follows a store beside writers that are killed, one after the
 * other: whatever the reader sees is what the store was at one moment, and that never goes back.
 *
 * What is in the store follows from one number, the count of its writes, so each state can be told
 * from every other by any key. Writers are children of a process of its own, which has opened
 * nothing: a fork beside threads would inherit their locks. The machine stays up, so all that a
 * writer was told is there to be seen.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/db/test_store.h"

#define KEYS       500
#define TRAIL      100 /* fragments before their key begins anew */
#define VALUE_MAX  3000
#define INGEST     150 /* each so many writes, one is an ingest */
#define ROUNDS     150
#define ROUNDS_MIN 8
#define SECONDS    20
#define WRITES_MIN 100 /* or it has tried nothing: where machines are slow, writers die young */

static char path[64], part[96];

/* Between the processes. */
static struct {
    _Atomic(uint64_t) acked; /* writes that have returned */
    _Atomic(uint64_t) rounds;
    _Atomic(bool) stop;
    _Atomic(bool) failed; /* a writer has ended by itself */
} * shared;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&left, NULL);
}

/* --- What write n does -------------------------------------------------------------------------
 */

static bool is_ingest(uint64_t n)
{
    return n % INGEST == 0;
}

static bool is_delete(uint64_t n)
{
    return n % 7 == 3;
}

static size_t value_of(uint64_t n, uint8_t bytes[VALUE_MAX])
{
    size_t size = n % 5 == 0 ? VALUE_MAX : 40;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(n * 31 + i * (n % 97 + 1));
    return size;
}

/* In their order, as a table wants them. The trail is not in an ingest, which has no appends. */
static const char *key_of(uint64_t n, char key[16])
{
    snprintf(key, 16, "key%05u", (unsigned)(n % KEYS));
    return key;
}

static fr_status write_batch(struct fr_db *db, struct fr_batch *batch, uint64_t n)
{
    uint8_t bytes[VALUE_MAX];
    size_t size = value_of(n, bytes);
    char key[16];
    fr_status st;

    fr_batch_clear(batch);
    key_of(n, key);
    if ((st = fr_batch_put(batch, "first", 5, &n, sizeof(n))) < 0) return st;
    st = is_delete(n) ? fr_batch_delete(batch, key, 8) : fr_batch_put(batch, key, 8, bytes, size);
    if (st < 0) return st;
    st = n % TRAIL == 1 ? fr_batch_put(batch, "trail", 5, &n, sizeof(n))
                        : fr_batch_append(batch, "trail", 5, &n, sizeof(n));
    if (st < 0) return st;
    if ((st = fr_batch_put(batch, "zlast", 5, &n, sizeof(n))) < 0) return st;
    return fr_db_write(db, NULL, batch);
}

static fr_status fill_table(struct fr_table_writer *writer, uint64_t n)
{
    uint8_t bytes[VALUE_MAX];
    size_t size = value_of(n, bytes);
    char key[16];
    fr_status st;

    key_of(n, key);
    if ((st = fr_table_writer_put(writer, "first", 5, &n, sizeof(n))) < 0) return st;
    st = is_delete(n) ? fr_table_writer_delete(writer, key, 8)
                      : fr_table_writer_put(writer, key, 8, bytes, size);
    if (st < 0) return st;
    if ((st = fr_table_writer_put(writer, "zlast", 5, &n, sizeof(n))) < 0) return st;
    return fr_table_writer_finish(writer);
}

static fr_status ingest(struct fr_db *db, uint64_t n)
{
    const char *const paths[] = {part};
    struct fr_table_writer *writer;

    unlink(part);
    fr_status st = fr_table_writer_open(part, NULL, &writer);
    if (st < 0) return st;
    st = fill_table(writer, n);
    fr_table_writer_close(writer);
    return st < 0 ? st : fr_db_ingest(db, paths, 1, NULL);
}

/* --- Writers, until they are killed ------------------------------------------------------------
 */

static fr_status open_store(bool read_only, struct fr_db **ret_db)
{
    struct fr_db_options options;

    fr_db_options_init(&options);
    fr_status st = fr_db_options_parse(&options,
            "memory_budget=8MiB,log_segment_size=256KiB,table_size=256KiB,sync=os");
    options.read_only = read_only;
    return st < 0 ? st : fr_db_open(path, &options, ret_db);
}

static fr_status read_number(struct fr_db *db, const char *key, uint64_t *ret_n)
{
    struct fr_pinned value;
    fr_status st = fr_db_get(db, NULL, key, 5, &value);

    *ret_n = 0;
    if (st != FR_OK) return st == FR_NOT_FOUND ? FR_OK : st;
    if (value.size == sizeof(*ret_n)) memcpy(ret_n, value.data, sizeof(*ret_n));
    fr_pinned_release(&value);
    return FR_OK;
}

static fr_status write_on(struct fr_db *db)
{
    struct fr_batch *batch;
    uint64_t n;

    fr_status st = fr_batch_new(&batch);
    if (st == FR_OK) st = read_number(db, "first", &n);
    while (st == FR_OK) {
        n++;
        st = is_ingest(n) ? ingest(db, n) : write_batch(db, batch, n);
        if (st == FR_OK && n % 700 == 0) st = fr_db_flush(db);
        if (st == FR_OK) atomic_store(&shared->acked, n);
    }
    return st;
}

static void be_a_writer(void)
{
    struct fr_db *db = NULL;
    fr_status st;

    while ((st = open_store(false, &db)) == FR_ERR_BUSY)
        sleep_ms(1); /* the one before has not wholly gone yet */
    if (st == FR_OK) st = write_on(db);
    fprintf(stderr, "a writer ends: %s: %s\n", fr_status_name(st), fr_last_error());
    atomic_store(&shared->failed, true);
    _exit(1);
}

/* Each lives for a while behind its first write; one of four is killed whatever it does. */
static void raise_writers(void)
{
    unsigned chance = 1;

    while (!atomic_load(&shared->stop) && !atomic_load(&shared->failed)) {
        uint64_t before = atomic_load(&shared->acked);
        pid_t child = fork();
        if (child == 0) be_a_writer();
        chance = chance * 1103515245 + 12345;
        bool at_once = (chance >> 16) % 4 == 0;
        sleep_ms((chance >> 18) % (at_once ? 30 : 150));
        for (int i = 0; !at_once && i < 5000 && atomic_load(&shared->acked) == before; i++)
            sleep_ms(1);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        atomic_fetch_add(&shared->rounds, 1);
    }
    _exit(0);
}

/* --- The reader --------------------------------------------------------------------------------
 */

/* The last write up to n of those that wrote the key of m. */
static uint64_t last_of_key(uint64_t n, uint64_t k)
{
    uint64_t rest = n % KEYS;

    return n - (rest >= k ? rest - k : rest + KEYS - k);
}

static void check_value(uint64_t n, uint64_t k, fr_status st, const void *data, size_t size)
{
    uint64_t m = n >= k || n % KEYS >= k ? last_of_key(n, k) : 0;
    uint8_t bytes[VALUE_MAX];
    bool there = m > 0 && m <= n && !is_delete(m);

    cr_assert_eq(st == FR_OK, there, "key %u at %llu: %s", (unsigned)k, (unsigned long long)n,
            fr_status_name(st));
    if (!there) return;
    cr_assert_eq(value_of(m, bytes), size, "key %u at %llu", (unsigned)k, (unsigned long long)n);
    cr_assert(memcmp(bytes, data, size) == 0, "key %u at %llu", (unsigned)k, (unsigned long long)n);
}

static void check_key(struct fr_db *db, uint64_t n, uint64_t k)
{
    struct fr_pinned value = {0};
    char key[16];

    key_of(k, key);
    fr_status st = fr_db_get(db, NULL, key, 8, &value);
    cr_assert_geq(st, 0, "%s: %s", key, fr_last_error());
    check_value(n, k, st, value.data, value.size);
    if (st == FR_OK) fr_pinned_release(&value);
}

/* Since the trail was put last, but for those of ingests. */
static void check_trail(struct fr_db *db, uint64_t n)
{
    struct fr_pinned value;
    size_t count = 0;
    uint64_t seen;

    if (n == 0) return;
    must(fr_db_get(db, NULL, "trail", 5, &value));
    for (uint64_t m = (n - 1) / TRAIL * TRAIL + 1; m <= n; m++) {
        if (is_ingest(m)) continue;
        cr_assert_geq(value.size, (count + 1) * sizeof(seen), "%llu", (unsigned long long)n);
        memcpy(&seen, (const uint8_t *)value.data + count * sizeof(seen), sizeof(seen));
        cr_assert_eq(seen, m, "%llu in the trail at %llu", (unsigned long long)seen,
                (unsigned long long)n);
        count++;
    }
    cr_assert_eq(value.size, count * sizeof(seen));
    fr_pinned_release(&value);
}

static void check_all(struct fr_db *db, uint64_t n)
{
    struct fr_iterator *it;
    uint64_t there = 0, expected = n == 0 ? 0 : 3; /* first, trail, zlast */
    fr_status st;

    for (uint64_t k = 0; k < KEYS; k++) {
        uint64_t m = n >= k || n % KEYS >= k ? last_of_key(n, k) : 0;
        check_key(db, n, k);
        expected += m > 0 && m <= n && !is_delete(m);
    }
    must(fr_iterator_new(db, NULL, &it));
    while ((st = fr_iterator_next(it)) == FR_OK)
        there++;
    cr_assert_eq(st, FR_END, "%s", fr_last_error());
    cr_assert_eq(there, expected, "at %llu", (unsigned long long)n);
    fr_iterator_free(it);
}

static uint64_t check_state(struct fr_db *db, uint64_t acked, uint64_t before, unsigned turn)
{
    uint64_t first, last;

    must(read_number(db, "first", &first));
    must(read_number(db, "zlast", &last));
    cr_assert_eq(first, last);
    cr_assert_geq(first, acked, "%llu were written before", (unsigned long long)acked);
    cr_assert_geq(first, before);
    check_trail(db, first);
    for (unsigned i = 0; i < 20; i++)
        check_key(db, first, (turn * 20 + i) * 37 % KEYS);
    if (turn % 16 == 0) check_all(db, first);
    return first;
}

static bool goes_on(uint64_t start_ms)
{
    uint64_t rounds = atomic_load(&shared->rounds);

    if (atomic_load(&shared->failed)) return false;
    if (rounds < ROUNDS_MIN || atomic_load(&shared->acked) <= WRITES_MIN) return true;
    return rounds < ROUNDS && now_ms() - start_ms < SECONDS * 1000;
}

/* FR_ERR_BUSY is an answer: the writer was faster. It must not be the only one; how many there are
 * of it is up to the machine. */
static void follow(struct fr_db *reader)
{
    uint64_t start_ms = now_ms(), before = 0;
    unsigned turns = 0, busy = 0;
    struct fr_db *fresh;

    while (goes_on(start_ms)) {
        uint64_t acked = atomic_load(&shared->acked);
        fr_status st = fr_db_refresh(reader);
        if (st == FR_ERR_BUSY && ++busy) continue;
        must(st);
        before = check_state(reader, acked, before, turns++);
        if (turns % 8 != 0) continue;
        acked = atomic_load(&shared->acked);
        st = open_store(true, &fresh);
        if (st == FR_ERR_BUSY) continue;
        must(st);
        check_state(fresh, acked, before, turns);
        must(fr_db_close(fresh));
    }
    printf("%u writers killed, %llu writes, %u states seen, %u times the writer was faster\n",
            (unsigned)atomic_load(&shared->rounds), (unsigned long long)before, turns, busy);
    cr_assert_gt(turns, 0);
}

Test(follow_kill, a_reader_beside_killed_writers_sees_the_store_of_one_moment, .timeout = 240)
{
    struct fr_db *db, *reader;
    uint64_t n;

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    test_store_name(path);
    snprintf(part, sizeof(part), "%s.part", path);
    pid_t nursery = fork();
    if (nursery == 0) {
        while (atomic_load(&shared->rounds) == 0 && !atomic_load(&shared->stop))
            sleep_ms(1); /* for the store to be made */
        raise_writers();
    }
    must(open_store(false, &db));
    must(fr_db_close(db));
    must(open_store(true, &reader));
    atomic_store(&shared->rounds, 1);
    follow(reader);
    atomic_store(&shared->stop, true);
    waitpid(nursery, NULL, 0);
    cr_assert_not(atomic_load(&shared->failed), "a writer has failed");
    must(fr_db_refresh(reader));
    n = check_state(reader, atomic_load(&shared->acked), 0, 0);
    must(fr_db_close(reader));
    must(open_store(false, &db));
    cr_assert_eq(check_state(db, n, n, 0), n);
    must(fr_db_close(db));
    cr_assert_gt(n, WRITES_MIN);
    unlink(part);
    test_store_remove(path);
    munmap(shared, sizeof(*shared));
}
