#include "tests/unit/spfresh/kernels_agree.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/coding.h"
#include "base/rng.h"
#include "spfresh/half.h"
#include "spfresh/kernels_priv.h"

#define DIMS_MAX ((size_t)16384)

static struct fr_rng rng;
static char difference[160];

#define AGREE(condition, ...)                                                                      \
    do {                                                                                           \
        if (condition) break;                                                                      \
        (void)snprintf(difference, sizeof(difference), __VA_ARGS__);                               \
        return false;                                                                              \
    } while (0)

const char *kernels_agree_text(void)
{
    return difference;
}

/* Rooms for what a kernel is given, a fence behind each. */
enum room { ROOM_A, ROOM_B, ROOM_C, ROOM_D, ROOM_COUNT };

#define ROOM_SIZE  ((size_t)128 << 10)
#define FENCE_SIZE ((size_t)64 << 10) /* whole pages, however large */
static_assert((DIMS_MAX + 3) * sizeof(float) <= ROOM_SIZE, "the longest vector has room");

/* The last size bytes before a room's fence. */
static void *last_of(enum room room, size_t size)
{
    static uint8_t *rooms;
    size_t stride = ROOM_SIZE + FENCE_SIZE;

    FR_ASSERT(size <= ROOM_SIZE);
    if (rooms == NULL) {
        rooms = mmap(NULL, ROOM_COUNT * stride, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        FR_ASSERT(rooms != MAP_FAILED);
        for (size_t i = 0; i < ROOM_COUNT; i++)
            FR_ASSERT(mprotect(rooms + i * stride, ROOM_SIZE, PROT_READ | PROT_WRITE) == 0);
    }
    return rooms + (size_t)room * stride + ROOM_SIZE - size;
}

static float random_float(void)
{
    return (float)(fr_rng_double(&rng) * 2 - 1) * ldexpf(1, (int)fr_rng_below(&rng, 12));
}

static float *random_floats(enum room room, size_t count)
{
    float *floats = last_of(room, count * sizeof(float));

    for (size_t i = 0; i < count; i++)
        floats[i] = random_float();
    return floats;
}

static void *random_bytes(enum room room, size_t size)
{
    void *bytes = last_of(room, size);

    fr_rng_fill(&rng, bytes, size);
    return bytes;
}

/* A limit that one of the bounds just meets. */
static float limit_that_meets(const uint8_t *block, struct fr_scan scan)
{
    float bounds[FR_BLOCK_VECTORS];

    fr_kernels_scalar.scan(block, &scan, bounds);
    return bounds[fr_rng_below(&rng, FR_BLOCK_VECTORS)];
}

static bool same_bits(float a, float b)
{
    uint32_t bits[2];

    memcpy(&bits[0], &a, sizeof(a));
    memcpy(&bits[1], &b, sizeof(b));
    return bits[0] == bits[1];
}

/* Equal, or neither is a number. */
static bool same(float a, float b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool agree_on_pair(const struct fr_kernels *kernels, const float *a, const float *b,
        size_t n)
{
    struct fr_dots dots = kernels->dots(a, b, n), expected = fr_kernels_scalar.dots(a, b, n);

    AGREE(kernels->l2(a, b, n) == fr_kernels_scalar.l2(a, b, n), "l2 of %zu", n);
    AGREE(kernels->dot(a, b, n) == fr_kernels_scalar.dot(a, b, n), "dot of %zu", n);
    AGREE(dots.ab == expected.ab, "dots of %zu: ab", n);
    AGREE(dots.aa == expected.aa, "dots of %zu: aa", n);
    AGREE(dots.bb == expected.bb, "dots of %zu: bb", n);
    return true;
}

bool kernels_agree_on_vectors(const struct fr_kernels *kernels)
{
    fr_rng_init(&rng, 1);
    for (size_t n = 0; n <= DIMS_MAX; n += n < 300 ? 1 : 2677) {
        float *a = random_floats(ROOM_A, n + 3), *b = random_floats(ROOM_B, n + 3);

        for (size_t offset = 0; offset <= 3; offset++)
            if (!agree_on_pair(kernels, a + offset, b + 3 - offset, n)) return false;
    }
    return true;
}

bool kernels_agree_on_extremes(const struct fr_kernels *kernels)
{
    static const float values[] = {0.0f, -0.0f, 3e38f, -3e38f, 1e-45f, -1e-38f, 1.0f, 16777217.0f};

    fr_rng_init(&rng, 2);
    for (int round = 0; round < 2000; round++) {
        size_t n = fr_rng_below(&rng, 131);
        float *a = last_of(ROOM_A, n * sizeof(float)), *b = last_of(ROOM_B, n * sizeof(float));

        for (size_t i = 0; i < n; i++) {
            /* Of one sign, or infinities of both would meet. */
            a[i] = values[fr_rng_below(&rng, FR_ARRAY_COUNT(values))];
            b[i] = fabsf(values[fr_rng_below(&rng, FR_ARRAY_COUNT(values))]);
            if (a[i] < 0) a[i] = -a[i];
        }
        if (!agree_on_pair(kernels, a, b, n)) return false;
    }
    return true;
}

static bool agree_on_row(const struct fr_kernels *kernels, const float *query, const int8_t *high,
        const uint8_t *low, size_t dims)
{
    const struct fr_kernels *scalar = &fr_kernels_scalar;
    float scale = fr_rng_one_in(&rng, 2) ? 0.3f : random_float();

    AGREE(kernels->l2_row8(query, high, scale, dims) == scalar->l2_row8(query, high, scale, dims),
            "l2_row8 of %zu", dims);
    AGREE(kernels->dot_row8(query, high, scale, dims) == scalar->dot_row8(query, high, scale, dims),
            "dot_row8 of %zu", dims);
    AGREE(kernels->l2_row12(query, high, low, scale, dims) ==
                    scalar->l2_row12(query, high, low, scale, dims),
            "l2_row12 of %zu", dims);
    AGREE(kernels->dot_row12(query, high, low, scale, dims) ==
                    scalar->dot_row12(query, high, low, scale, dims),
            "dot_row12 of %zu", dims);
    return true;
}

static bool agree_on_codes_of(const struct fr_kernels *kernels, size_t dims)
{
    float *query = random_floats(ROOM_A, dims + 1);
    int8_t *a = random_bytes(ROOM_B, dims + 1), *b = random_bytes(ROOM_C, dims + 1);
    uint8_t *low = random_bytes(ROOM_D, dims / 2 + 1);

    if (fr_rng_one_in(&rng, 4)) {
        memset(a, -128, dims + 1);
        memset(b, fr_rng_one_in(&rng, 2) ? -128 : 127, dims + 1);
    }
    for (size_t offset = 0; offset <= 1; offset++) {
        const int8_t *x = a + offset, *y = b + 1 - offset;

        AGREE(kernels->dot_i8(x, y, dims) == fr_kernels_scalar.dot_i8(x, y, dims), "dot_i8 of %zu",
                dims);
        if (!agree_on_row(kernels, query + offset, x, low + offset, dims)) return false;
    }
    return true;
}

bool kernels_agree_on_codes(const struct fr_kernels *kernels)
{
    fr_rng_init(&rng, 3);
    for (size_t dims = 32; dims <= DIMS_MAX; dims += dims < 1024 ? 32 : 3072)
        for (int round = 0; round < 8; round++)
            if (!agree_on_codes_of(kernels, dims)) return false;
    return true;
}

static size_t block_size(size_t row_count)
{
    return row_count * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE;
}

/* Factors as an encoder writes them: finite. */
static void fill_block(uint8_t *block, size_t row_count)
{
    uint8_t *tail = block + row_count * FR_BLOCK_ROW_SIZE;

    fr_rng_fill(&rng, block, row_count * FR_BLOCK_ROW_SIZE);
    for (size_t i = 0; i < 2 * FR_BLOCK_VECTORS; i++)
        fr_put_u16(tail + 2 * i, fr_half_from_float(random_float()));
}

static bool agree_on_scan(const struct fr_kernels *kernels, const uint8_t *block,
        const struct fr_scan *scan)
{
    float *bounds = last_of(ROOM_C, FR_BLOCK_VECTORS * sizeof(float));
    float expected[FR_BLOCK_VECTORS];
    uint32_t wanted = kernels->scan(block, scan, bounds);

    AGREE(wanted == fr_kernels_scalar.scan(block, scan, expected), "what a scan of %zu rows wants",
            scan->row_count);
    for (size_t lane = 0; lane < FR_BLOCK_VECTORS; lane++)
        AGREE(same(bounds[lane], expected[lane]), "a scan of %zu rows: lane %zu, %a instead of %a",
                scan->row_count, lane, (double)bounds[lane], (double)expected[lane]);
    return true;
}

static bool agree_on_random_scan(const struct fr_kernels *kernels, size_t row_count, int table_byte)
{
    uint8_t *block = last_of(ROOM_A, block_size(row_count));
    uint8_t *table = random_bytes(ROOM_B, row_count * FR_TABLE_ROW_SIZE);
    struct fr_scan scan = {.table = table,
            .row_count = row_count,
            .step = fabsf(random_float()),
            .base = random_float(),
            .offset = random_float(),
            .slack = random_float(),
            .limit = random_float()};

    fill_block(block, row_count);
    if (table_byte >= 0) memset(table, table_byte, row_count * FR_TABLE_ROW_SIZE);
    if (fr_rng_one_in(&rng, 2)) scan.limit = limit_that_meets(block, scan);
    return agree_on_scan(kernels, block, &scan);
}

bool kernels_agree_on_scans(const struct fr_kernels *kernels)
{
    fr_rng_init(&rng, 4);
    for (size_t row_count = 1; row_count <= DIMS_MAX / 32; row_count += row_count < 70 ? 1 : 63)
        for (int round = 0; round < 8; round++)
            if (!agree_on_random_scan(kernels, row_count, round == 0 ? 255 : round == 1 ? 0 : -1))
                return false;
    return true;
}

/* Factors of all kinds, also those that are no numbers. */
bool kernels_agree_on_halves(const struct fr_kernels *kernels)
{
    uint8_t *block = last_of(ROOM_A, block_size(1));
    uint8_t *table = last_of(ROOM_B, FR_TABLE_ROW_SIZE);
    struct fr_scan scan = {.table = table, .row_count = 1, .step = 1, .limit = 1};

    fr_rng_init(&rng, 7);
    fr_rng_fill(&rng, table, FR_TABLE_ROW_SIZE);
    fill_block(block, 1);
    for (unsigned half = 0; half <= UINT16_MAX; half++) {
        uint8_t *add = block + FR_BLOCK_ROW_SIZE + 2 * (half % FR_BLOCK_VECTORS);

        fr_put_u16(add, (uint16_t)half);
        fr_put_u16(add + 2 * FR_BLOCK_VECTORS, (uint16_t)(half * 40503u));
        if (half % FR_BLOCK_VECTORS == FR_BLOCK_VECTORS - 1)
            if (!agree_on_scan(kernels, block, &scan)) return false;
    }
    return true;
}

/* What a scan of each block says, one after the other. */
static bool agree_on_run(const struct fr_kernels *kernels, size_t row_count, size_t count)
{
    size_t block_count = (count + FR_BLOCK_VECTORS - 1) / FR_BLOCK_VECTORS, wanted = 0;
    size_t room = block_count * FR_BLOCK_VECTORS;
    uint8_t *run = last_of(ROOM_A, block_count * block_size(row_count));
    struct fr_scan scan = {.table = random_bytes(ROOM_B, row_count * FR_TABLE_ROW_SIZE),
            .row_count = row_count,
            .step = 1};
    float *bounds = random_floats(ROOM_C, room), expected[FR_BLOCK_VECTORS];
    uint32_t *places = random_bytes(ROOM_D, room * sizeof(uint32_t));

    for (size_t i = 0; i < block_count; i++)
        fill_block(run + i * block_size(row_count), row_count);
    if (count > 0) scan.limit = limit_that_meets(run, scan);
    size_t found = kernels->scan_run(run, count, &scan, bounds, places);
    for (size_t i = 0; i < count; i++) {
        size_t lane = i % FR_BLOCK_VECTORS;

        if (lane == 0)
            fr_kernels_scalar.scan(run + i / FR_BLOCK_VECTORS * block_size(row_count), &scan,
                    expected);
        if (!(expected[lane] <= scan.limit)) continue;
        AGREE(wanted < found, "scan_run of %zu: ends before place %zu", count, i);
        AGREE(places[wanted] == i, "scan_run of %zu: skips place %zu", count, i);
        AGREE(bounds[wanted++] == expected[lane], "scan_run of %zu: bound %zu", count, i);
    }
    AGREE(wanted == found, "scan_run of %zu: %zu instead of %zu", count, found, wanted);
    return true;
}

bool kernels_agree_on_runs(const struct fr_kernels *kernels)
{
    fr_rng_init(&rng, 5);
    for (size_t row_count = 1; row_count < 8; row_count++)
        for (size_t count = 0; count < 70; count++)
            if (!agree_on_run(kernels, row_count, count)) return false;
    return true;
}

bool kernels_agree_on_counts(const struct fr_kernels *kernels)
{
    fr_rng_init(&rng, 6);
    for (size_t n = 0; n < 100; n++) {
        float *values = random_floats(ROOM_A, n), limit = n > 2 ? values[n / 2] : 0;
        size_t expected = 0;

        for (size_t i = 0; i < n; i++)
            expected += values[i] <= limit;
        AGREE(kernels->count_within(values, n, limit) == expected, "count_within of %zu", n);
    }
    return true;
}

#define ROWS_MAX 9

bool kernels_agree_on_residuals(const struct fr_kernels *kernels)
{
    fr_rng_init(&rng, 12);
    for (size_t rows = 1; rows <= ROWS_MAX; rows++) {
        size_t dims = rows * FR_CODE_DIMS;
        float *x = random_floats(ROOM_A, dims), *c = random_floats(ROOM_B, dims);
        uint32_t *signs = last_of(ROOM_C, rows * sizeof(uint32_t)), expected[ROWS_MAX];

        for (size_t i = 0; i < dims; i += 7)
            x[i] = c[i];
        x[1] = -0.0f;
        c[1] = 0.0f;
        struct fr_residual right = fr_kernels_scalar.residual(x, c, dims, expected);
        struct fr_residual got = kernels->residual(x, c, dims, signs);

        AGREE((expected[0] & 3) == 3, "residual: plus where nothing is left");
        AGREE(same_bits(got.square, right.square), "residual of %zu: square", dims);
        AGREE(same_bits(got.magnitude, right.magnitude), "residual of %zu: magnitude", dims);
        AGREE(same_bits(got.signed_c, right.signed_c), "residual of %zu: signed_c", dims);
        AGREE(memcmp(signs, expected, dims / 8) == 0, "signs of %zu", dims);
    }
    return true;
}

bool kernels_agree_on_transforms(const struct fr_kernels *kernels)
{
    fr_rng_init(&rng, 6);
    for (size_t n = 1; n <= DIMS_MAX; n *= 2) {
        float *x = random_floats(ROOM_A, n), *expected = last_of(ROOM_B, n * sizeof(float));

        memcpy(expected, x, n * sizeof(float));
        kernels->hadamard(x, n);
        fr_kernels_scalar.hadamard(expected, n);
        for (size_t i = 0; i < n; i++)
            AGREE(x[i] == expected[i], "hadamard of %zu: %zu", n, i);
    }
    return true;
}
