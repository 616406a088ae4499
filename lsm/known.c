#include "lsm/known.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "lsm/place.h"

uint64_t fr_known_print(fr_slice key, fr_seq seq, uint64_t size)
{
    return fr_hash_fold(fr_hash64(key) ^ FR_HASH_K2, (seq ^ size * FR_HASH_K1) + FR_HASH_K3);
}

/* ---- Gathering ---- */

void fr_known_init(struct fr_known *known, uint64_t bytes_max)
{
    *known = (struct fr_known){.room = bytes_max};
}

void fr_known_deinit(struct fr_known *known)
{
    for (size_t i = 0; i < known->file_count; i++) {
        fr_free(known->files[i].values);
        fr_free(known->files[i].digests);
    }
    fr_free(known->files);
    *known = (struct fr_known){0};
}

static bool grow(struct fr_known *known)
{
    if (known->file_count < known->file_capacity) return true;
    size_t capacity = FR_MAX((size_t)16, 2 * known->file_capacity);
    struct fr_known_file *files = fr_realloc(known->files, capacity * sizeof(*files));

    if (files == NULL) return false;
    known->files = files;
    known->file_capacity = capacity;
    return true;
}

void fr_known_keep(struct fr_known *known, uint64_t number, struct fr_known_value *values,
        uint64_t *digests, size_t count)
{
    uint64_t size = count * (sizeof(*values) + (digests != NULL ? sizeof(*digests) : 0));
    bool ascends = known->file_count == 0 || known->files[known->file_count - 1].number < number;

    if (count == 0 || size > known->room || !ascends || !grow(known)) {
        fr_free(values);
        fr_free(digests);
        return;
    }
    known->files[known->file_count++] = (struct fr_known_file){
            .number = number, .values = values, .digests = digests, .count = count};
    known->room -= size;
}

/* ---- Looking ---- */

const struct fr_known_value *fr_known_search(const struct fr_known_value *values, size_t count,
        uint64_t offset)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (values[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && values[low].offset == offset ? &values[low] : NULL;
}

fr_status fr_known_reader_init(struct fr_known_reader *reader, const struct fr_known *known)
{
    *reader = (struct fr_known_reader){.known = known};
    if (known == NULL) return FR_OK;
    reader->next = fr_alloc_zeroed(known->file_count + 1, sizeof(*reader->next));
    return reader->next != NULL ? FR_OK : FR_FAIL(FR_ERR_NOMEM, "no memory to look at values");
}

void fr_known_reader_deinit(struct fr_known_reader *reader)
{
    fr_free(FR_TAKE(reader->next));
}

static const struct fr_known_file *find_file(const struct fr_known *known, uint64_t number)
{
    size_t low = 0, high = known->file_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (known->files[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < known->file_count && known->files[low].number == number ? &known->files[low]
                                                                         : NULL;
}

bool fr_known_find(struct fr_known_reader *reader, const struct fr_entry *entry, uint64_t *ret_size,
        uint64_t *ret_digest)
{
    const struct fr_known *known = reader->known;
    struct fr_place place;

    if (known == NULL || !fr_place_get(entry->value, &place)) return false;
    const struct fr_known_file *file = find_file(known, place.file);
    if (file == NULL) return false;
    size_t *next = &reader->next[file - known->files];
    const struct fr_known_value *found =
            *next < file->count && file->values[*next].offset == place.offset
                    ? &file->values[*next]
                    : fr_known_search(file->values, file->count, place.offset);
    if (found == NULL || found->print != fr_known_print(entry->key, entry->seq, place.size))
        return false;
    *next = (size_t)(found - file->values) + 1;
    *ret_size = place.size;
    *ret_digest = file->digests != NULL ? file->digests[found - file->values] : 0;
    return true;
}
