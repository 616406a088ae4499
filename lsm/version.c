#include "lsm/version.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/museum.h"
#include "lsm/range_set.h"

void fr_obsolete_init(struct fr_obsolete *obsolete)
{
    *obsolete = (struct fr_obsolete){0};
    fr_mutex_init(&obsolete->mu, FR_RANK_LSM_OBSOLETE);
}

void fr_obsolete_deinit(struct fr_obsolete *obsolete)
{
    fr_free(obsolete->files);
    fr_mutex_deinit(&obsolete->mu);
}

/* Room for one more in an array that grows by half; false for want of memory. */
static bool grow(void *array_of_pointer, size_t count, size_t *capacity, size_t element_size)
{
    void **array = array_of_pointer;

    if (count < *capacity) return true;
    size_t wanted = FR_MAX(*capacity + *capacity / 2, (size_t)8);
    void *moved = fr_realloc(*array, wanted * element_size);
    if (moved == NULL) return false;
    *array = moved;
    *capacity = wanted;
    return true;
}

static void add_obsolete(struct fr_obsolete *obsolete, enum fr_file_kind kind, uint64_t number)
{
    fr_mutex_lock(&obsolete->mu);
    if (grow(&obsolete->files, obsolete->count, &obsolete->capacity, sizeof(*obsolete->files)))
        obsolete->files[obsolete->count++] =
                (struct fr_obsolete_file){.kind = kind, .number = number};
    else
        obsolete->forgotten_count++;
    fr_mutex_unlock(&obsolete->mu);
}

bool fr_obsolete_take(struct fr_obsolete *obsolete, struct fr_obsolete_file *ret_file)
{
    fr_mutex_lock(&obsolete->mu);
    bool any = obsolete->count > 0;
    if (any) *ret_file = obsolete->files[--obsolete->count];
    fr_mutex_unlock(&obsolete->mu);
    return any;
}

/* One less; true: that was the last, and all that the others did is seen. */
static bool release(_Atomic(uint32_t) *refs)
{
    /* Not a fence for the last one alone: the race checker does not see those. */
    uint32_t before = atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel);

    FR_ASSERT(before > 0);
    return before == 1;
}

static void acquire(_Atomic(uint32_t) *refs)
{
    uint32_t before = atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);

    FR_ASSERT(before > 0);
}

static fr_slice copy_slice(uint8_t **at, fr_slice slice)
{
    uint8_t *to = *at;

    if (slice.size > 0) memcpy(to, slice.data, slice.size);
    *at += slice.size;
    return fr_slice_of(to, slice.size);
}

fr_status fr_version_table_new(struct fr_obsolete *obsolete, const struct fr_edit_table *meta,
        struct fr_table *table, void (*close)(struct fr_table *table), struct fr_range_set *ranges,
        struct fr_version_table **ret_table)
{
    size_t refs_size = meta->ref_count * sizeof(*meta->refs);
    struct fr_version_table *t =
            fr_alloc_zeroed(1, sizeof(*t) + refs_size + meta->smallest.size + meta->largest.size);

    if (t == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for table %" PRIu64, meta->number);
    struct fr_value_ref *refs = (struct fr_value_ref *)(t + 1);
    uint8_t *keys = (uint8_t *)(refs + meta->ref_count);
    if (refs_size > 0) memcpy(refs, meta->refs, refs_size);
    t->meta = *meta;
    t->meta.refs = refs;
    t->meta.smallest = copy_slice(&keys, meta->smallest);
    t->meta.largest = copy_slice(&keys, meta->largest);
    for (size_t i = 0; i < meta->ref_count; i++)
        t->value_bytes += refs[i].bytes;
    t->obsolete = obsolete;
    t->table = table;
    t->close = close;
    t->ranges = ranges;
    atomic_init(&t->refs, 1);
    *ret_table = t;
    return FR_OK;
}

fr_status fr_version_values_new(struct fr_obsolete *obsolete, const struct fr_edit_values *meta,
        struct fr_value_file *file, void (*close)(struct fr_value_file *file),
        struct fr_version_values **ret_values)
{
    struct fr_version_values *v = FR_NEW(struct fr_version_values);

    if (v == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for value file %" PRIu64, meta->number);
    v->meta = *meta;
    v->obsolete = obsolete;
    v->file = file;
    v->close = close;
    atomic_init(&v->refs, 1);
    *ret_values = v;
    return FR_OK;
}

struct fr_version_table *fr_version_table_ref(struct fr_version_table *table)
{
    acquire(&table->refs);
    return table;
}

void fr_version_table_unref(struct fr_version_table *table)
{
    if (table == NULL || !release(&table->refs)) return;
    if (table->close != NULL) table->close(table->table);
    fr_range_set_unref(table->ranges);
    if (atomic_load_explicit(&table->dropped, memory_order_relaxed))
        add_obsolete(table->obsolete, FR_FILE_TABLE, table->meta.number);
    fr_free(table);
}

struct fr_version_values *fr_version_values_ref(struct fr_version_values *values)
{
    acquire(&values->refs);
    return values;
}

void fr_version_values_unref(struct fr_version_values *values)
{
    if (values == NULL || !release(&values->refs)) return;
    if (values->close != NULL) values->close(values->file);
    if (atomic_load_explicit(&values->dropped, memory_order_relaxed))
        add_obsolete(values->obsolete, FR_FILE_VALUES, values->meta.number);
    fr_free(values);
}

fr_status fr_version_new(struct fr_version **ret_version)
{
    struct fr_version *version = FR_NEW(struct fr_version);

    if (version == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a version");
    atomic_init(&version->refs, 1);
    *ret_version = version;
    return FR_OK;
}

struct fr_version *fr_version_ref(struct fr_version *version)
{
    acquire(&version->refs);
    return version;
}

void fr_version_unref(struct fr_version *version)
{
    if (version == NULL || !release(&version->refs)) return;
    for (size_t level = 0; level < FR_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < version->levels[level].count; i++)
            fr_version_table_unref(version->levels[level].tables[i]);
        fr_free(version->levels[level].tables);
    }
    for (size_t i = 0; i < version->values_count; i++)
        fr_version_values_unref(version->values[i]);
    fr_free(version->values);
    fr_free(version->values_live);
    fr_free(version);
}

void fr_version_change_deinit(struct fr_version_change *change)
{
    fr_free(change->add_tables);
    fr_free(change->drop_tables);
    fr_free(change->add_values);
    fr_free(change->drop_values);
    *change = (struct fr_version_change){0};
}

void fr_version_change_unref_added(const struct fr_version_change *change)
{
    for (size_t i = 0; i < change->add_table_count; i++)
        fr_version_table_unref(change->add_tables[i].table);
    for (size_t i = 0; i < change->add_values_count; i++)
        fr_version_values_unref(change->add_values[i]);
}

/* Changes are short: an array grows by one and copies itself. */
static bool add_one(void *array_of_pointer, size_t count, size_t element_size)
{
    void **array = array_of_pointer;
    void *moved = fr_realloc(*array, (count + 1) * element_size);

    if (moved == NULL) return false;
    *array = moved;
    return true;
}

static fr_status no_memory(void)
{
    return FR_FAIL(FR_ERR_NOMEM, "no memory for a change of version");
}

fr_status fr_version_change_add_table(struct fr_version_change *change, unsigned level,
        struct fr_version_table *table)
{
    if (!add_one(&change->add_tables, change->add_table_count, sizeof(*change->add_tables)))
        return no_memory();
    change->add_tables[change->add_table_count].level = level;
    change->add_tables[change->add_table_count++].table = table;
    return FR_OK;
}

fr_status fr_version_change_drop_table(struct fr_version_change *change, unsigned level,
        uint64_t number)
{
    if (!add_one(&change->drop_tables, change->drop_table_count, sizeof(*change->drop_tables)))
        return no_memory();
    change->drop_tables[change->drop_table_count].level = level;
    change->drop_tables[change->drop_table_count++].number = number;
    return FR_OK;
}

fr_status fr_version_change_add_values(struct fr_version_change *change,
        struct fr_version_values *values)
{
    if (!add_one(&change->add_values, change->add_values_count, sizeof(void *))) return no_memory();
    change->add_values[change->add_values_count++] = values;
    return FR_OK;
}

fr_status fr_version_change_drop_values(struct fr_version_change *change, uint64_t number)
{
    if (!add_one(&change->drop_values, change->drop_values_count, sizeof(*change->drop_values)))
        return no_memory();
    change->drop_values[change->drop_values_count++] = number;
    return FR_OK;
}

void fr_version_change_encode(const struct fr_version_change *change, struct fr_buf *edit)
{
    for (size_t i = 0; i < change->add_values_count; i++)
        fr_edit_put_add_values(edit, &change->add_values[i]->meta);
    for (size_t i = 0; i < change->add_table_count; i++)
        fr_edit_put_add_table(edit, change->add_tables[i].level,
                &change->add_tables[i].table->meta);
    for (size_t i = 0; i < change->drop_table_count; i++)
        fr_edit_put_drop_table(edit, change->drop_tables[i].level, change->drop_tables[i].number);
    for (size_t i = 0; i < change->drop_values_count; i++)
        fr_edit_put_drop_values(edit, change->drop_values[i]);
}

void fr_version_encode(const struct fr_version *version, struct fr_buf *edit)
{
    fr_edit_put_reset(edit);
    for (size_t i = 0; i < version->values_count; i++)
        fr_edit_put_add_values(edit, &version->values[i]->meta);
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            fr_edit_put_add_table(edit, level, &version->levels[level].tables[i]->meta);
}

/* Whether the change drops that table, or that table of another level. */
static bool drops_table(const struct fr_version_change *change, unsigned level, uint64_t number,
        size_t *drops_seen)
{
    for (size_t i = 0; i < change->drop_table_count; i++) {
        if (change->drop_tables[i].number != number || change->drop_tables[i].level != level)
            continue;
        (*drops_seen)++;
        return true;
    }
    return false;
}

static bool drops_values(const struct fr_version_change *change, uint64_t number)
{
    for (size_t i = 0; i < change->drop_values_count; i++)
        if (change->drop_values[i] == number) return true;
    return false;
}

/* Level 0: the newest first. */
static int compare_age(const void *a, const void *b)
{
    const struct fr_edit_table *x = &(*(struct fr_version_table *const *)a)->meta;
    const struct fr_edit_table *y = &(*(struct fr_version_table *const *)b)->meta;

    if (x->largest_seq != y->largest_seq) return x->largest_seq > y->largest_seq ? -1 : 1;
    return (x->number < y->number) - (x->number > y->number);
}

static int compare_keys(const void *a, const void *b)
{
    const struct fr_edit_table *x = &(*(struct fr_version_table *const *)a)->meta;
    const struct fr_edit_table *y = &(*(struct fr_version_table *const *)b)->meta;

    return fr_slice_compare(x->smallest, y->smallest);
}

/* Keys of different tables of a level above 0 do not overlap. */
static fr_status check_level(const struct fr_version_level *tables, unsigned level)
{
    for (size_t i = 1; level > 0 && i < tables->count; i++) {
        const struct fr_edit_table *before = &tables->tables[i - 1]->meta;
        const struct fr_edit_table *here = &tables->tables[i]->meta;
        if (fr_version_is_before(before, here->smallest)) continue;
        return FR_FAIL(FR_ERR_CORRUPT, "tables %" PRIu64 " and %" PRIu64 " of level %u overlap",
                before->number, here->number, level);
    }
    return FR_OK;
}

static void put_table(struct fr_version_level *to, struct fr_version_table *table)
{
    to->tables[to->count++] = fr_version_table_ref(table);
    to->file_bytes += table->meta.size;
    to->bytes += table->meta.size + table->value_bytes;
}

static fr_status build_level(const struct fr_version_level *from,
        const struct fr_version_change *change, unsigned level, struct fr_version_level *to,
        size_t *drops_seen)
{
    size_t most = from->count;

    for (size_t i = 0; i < change->add_table_count; i++)
        most += change->add_tables[i].level == level;
    to->tables = fr_alloc_zeroed(most, sizeof(void *));
    if (to->tables == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a version");
    for (size_t i = 0; i < from->count; i++)
        if (!drops_table(change, level, from->tables[i]->meta.number, drops_seen))
            put_table(to, from->tables[i]);
    for (size_t i = 0; i < change->add_table_count; i++)
        if (change->add_tables[i].level == level) put_table(to, change->add_tables[i].table);
    qsort(to->tables, to->count, sizeof(void *), level == 0 ? compare_age : compare_keys);
    return check_level(to, level);
}

static int compare_values(const void *a, const void *b)
{
    uint64_t x = (*(struct fr_version_values *const *)a)->meta.number;
    uint64_t y = (*(struct fr_version_values *const *)b)->meta.number;

    return (x > y) - (x < y);
}

static fr_status build_values(const struct fr_version *from, const struct fr_version_change *change,
        struct fr_version *to)
{
    size_t most = from->values_count + change->add_values_count, dropped = 0;

    to->values = fr_alloc_zeroed(most, sizeof(void *));
    to->values_live = fr_alloc_zeroed(most, sizeof(*to->values_live));
    if (to->values == NULL || to->values_live == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a version");
    for (size_t i = 0; i < from->values_count; i++) {
        if (drops_values(change, from->values[i]->meta.number))
            dropped++;
        else
            to->values[to->values_count++] = fr_version_values_ref(from->values[i]);
    }
    if (dropped != change->drop_values_count)
        return FR_FAIL(FR_ERR_CORRUPT, "an edit drops a value file that is not there");
    for (size_t i = 0; i < change->add_values_count; i++)
        to->values[to->values_count++] = fr_version_values_ref(change->add_values[i]);
    qsort(to->values, to->values_count, sizeof(void *), compare_values);
    for (size_t i = 1; i < to->values_count; i++)
        if (to->values[i - 1]->meta.number == to->values[i]->meta.number)
            return FR_FAIL(FR_ERR_CORRUPT, "value file %" PRIu64 " is added twice",
                    to->values[i]->meta.number);
    return FR_OK;
}

size_t fr_version_find_values(const struct fr_version *version, uint64_t number)
{
    size_t low = 0, high = version->values_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (version->values[middle]->meta.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < version->values_count && version->values[low]->meta.number == number;
    return found ? low : version->values_count;
}

static fr_status count_live(struct fr_version *version)
{
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct fr_edit_table *meta = &version->levels[level].tables[i]->meta;
            for (size_t r = 0; r < meta->ref_count; r++) {
                size_t at = fr_version_find_values(version, meta->refs[r].file);
                if (at == version->values_count)
                    return FR_FAIL(FR_ERR_CORRUPT,
                            "table %" PRIu64 " points to value file %" PRIu64
                            ", which is not there",
                            meta->number, meta->refs[r].file);
                uint64_t all = version->values[at]->meta.value_bytes;
                if (meta->refs[r].bytes > all - version->values_live[at])
                    return FR_FAIL(FR_ERR_CORRUPT,
                            "tables point to more than the %" PRIu64
                            " bytes of values in value file %" PRIu64,
                            all, meta->refs[r].file);
                version->values_live[at] += meta->refs[r].bytes;
            }
        }
    return FR_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* A number names one file: were a table there twice, dropping one would remove the other's file. */
static fr_status check_numbers(const struct fr_version *version)
{
    size_t count = 0, at = 0;
    fr_status st = FR_OK;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        count += version->levels[level].count;
    uint64_t *numbers = fr_alloc_zeroed(count, sizeof(*numbers));
    if (numbers == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a version");
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            numbers[at++] = version->levels[level].tables[i]->meta.number;
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    for (size_t i = 1; i < count && st == FR_OK; i++)
        if (numbers[i - 1] == numbers[i])
            st = FR_FAIL(FR_ERR_CORRUPT, "table %" PRIu64 " is added twice", numbers[i]);
    fr_free(numbers);
    return st;
}

fr_status fr_version_apply(const struct fr_version *base, const struct fr_version_change *change,
        struct fr_version **ret_version)
{
    struct fr_version *version = NULL;
    size_t drops_seen = 0;
    fr_status st;

    FR_TRY(fr_version_new(&version));
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        FR_TRY(build_level(&base->levels[level], change, level, &version->levels[level],
                &drops_seen));
    if (drops_seen != change->drop_table_count) {
        st = FR_FAIL(FR_ERR_CORRUPT, "an edit drops a table that is not there");
        goto out;
    }
    FR_TRY(check_numbers(version));
    FR_TRY(build_values(base, change, version));
    FR_TRY(count_live(version));
    fr_version_check(version);
    *ret_version = FR_TAKE(version);
out:
    fr_version_unref(version);
    return st;
}

void fr_version_mark_dropped(const struct fr_version *base, const struct fr_version_change *change)
{
    size_t seen = 0;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < base->levels[level].count; i++) {
            struct fr_version_table *table = base->levels[level].tables[i];
            bool moved = false; /* to another level, by one edit: the file stays */
            for (size_t j = 0; j < change->add_table_count; j++)
                moved |= change->add_tables[j].table == table;
            if (!moved && drops_table(change, level, table->meta.number, &seen))
                atomic_store_explicit(&table->dropped, true, memory_order_relaxed);
        }
    for (size_t i = 0; i < base->values_count; i++)
        if (drops_values(change, base->values[i]->meta.number))
            atomic_store_explicit(&base->values[i]->dropped, true, memory_order_relaxed);
}

void fr_version_check(const struct fr_version *version)
{
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++) {
        const struct fr_version_level *l = &version->levels[level];
        uint64_t bytes = 0;
        for (size_t i = 0; i < l->count; i++)
            bytes += l->tables[i]->meta.size + l->tables[i]->value_bytes;
        FR_DEBUG_ASSERT(bytes == l->bytes);
        for (size_t i = 1; i < l->count && level > 0; i++)
            FR_DEBUG_ASSERT(fr_version_is_before(&l->tables[i - 1]->meta,
                    l->tables[i]->meta.smallest));
        (void)bytes;
    }
}

bool fr_version_is_before(const struct fr_edit_table *table, fr_slice key)
{
    int order = fr_slice_compare(table->largest, key);

    return order < 0 || (order == 0 && table->largest_open);
}

size_t fr_version_find(const struct fr_version_level *level, fr_slice key)
{
    size_t low = 0, high = level->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fr_version_is_before(&level->tables[middle]->meta, key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool overlaps(const struct fr_version_table *table, fr_slice smallest, fr_slice largest)
{
    /* museum 31: of two tables that share a key the older one left out */
    int limit = FR_MUSEUM(31) ? -1 : 0;

    return !fr_version_is_before(&table->meta, smallest) &&
           fr_slice_compare(table->meta.smallest, largest) <= limit;
}

size_t fr_version_find_run(const struct fr_version_level *level, fr_slice smallest,
        fr_slice largest, size_t *ret_first)
{
    size_t first = fr_version_find(level, smallest), end = first;

    while (end < level->count && overlaps(level->tables[end], smallest, largest))
        end++;
    *ret_first = first;
    return end - first;
}
