/*
 * inner_files_test.c - each kind of file of a store missing, replaced by something else,
 * unreadable: what is answered, that the file is named, and that nothing is lost by having tried:
 * the store opens again, with all that was in it, when the file is put back.
 */
#include <errno.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "io/sim.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "lsm/file_id.h"
#include "lsm/super_format.h"
#include "lsm/table_format.h"
#include "lsm/value_format.h"
#include "tests/unit/io/test_world.h"
#include "wal/wal_format.h"

#define KEYS 300

static struct fr_sim *sim;
static struct fr_env *env;
static struct fr_dir *stores[2]; /* /a, which is tried, and /b, which lends its files */

static struct fr_engine_options small_options(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 64 << 10;
    options.log_segment_size = 64 << 10;
    options.cache_size = 256 << 10;
    options.value_threshold = 100;
    return options;
}

static fr_slice value_of(const char *path, size_t index, uint8_t bytes[200])
{
    memset(bytes, path[1] + (int)(index % 20), 200);
    return fr_slice_of(bytes, index % 2 == 0 ? 200 : 20);
}

static void put_all(struct fr_engine *engine, const char *path, size_t from, size_t to)
{
    uint8_t bytes[200];
    char key[32];

    for (size_t i = from; i < to; i++) {
        struct fr_batch batch = FR_BATCH_EMPTY;
        fr_slice all;
        snprintf(key, sizeof(key), "key%05zu", i);
        must(fr_batch_add_put(&batch, fr_slice_of_text(key), value_of(path, i, bytes)));
        must(fr_batch_finish(&batch, &all));
        must(fr_engine_write(engine, all, 1, FR_DURABLE_DEVICE));
        fr_batch_deinit(&batch);
    }
}

/* Tables, value files, and a log that still counts. */
static void make_store(const char *path)
{
    struct fr_engine_options options = small_options();
    struct fr_engine *engine;

    must(fr_engine_open(env, path, &options, &engine));
    put_all(engine, path, 0, KEYS / 2);
    must(fr_engine_flush(engine));
    put_all(engine, path, KEYS / 2, KEYS);
    must(fr_engine_close(engine));
}

static void check_all(struct fr_engine *engine, const char *path)
{
    struct fr_engine_value value;
    uint8_t bytes[200];
    char key[16];

    for (size_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "key%05zu", i);
        must(fr_engine_get(engine, fr_slice_of_text(key), FR_SEQ_MAX, &value));
        cr_assert(fr_slice_equal(value.bytes, value_of(path, i, bytes)), "%s", key);
        fr_engine_value_release(&value);
    }
}

static void set_up(void)
{
    struct fr_sim_options machine = {.seed = 1};

    must(fr_sim_open(&machine, &sim));
    env = fr_sim_env(sim);
    make_store("/a");
    make_store("/b");
    must(fr_dir_open(env, "/a", 0, &stores[0]));
    must(fr_dir_open(env, "/b", 0, &stores[1]));
}

static void tear_down(void)
{
    fr_dir_close(stores[0]);
    fr_dir_close(stores[1]);
    fr_sim_close(sim);
}

TestSuite(inner_files, .init = set_up, .fini = tear_down, .timeout = 240);

/* --- One file and what is done to it -----------------------------------------------------------
 */

static struct fr_buf load(struct fr_dir *dir, const char *name)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_file_info info;
    struct fr_file *file;

    must(fr_file_open(dir, name, 0, &file));
    must(fr_file_info_get(file, &info));
    uint8_t *to = fr_buf_extend(&bytes, (size_t)info.size);
    cr_assert_not_null(to);
    must(fr_file_read_exact(file, 0, to, (size_t)info.size));
    fr_file_close(file);
    return bytes;
}

static void store(const char *name, fr_slice bytes)
{
    struct fr_file *file;

    must(fr_file_open(stores[0], name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    must(fr_file_write(file, 0, bytes.data, bytes.size, 0));
    fr_file_close(file);
}

/* The store's first file of a kind. */
static void find_file(struct fr_dir *dir, const char *ending, char name[64])
{
    struct fr_dir_names names;
    size_t length = strlen(ending);

    name[0] = '\0';
    must(fr_dir_list(dir, &names));
    for (size_t i = 0; i < names.count && name[0] == '\0'; i++) {
        size_t size = strlen(names.names[i]);
        if (size < length || strcmp(names.names[i] + size - length, ending) != 0) continue;
        snprintf(name, 64, "%s", names.names[i]);
    }
    fr_dir_names_deinit(&names);
    cr_assert_neq(name[0], '\0', "%s", ending);
}

enum damage { GONE, FOREIGN, ZEROS, EMPTY, OTHERS, NEWER, DENIED, FAILING, FOLDER, DAMAGES };

static const char *const damage_names[DAMAGES] = {"missing", "a foreign file", "zeros", "empty",
        "another store's", "of a later version", "denied", "failing", "a directory"};

/* A later version's file, whole as far as that one is concerned. */
static void make_newer(const char *name, struct fr_buf *bytes)
{
    uint8_t *end = bytes->data + bytes->size;

    if (strcmp(name, "SUPER") == 0) {
        for (unsigned i = 0; i < 4; i++) {
            uint64_t offset = fr_super_offset(i / 2, i % 2);
            uint8_t *copy = bytes->data + offset, place[8];
            fr_put_u32(copy + 8, FR_SUPER_VERSION + 1);
            fr_put_u64(place, offset);
            fr_put_u32(copy + 4092, fr_crc32c(fr_crc32c(0, place, 8), copy, 4092));
        }
    } else if (strstr(name, ".table") != NULL) {
        end -= FR_TABLE_FOOTER_SIZE;
        fr_put_u32(end + 176, FR_TABLE_VERSION + 1);
        fr_put_u32(end + 180, fr_crc32c_mask(fr_crc32c(0, end, 180)));
    } else if (strstr(name, ".values") != NULL) {
        end -= FR_VALUE_FOOTER_SIZE;
        fr_put_u32(end + 64, FR_VALUE_VERSION + 1);
        fr_put_u32(end + 68, fr_crc32c_mask(fr_crc32c(0, end, 68)));
    } else {
        fr_put_u32(bytes->data + 8, FR_WAL_VERSION + 1);
        fr_put_u32(bytes->data + 4092, fr_crc32c(0, bytes->data, 4092));
    }
}

static void deny(const char *name, int os_error)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(os_error == EACCES ? FR_SIM_OPEN : FR_SIM_READ),
            .os_error = os_error,
            .forever = true,
            .name = name};

    must(fr_sim_fault_add(sim, &fault));
}

/* Instead of the file; *original is what it was. */
static void do_damage(enum damage damage, const char *name, const char *ending,
        struct fr_buf *original)
{
    struct fr_buf bytes = load(stores[0], name);
    struct fr_dir *inner;
    char lent[64];

    *original = bytes;
    if (damage == DENIED || damage == FAILING) {
        deny(name, damage == DENIED ? EACCES : EIO);
        return;
    }
    must(fr_dir_unlink(stores[0], name));
    bytes = FR_BUF_EMPTY;
    if (damage == OTHERS) {
        find_file(stores[1], ending, lent);
        bytes = load(stores[1], lent);
    } else if (damage == NEWER) {
        fr_buf_append(&bytes, original->data, original->size);
        make_newer(name, &bytes);
    } else if (damage == FOREIGN) {
        while (bytes.size < original->size)
            fr_buf_append(&bytes, "No file of a store at all.\n", 27);
    } else if (damage == ZEROS) {
        fr_buf_append_zeros(&bytes, original->size);
    } else if (damage == FOLDER) {
        must(fr_dir_open_in(stores[0], name, FR_DIR_CREATE, &inner));
        fr_dir_close(inner);
    }
    if (damage != GONE && damage != FOLDER) store(name, fr_buf_slice(&bytes));
    fr_buf_deinit(&bytes);
}

static void undo_damage(enum damage damage, const char *name, const struct fr_buf *original)
{
    fr_sim_fault_clear(sim);
    if (damage == DENIED || damage == FAILING) return;
    if (damage == FOLDER)
        must(fr_dir_remove(stores[0], name));
    else
        (void)!fr_dir_unlink(stores[0], name);
    store(name, fr_buf_slice(original));
}

static uint64_t disk(void)
{
    struct fr_sim_image *image;

    must(fr_sim_image_take(sim, &image));
    uint64_t hash = fr_sim_image_hash(image);
    fr_sim_image_free(image);
    return hash;
}

/* --- Trying ------------------------------------------------------------------------------------
 */

static fr_status try_open(bool read_only)
{
    struct fr_engine_options options = small_options();
    struct fr_engine *engine = NULL;

    options.read_only = read_only;
    fr_status st = fr_engine_open(env, "/a", &options, &engine);
    if (st < 0) return st;
    check_all(engine, "/a");
    must(fr_engine_close(engine));
    return st;
}

/* One file of a kind, in each way; where it is not the file that is named, these words are said. */
struct kind {
    const char *ending;
    const char *missing; /* words when it is missing */
    fr_status statuses[DAMAGES];
};

static void try_damage(const struct kind *kind, enum damage damage, bool read_only)
{
    fr_status status = kind->statuses[damage];
    struct fr_buf original;
    char name[64], words[80];

    find_file(stores[0], kind->ending, name);
    snprintf(words, sizeof(words), "/a/%s", name);
    do_damage(damage, name, kind->ending, &original);
    uint64_t before = disk();
    fr_status st = try_open(read_only);
    cr_assert_eq(st, status, "%s, %s: %s, not %s: %s", name, damage_names[damage],
            fr_status_name(st), fr_status_name(status), st < 0 ? fr_last_error() : "");
    if (st < 0) must_say(damage == GONE && kind->missing != NULL ? kind->missing : words);
    if (st < 0) cr_assert_eq(disk(), before, "%s, %s", name, damage_names[damage]);
    undo_damage(damage, name, &original);
    fr_buf_deinit(&original);
    must(try_open(true));
    must(try_open(false));
}

static void try_kind(const struct kind *kind)
{
    for (int damage = 0; damage < DAMAGES; damage++)
        for (int read_only = 0; read_only < 2; read_only++) {
            tear_down();
            set_up();
            try_damage(kind, (enum damage)damage, read_only == 1);
        }
}

/* In the order of enum damage, but for what a kind finds otherwise. */
#define STATUSES(gone)                                                                             \
    {                                                                                              \
        gone, FR_ERR_CORRUPT, FR_ERR_CORRUPT, FR_ERR_CORRUPT, FR_ERR_FOREIGN, FR_ERR_TOO_NEW,      \
                FR_ERR_PERM, FR_ERR_IO, FR_ERR_IO                                                  \
    }

Test(inner_files, a_table)
{
    try_kind(&(struct kind){.ending = ".table", .statuses = STATUSES(FR_ERR_MISSING)});
}

Test(inner_files, a_value_file)
{
    try_kind(&(struct kind){.ending = ".values", .statuses = STATUSES(FR_ERR_MISSING)});
}

Test(inner_files, the_manifest)
{
    try_kind(&(struct kind){.ending = ".manifest", .statuses = STATUSES(FR_ERR_MISSING)});
}

Test(inner_files, a_segment_of_the_log)
{
    try_kind(&(struct kind){.ending = ".wal",
            .missing = ".wal: the segment before it, number ",
            .statuses = STATUSES(FR_ERR_MISSING)});
}

/* Another store's superblock is whole: it is the manifest that gives it away. */
Test(inner_files, the_superblock)
{
    struct kind kind = {.ending = "SUPER",
            .missing = "/a: a store without its SUPER",
            .statuses = STATUSES(FR_ERR_MISSING)};

    for (int damage = 0; damage < DAMAGES; damage++)
        for (int read_only = 0; read_only < 2; read_only++) {
            tear_down();
            set_up();
            if (damage != OTHERS) try_damage(&kind, (enum damage)damage, read_only == 1);
        }
    struct fr_buf original;
    do_damage(OTHERS, "SUPER", "SUPER", &original);
    must_be(FR_ERR_FOREIGN, try_open(false));
    must_say(".manifest: a log segment of another store");
    must_be(FR_ERR_FOREIGN, try_open(true));
    undo_damage(OTHERS, "SUPER", &original);
    fr_buf_deinit(&original);
    must(try_open(false));
}

/* What it holds is for people; readers do not ask for it at all. */
Test(inner_files, the_lock)
{
    for (int damage = 0; damage < DAMAGES; damage++) {
        struct fr_buf original;
        if (damage == NEWER) continue;
        tear_down();
        set_up();
        do_damage((enum damage)damage, "LOCK", "LOCK", &original);
        must(try_open(true));
        if (damage == DENIED || damage == FOLDER) {
            must_be(damage == DENIED ? FR_ERR_PERM : FR_ERR_IO, try_open(false));
            must_say("/a/LOCK");
        } else {
            must(try_open(false));
        }
        undo_damage((enum damage)damage, "LOCK", &original);
        fr_buf_deinit(&original);
        must(try_open(false));
    }
}

/* --- A file system that takes no writes --------------------------------------------------------
 */

/* As the system answers there: LOCK cannot be opened for writing, and nothing be made or changed.
 */
static void take_no_writes(void)
{
    uint32_t syncs = FR_SIM_MASK(FR_SIM_SYNC) | FR_SIM_MASK(FR_SIM_SYNC_DIR);
    struct fr_sim_fault changes = {
            .ops = FR_SIM_MASK_CHANGES & ~(FR_SIM_MASK(FR_SIM_QUEUE_START) | syncs),
            .os_error = EROFS,
            .forever = true};
    struct fr_sim_fault lock = {
            .ops = FR_SIM_MASK(FR_SIM_OPEN), .os_error = EROFS, .forever = true, .name = "LOCK"};

    must(fr_sim_fault_add(sim, &changes));
    must(fr_sim_fault_add(sim, &lock));
}

Test(inner_files, on_a_read_only_file_system_writing_is_refused_and_reading_works)
{
    struct fr_engine_options options = small_options();
    struct fr_engine *engine;

    take_no_writes();
    uint64_t before = disk();
    must_be(FR_ERR_READONLY, try_open(false));
    must_say("/a/LOCK");
    must(try_open(true));
    must_be(FR_ERR_READONLY, fr_engine_open(env, "/new", &options, &engine));
    must_say("/new");
    cr_assert_eq(disk(), before);
    fr_sim_fault_clear(sim);
    must(try_open(false));
}

/* One that becomes so while it is written, as after an error of the file system. */
Test(inner_files, a_file_system_that_turns_read_only_under_a_writer_loses_nothing)
{
    struct fr_engine_options options = small_options();
    struct fr_engine *engine;

    must(fr_engine_open(env, "/a", &options, &engine));
    take_no_writes();
    must_be(FR_ERR_READONLY,
            fr_engine_compact_range(engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    check_all(engine, "/a");
    (void)!fr_engine_close(engine);
    fr_sim_fault_clear(sim);
    must(try_open(true));
    must(try_open(false));
}
