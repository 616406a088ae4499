/*
 * What a power loss can leave, and what it cannot: each classic anomaly must be among the images,
 * and on many random histories nothing that was synced may be lost or altered.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "io/sim_priv.h"
#include "tests/unit/io/sim_world.h"

#define OPS (&fr_sim_backend_ops)

/* What one name holds on an image. */
struct want {
    const char *name;
    const char *text; /* NULL: the name is not there */
    size_t size;
};

static bool has(const struct fr_sim_image *image, void *ctx)
{
    const struct want *want = ctx;
    size_t size;
    const char *text = image_text(image, want->name, &size);

    if (want->text == NULL) return text == NULL;
    return text != NULL && size == want->size && memcmp(text, want->text, size) == 0;
}

static unsigned images_with(struct world *w, const char *name, const char *text)
{
    struct want want = {.name = name, .text = text, .size = text == NULL ? 0 : strlen(text)};

    return crash_count(w, NULL, has, &want);
}

static unsigned images_with_bytes(struct world *w, const char *name, const char *bytes, size_t size)
{
    struct want want = {.name = name, .text = bytes, .size = size};

    return crash_count(w, NULL, has, &want);
}

/* A file whose name and first bytes are durable. */
static fr_handle durable_file(struct world *w, const char *name, const char *text)
{
    fr_handle file = world_create(w, name);

    cr_assert_eq(world_write(w, file, 0, text, strlen(text)), (int64_t)strlen(text));
    cr_assert_eq(world_sync(w, file), 0);
    cr_assert_eq(world_sync_dir(w), 0);
    return file;
}

/* --- What can happen ------------------------------------------------------------------------- */

Test(sim_crash, nothing_pending_leaves_one_image)
{
    struct world w = world_open(NULL);

    durable_file(&w, "a", "old");
    cr_assert_eq(crash_total(&w, NULL), 1);
    cr_assert_eq(images_with(&w, "a", "old"), 1);
    world_close(&w);
}

Test(sim_crash, an_unsynced_append_may_be_lost)
{
    struct world w = world_open(NULL);
    fr_handle file = durable_file(&w, "a", "old");

    cr_assert_eq(world_write(&w, file, 3, "new", 3), 3);
    cr_assert_gt(images_with(&w, "a", "old"), 0);
    cr_assert_gt(images_with(&w, "a", "oldnew"), 0);
    world_close(&w);
}

Test(sim_crash, a_length_may_come_without_its_bytes)
{
    struct world w = world_open(NULL);
    fr_handle file = durable_file(&w, "a", "old");

    cr_assert_eq(world_write(&w, file, 3, "new", 3), 3);
    cr_assert_gt(images_with_bytes(&w, "a", "old\0\0\0", 6), 0);
    world_close(&w);
}

/* A value for each of the file's sectors, as text; "" if one of them is mixed. */
static const char *sectors_of(const struct fr_sim_image *image, const char *name)
{
    static char values[65];
    size_t size, n = 0;
    const char *text = image_text(image, name, &size);

    if (text == NULL) return "";
    for (size_t at = 0; at < size; at += FR_SIM_SECTOR_SIZE) {
        for (size_t i = at; i < at + FR_SIM_SECTOR_SIZE && i < size; i++)
            if (text[i] != text[at]) return "";
        values[n++] = text[at] == 0 ? '0' : text[at];
    }
    values[n] = '\0';
    return values;
}

static bool sectors_are(const struct fr_sim_image *image, void *ctx)
{
    return strcmp(sectors_of(image, "a"), ctx) == 0;
}

static unsigned images_with_sectors(struct world *w, const char *values, bool no_garbage)
{
    struct fr_sim_crash_options options = {.no_garbage = no_garbage};
    char wanted[65];

    snprintf(wanted, sizeof(wanted), "%s", values);
    return crash_count(w, &options, sectors_are, wanted);
}

Test(sim_crash, an_overwrite_tears_at_sectors_in_every_way)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    world_fill(&w, file, 0, 'a', 2048);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(world_sync_dir(&w), 0);
    world_fill(&w, file, 0, 'b', 2048);

    struct fr_sim_crash_options options = {.no_garbage = true};
    cr_assert_eq(crash_total(&w, &options), 16);
    for (unsigned bits = 0; bits < 16; bits++) {
        char values[5] = "aaaa";
        for (unsigned i = 0; i < 4; i++)
            if (bits >> i & 1) values[i] = 'b';
        cr_assert_eq(images_with_sectors(&w, values, true), 1, "%s", values);
    }
    cr_assert_gt(crash_total(&w, NULL), 16, "garbage makes more");
    cr_assert_gt(images_with_sectors(&w, "bbb0", false), 0);
    world_close(&w);
}

Test(sim_crash, a_big_write_tears_too)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    cr_assert_eq(world_sync_dir(&w), 0);
    world_fill(&w, file, 0, 'b', 16 * 512);
    static const char *const torn[] = {"bbbbbbbb00000000", "bbbbbbbb", "00000000bbbbbbbb",
            "bbbbbbbb0bbbbbbb", "bbbbbbbbbbbbbbb0", "0000000000000000", "b000000000000000", ""};
    for (size_t i = 0; i < FR_ARRAY_COUNT(torn); i++)
        cr_assert_gt(images_with_sectors(&w, torn[i], true), 0, "%s", torn[i]);
    world_close(&w);
}

Test(sim_crash, a_later_write_may_stay_where_an_earlier_one_is_lost)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    world_fill(&w, file, 0, 'a', 1024);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(world_sync_dir(&w), 0);
    world_fill(&w, file, 0, '1', 512);
    world_fill(&w, file, 512, '2', 512);
    cr_assert_eq(images_with_sectors(&w, "a2", true), 1);
    cr_assert_eq(images_with_sectors(&w, "1a", true), 1);
    world_close(&w);
}

Test(sim_crash, the_later_of_two_writes_to_a_place_wins_where_both_are_kept)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    cr_assert_eq(world_sync_dir(&w), 0);
    world_fill(&w, file, 0, '1', 512);
    world_fill(&w, file, 0, '2', 512);
    world_fill(&w, file, 512, '3', 512);
    cr_assert_gt(images_with_sectors(&w, "13", true), 0);
    cr_assert_gt(images_with_sectors(&w, "23", true), 0);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(crash_total(&w, NULL), 1);
    cr_assert_eq(images_with_sectors(&w, "23", true), 1);
    world_close(&w);
}

Test(sim_crash, a_rename_may_come_without_the_bytes)
{
    struct world w = world_open(NULL);

    durable_file(&w, "a", "old");
    fr_handle file = world_create(&w, "tmp");
    cr_assert_eq(world_write(&w, file, 0, "new", 3), 3);
    cr_assert_eq(world_rename(&w, "tmp", "a"), 0);
    cr_assert_gt(images_with(&w, "a", ""), 0, "empty");
    cr_assert_gt(images_with_bytes(&w, "a", "\0\0\0", 3), 0, "zeros");
    cr_assert_gt(images_with(&w, "a", "old"), 0);
    cr_assert_gt(images_with(&w, "a", "new"), 0);
    cr_assert_eq(images_with(&w, "a", NULL), 0, "it replaces in one step");

    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(images_with(&w, "a", ""), 0, "the sync before the rename is what is needed");
    world_close(&w);
}

static bool has_either(const struct fr_sim_image *image, void *ctx)
{
    bool a = image_text(image, "a", NULL) != NULL;
    bool b = image_text(image, "b", NULL) != NULL;

    (void)ctx;
    return a != b;
}

Test(sim_crash, a_rename_is_atomic)
{
    struct world w = world_open(NULL);

    durable_file(&w, "a", "old");
    cr_assert_eq(world_rename(&w, "a", "b"), 0);
    cr_assert_eq(crash_total(&w, NULL), 2);
    cr_assert_eq(crash_count(&w, NULL, has_either, NULL), 2);
    world_close(&w);
}

static bool has_one_of_three(const struct fr_sim_image *image, void *ctx)
{
    unsigned count = 0;

    (void)ctx;
    count += image_text(image, "a", NULL) != NULL;
    count += image_text(image, "b", NULL) != NULL;
    count += image_text(image, "c", NULL) != NULL;
    return count == 1;
}

Test(sim_crash, a_second_rename_needs_the_first)
{
    struct world w = world_open(NULL);

    durable_file(&w, "a", "old");
    cr_assert_eq(world_rename(&w, "a", "b"), 0);
    cr_assert_eq(world_rename(&w, "b", "c"), 0);
    cr_assert_eq(crash_total(&w, NULL), 3);
    cr_assert_eq(crash_count(&w, NULL, has_one_of_three, NULL), 3);
    world_close(&w);
}

Test(sim_crash, a_synced_file_may_lose_its_name)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    cr_assert_eq(world_write(&w, file, 0, "new", 3), 3);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(images_with(&w, "a", NULL), 1);
    cr_assert_eq(images_with(&w, "a", "new"), 1);
    cr_assert_eq(crash_total(&w, NULL), 2);
    world_close(&w);
}

Test(sim_crash, a_synced_name_may_lose_its_bytes)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    cr_assert_eq(world_write(&w, file, 0, "new", 3), 3);
    cr_assert_eq(world_sync_dir(&w), 0);
    cr_assert_eq(images_with(&w, "a", NULL), 0);
    cr_assert_eq(images_with(&w, "a", ""), 1);
    world_close(&w);
}

Test(sim_crash, an_unlink_may_be_undone_until_the_directory_is_synced)
{
    struct world w = world_open(NULL);

    durable_file(&w, "a", "old");
    cr_assert_eq(world_unlink(&w, "a"), 0);
    cr_assert_eq(images_with(&w, "a", "old"), 1);
    cr_assert_eq(images_with(&w, "a", NULL), 1);
    cr_assert_eq(world_sync_dir(&w), 0);
    cr_assert_eq(images_with(&w, "a", "old"), 0);
    world_close(&w);
}

Test(sim_crash, a_directory_without_its_name_takes_its_files_along)
{
    struct world w = world_open(NULL);
    fr_handle dir;
    struct fr_open_result file;

    cr_assert_eq(OPS->dir_make(w.sim, w.root, "d"), 0);
    cr_assert_eq(OPS->dir_open_in(w.sim, w.root, "d", &dir), 0);
    cr_assert_eq(OPS->file_open(w.sim, dir, "f", FR_OPEN_WRITE | FR_OPEN_CREATE, &file), 0);
    cr_assert_eq(OPS->dir_sync(w.sim, dir), 0);
    cr_assert_eq(crash_total(&w, NULL), 2);
    cr_assert_eq(images_with(&w, "d/f", NULL), 1);
    cr_assert_eq(images_with(&w, "d/f", ""), 1);
    cr_assert_eq(world_sync_dir(&w), 0);
    cr_assert_eq(images_with(&w, "d/f", ""), 1);
    cr_assert_eq(crash_total(&w, NULL), 1);
    world_close(&w);
}

Test(sim_crash, a_link_is_a_name_of_its_own)
{
    struct world w = world_open(NULL);

    durable_file(&w, "a", "old");
    cr_assert_eq(OPS->dir_link(w.sim, w.root, "a", w.root, "b"), 0);
    cr_assert_eq(world_unlink(&w, "a"), 0);
    cr_assert_eq(crash_total(&w, NULL), 4);
    cr_assert_eq(images_with(&w, "b", "old"), 2);
    cr_assert_eq(images_with(&w, "a", "old"), 2);
    world_close(&w);
}

Test(sim_crash, truncations_and_holes_may_be_lost_or_kept)
{
    struct world w = world_open(NULL);
    fr_handle file = durable_file(&w, "a", "abcdef");

    cr_assert_eq(OPS->file_truncate(w.sim, file, 3), 0);
    cr_assert_eq(images_with(&w, "a", "abcdef"), 1);
    cr_assert_eq(images_with(&w, "a", "abc"), 1);
    cr_assert_eq(OPS->file_punch_hole(w.sim, file, 0, 2), 0);
    cr_assert_eq(images_with_bytes(&w, "a", "\0\0cdef", 6), 1);
    cr_assert_eq(images_with_bytes(&w, "a", "\0\0c", 3), 1);
    cr_assert_eq(crash_total(&w, NULL), 4);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(images_with_bytes(&w, "a", "\0\0c", 3), 1);
    cr_assert_eq(crash_total(&w, NULL), 1);
    world_close(&w);
}

/* --- What cannot ----------------------------------------------------------------------------- */

Test(sim_crash, a_synchronous_write_is_durable_with_its_length_and_nothing_else)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    cr_assert_eq(world_sync_dir(&w), 0);
    world_fill(&w, file, 0, '1', 512);
    char data[512];
    memset(data, '2', sizeof(data));
    cr_assert_eq(world_write_dsync(&w, file, 512, data, sizeof(data)), 512);
    cr_assert_eq(images_with_sectors(&w, "02", true), 1);
    cr_assert_eq(images_with_sectors(&w, "12", true), 1);
    struct fr_sim_crash_options options = {.no_garbage = true};
    cr_assert_eq(crash_total(&w, &options), 2);
    world_close(&w);
}

static bool keeps_first_sector(const struct fr_sim_image *image, void *ctx)
{
    size_t size;
    const char *text = image_text(image, "a", &size);

    (void)ctx;
    if (text == NULL || size < 700) return false;
    for (size_t i = 0; i < 700; i++)
        if (text[i] != 's') return false;
    return true;
}

Test(sim_crash, garbage_stays_within_the_bytes_that_were_written)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    world_fill(&w, file, 0, 's', 700);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(world_sync_dir(&w), 0);
    world_fill(&w, file, 700, 'n', 100);
    cr_assert_gt(crash_total(&w, NULL), 3);
    cr_assert_eq(crash_count(&w, NULL, keeps_first_sector, NULL), crash_total(&w, NULL));
    world_close(&w);
}

/*
 * The checker. It knows nothing of effects and lists: it keeps, for each byte of each file, the set
 * of values that the byte may have after a power loss, and for each name the set of files it may
 * lead to.
 */
#define FILE_COUNT 12
#define NAME_COUNT 4
#define BYTES_MAX  12288
#define NO_FILE    FILE_COUNT

struct value_set {
    uint64_t bits[4];
};

struct model_file {
    fr_handle handle;
    uint64_t inode;
    uint8_t live[BYTES_MAX];
    uint64_t size, size_least, size_most;
    struct value_set may[BYTES_MAX];
    bool soiled[BYTES_MAX]; /* an unsynced write covers it: garbage is possible */
};

struct model {
    struct world w;
    struct fr_rng rng;
    struct model_file files[FILE_COUNT];
    unsigned file_count;
    unsigned live_names[NAME_COUNT]; /* a file's number or NO_FILE */
    unsigned may_names[NAME_COUNT];  /* bits */
    bool garbage;
    const char *doing;
};

static const char *const model_names[NAME_COUNT] = {"a", "b", "c", "d"};

static void allow(struct model_file *f, uint64_t at, uint8_t value)
{
    f->may[at].bits[value / 64] |= UINT64_C(1) << value % 64;
}

static bool allowed(const struct model_file *f, uint64_t at, uint8_t value)
{
    return (f->may[at].bits[value / 64] >> value % 64 & 1) != 0;
}

static void pin(struct model_file *f, uint64_t at)
{
    f->may[at] = (struct value_set){0};
    f->soiled[at] = false;
    allow(f, at, f->live[at]);
}

static void model_sync(struct model_file *f)
{
    for (uint64_t i = 0; i < BYTES_MAX; i++)
        pin(f, i);
    f->size_least = f->size_most = f->size;
}

static void model_write(struct model *m, struct model_file *f, bool dsync)
{
    uint8_t data[6000];
    size_t most = fr_rng_one_in(&m->rng, 4) ? sizeof(data) : 2000;
    size_t size = (size_t)fr_rng_between(&m->rng, 1, most);
    uint64_t offset = fr_rng_below(&m->rng, BYTES_MAX - size);

    if (fr_rng_one_in(&m->rng, 2)) offset = offset / 512 * 512;
    fr_rng_fill(&m->rng, data, size);
    cr_assert_eq(dsync ? world_write_dsync(&m->w, f->handle, offset, data, size)
                       : world_write(&m->w, f->handle, offset, data, size),
            (int64_t)size);
    for (uint64_t i = 0; i < size; i++) {
        f->live[offset + i] = data[i];
        allow(f, offset + i, data[i]);
        f->soiled[offset + i] = true;
        if (dsync) pin(f, offset + i);
    }
    f->size = FR_MAX(f->size, offset + size);
    f->size_most = FR_MAX(f->size_most, f->size);
    if (dsync) f->size_least = FR_MAX(f->size_least, offset + size);
}

static void model_zero(struct model_file *f, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        f->live[i] = 0;
        allow(f, i, 0);
    }
}

static void model_cut(struct model *m, struct model_file *f)
{
    uint64_t size = fr_rng_below(&m->rng, BYTES_MAX);

    cr_assert_eq(OPS->file_truncate(m->w.sim, f->handle, size), 0);
    model_zero(f, size, BYTES_MAX);
    f->size = size;
    f->size_least = FR_MIN(f->size_least, size);
    f->size_most = FR_MAX(f->size_most, size);
}

static void model_punch(struct model *m, struct model_file *f)
{
    uint64_t offset = fr_rng_below(&m->rng, BYTES_MAX);
    uint64_t size = fr_rng_between(&m->rng, 1, BYTES_MAX - offset);

    cr_assert_eq(OPS->file_punch_hole(m->w.sim, f->handle, offset, size), 0);
    if (offset < f->size) model_zero(f, offset, FR_MIN(offset + size, f->size));
}

static void model_bind(struct model *m, unsigned name, unsigned file)
{
    m->live_names[name] = file;
    m->may_names[name] |= 1u << file;
}

static void model_create(struct model *m, unsigned name)
{
    struct fr_file_info info;

    if (m->live_names[name] != NO_FILE || m->file_count == FILE_COUNT) return;
    struct model_file *f = &m->files[m->file_count];
    f->handle = world_create(&m->w, model_names[name]);
    cr_assert_eq(OPS->file_info(m->w.sim, f->handle, &info), 0);
    f->inode = info.inode;
    model_sync(f);
    model_bind(m, name, m->file_count++);
}

static void model_rename(struct model *m, unsigned from, unsigned to)
{
    unsigned file = m->live_names[from];

    if (file == NO_FILE || from == to) return;
    cr_assert_eq(world_rename(&m->w, model_names[from], model_names[to]), 0);
    model_bind(m, from, NO_FILE);
    model_bind(m, to, file);
}

static void model_unlink(struct model *m, unsigned name)
{
    if (m->live_names[name] == NO_FILE) return;
    cr_assert_eq(world_unlink(&m->w, model_names[name]), 0);
    model_bind(m, name, NO_FILE);
}

static void model_sync_names(struct model *m)
{
    cr_assert_eq(world_sync_dir(&m->w), 0);
    for (unsigned i = 0; i < NAME_COUNT; i++)
        m->may_names[i] = 1u << m->live_names[i];
}

static void model_step(struct model *m)
{
    unsigned name = (unsigned)fr_rng_below(&m->rng, NAME_COUNT);
    unsigned other = (unsigned)fr_rng_below(&m->rng, NAME_COUNT);
    struct model_file *f = NULL;

    if (m->file_count > 0) f = &m->files[fr_rng_below(&m->rng, m->file_count)];
    switch (fr_rng_below(&m->rng, 16)) {
    case 0:
    case 1:
    case 2:
        model_create(m, name);
        break;
    case 3:
    case 4:
        model_rename(m, name, other);
        break;
    case 5:
        model_unlink(m, name);
        break;
    case 6:
        model_sync_names(m);
        break;
    case 7:
        if (f != NULL) model_cut(m, f);
        break;
    case 8:
        if (f != NULL) model_punch(m, f);
        break;
    case 9:
    case 10:
        if (f != NULL) cr_assert_eq(world_sync(&m->w, f->handle), 0);
        if (f != NULL) model_sync(f);
        break;
    case 11:
        if (f != NULL) model_write(m, f, true);
        break;
    default:
        if (f != NULL) model_write(m, f, false);
        break;
    }
}

static unsigned find_file(const struct model *m, uint64_t inode)
{
    unsigned i = 0;

    while (i < m->file_count && m->files[i].inode != inode)
        i++;
    cr_assert_lt(i, m->file_count, "a file that nobody has made");
    return i;
}

static void check_bytes(const struct model *m, const struct model_file *f, const uint8_t *data,
        uint64_t size, const char *origin)
{
    cr_assert(size >= f->size_least && size <= f->size_most, "%s: size %zu", origin, (size_t)size);
    for (uint64_t i = 0; i < size; i++) {
        if (m->garbage && f->soiled[i]) continue;
        /* Where the length came without the bytes there are zeros. */
        if (data[i] == 0 && i >= f->size_least) continue;
        if (!allowed(f, i, data[i])) cr_assert(false, "%s: byte %zu of a file", origin, (size_t)i);
    }
}

/* Answers the file that the name leads to. */
static unsigned check_name(const struct model *m, struct world *left, unsigned name,
        const char *origin)
{
    uint8_t data[BYTES_MAX];
    struct fr_file_info info;
    unsigned file = NO_FILE;

    int rc = OPS->dir_stat(left->sim, left->root, model_names[name], &info);
    if (rc == 0) file = find_file(m, info.inode);
    cr_assert((m->may_names[name] >> file & 1) != 0, "%s: name %s leads to %u", origin,
            model_names[name], file);
    if (rc != 0) return NO_FILE;
    fr_handle handle = world_open_file(left, model_names[name]);
    cr_assert_eq(world_read(left, handle, 0, data, sizeof(data)), (int64_t)info.size);
    check_bytes(m, &m->files[file], data, info.size, origin);
    world_close_file(left, handle);
    return file;
}

static bool check_image(const struct fr_sim_image *image, void *ctx)
{
    const struct model *m = ctx;
    struct fr_sim *sim;

    cr_assert_eq(fr_sim_image_boot(image, 1, &sim), FR_OK);
    struct world left = world_of(sim);
    unsigned seen = 0; /* nothing here makes links, so no file may have two names */
    for (unsigned i = 0; i < NAME_COUNT; i++) {
        unsigned file = check_name(m, &left, i, fr_sim_image_origin(image));
        cr_assert((seen >> file & 1) == 0, "%s: two names", fr_sim_image_origin(image));
        if (file != NO_FILE) seen |= 1u << file;
    }
    cr_assert_eq(crash_total(&left, NULL), 1, "all that was booted is durable");
    world_close(&left);
    return true;
}

static struct model *model_new(uint64_t seed, bool garbage)
{
    struct fr_sim_options options = {.seed = seed};
    struct model *m = FR_NEW(struct model);

    m->w = world_open(&options);
    m->garbage = garbage;
    fr_rng_init(&m->rng, seed);
    for (unsigned i = 0; i < NAME_COUNT; i++) {
        m->live_names[i] = NO_FILE;
        m->may_names[i] = 1u << NO_FILE;
    }
    return m;
}

static unsigned run_model(uint64_t seed, bool garbage, unsigned images_max)
{
    struct fr_sim_crash_options options = {
            .no_garbage = !garbage, .images_max = images_max, .exhaustive_max = 8};
    struct model *m = model_new(seed, garbage);
    unsigned images = 0;

    for (unsigned step = 0; step < 40; step++) {
        model_step(m);
        images += crash_count(&m->w, &options, check_image, m);
    }
    for (unsigned i = 0; i < m->file_count; i++)
        world_close_file(&m->w, m->files[i].handle);
    world_close(&m->w);
    fr_free(m);
    return images;
}

Test(sim_crash, nothing_synced_is_lost_and_nothing_is_invented, .timeout = 120)
{
    unsigned images = 0;

    for (uint64_t seed = 1; seed <= 40; seed++)
        images += run_model(seed, false, 40);
    cr_assert_gt(images, 10000);
}

Test(sim_crash, nothing_synced_is_lost_with_garbage, .timeout = 120)
{
    for (uint64_t seed = 101; seed <= 120; seed++)
        run_model(seed, true, 40);
}

Test(sim_crash, nothing_synced_is_lost_in_any_image, .timeout = 120)
{
    for (uint64_t seed = 201; seed <= 204; seed++)
        run_model(seed, false, 0);
}

/* --- The enumeration itself ------------------------------------------------------------------ */

Test(sim_crash, the_machine_does_not_notice_a_crash)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    world_fill(&w, file, 0, 'x', 3000);
    uint64_t before = fr_sim_trace_hash(w.sim);
    uint64_t images = crash_hash(&w, NULL);
    cr_assert_eq(fr_sim_trace_hash(w.sim), before);
    cr_assert_eq(crash_hash(&w, NULL), images, "the same images again");
    world_close(&w);
}

Test(sim_crash, a_limit_keeps_the_extremes)
{
    struct fr_sim_crash_options options = {.images_max = 5};
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    cr_assert_eq(world_sync_dir(&w), 0);
    world_fill(&w, file, 0, 'x', 20000);
    cr_assert_eq(crash_total(&w, &options), 5);
    struct want none = {.name = "a", .text = "", .size = 0};
    cr_assert_eq(crash_count(&w, &options, has, &none), 1);
    world_close(&w);
}

Test(sim_crash, crashes_and_images_outlive_the_machine)
{
    struct world w = world_open(NULL);
    struct fr_sim_crash *crash;
    struct fr_sim_image *image;
    struct fr_sim *next;

    durable_file(&w, "a", "old");
    cr_assert_eq(fr_sim_crash_open(w.sim, NULL, &crash), FR_OK);
    world_close(&w);
    cr_assert_eq(fr_sim_crash_next(crash, &image), FR_OK);
    fr_sim_crash_close(crash);
    cr_assert_eq(fr_sim_image_boot(image, 7, &next), FR_OK);
    fr_sim_image_free(image);
    w = world_of(next);
    cr_assert_eq(images_with(&w, "a", "old"), 1);
    world_close(&w);
}

Test(sim_crash, an_image_can_be_listed)
{
    struct world w = world_open(NULL);
    struct fr_sim_image *image;
    struct fr_buf text = FR_BUF_EMPTY;

    durable_file(&w, "b", "four");
    world_create(&w, "a");
    cr_assert_eq(OPS->dir_make(w.sim, w.root, "sub"), 0);
    cr_assert_eq(fr_sim_image_take(w.sim, &image), FR_OK);
    cr_assert_eq(fr_sim_image_list(image, &text), FR_OK);
    fr_buf_u8(&text, 0);
    const char *at = (const char *)text.data;
    cr_assert_eq(strncmp(at, "/a 0 ", 5), 0, "%s", at);
    at = strchr(at, '\n') + 1;
    cr_assert_eq(strncmp(at, "/b 4 ", 5), 0, "%s", at);
    at = strchr(at, '\n') + 1;
    cr_assert_str_eq(at, "/sub/\n");
    fr_buf_deinit(&text);
    fr_sim_image_free(image);
    world_close(&w);
}

/* Somebody else has made the directory, and has not made its name durable. */
Test(sim_crash, opening_with_create_makes_an_existing_name_durable)
{
    struct world w = world_open(NULL);
    struct fr_sim_image *image;
    struct fr_sim_crash *crash;
    struct fr_dir *dir;

    cr_assert_eq(OPS->dir_make(w.sim, w.root, "store"), 0);
    cr_assert_eq(fr_dir_open(fr_sim_env(w.sim), "/store", FR_DIR_CREATE, &dir), FR_OK);
    fr_dir_close(dir);
    cr_assert_eq(fr_sim_crash_open(w.sim, NULL, &crash), FR_OK);
    cr_assert_eq(fr_sim_crash_unit_count(crash), 0);
    cr_assert_eq(fr_sim_crash_next(crash, &image), FR_OK);
    fr_sim_image_free(image);
    fr_sim_crash_close(crash);
    world_close(&w);
}
