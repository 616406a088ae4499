#include "spfresh/probe_cold.h"

#include "base/alloc.h"
#include "base/status.h"

/* Records are read to boundaries of a cache's lines. */
static size_t stride_of(size_t dims, enum fr_code_part part)
{
    size_t size = (part == FR_CODE_HIGH ? dims : fr_row_low_size(dims)) + FR_COLD_TAIL;

    return (size + 63) / 64 * 64;
}

void fr_probe_cold_deinit(struct fr_probe_cold *cold)
{
    fr_free(cold->rows);
    fr_free(cold->wishes);
    fr_free(cold->whose);
    for (int part = 0; part < FR_CODE_PARTS; part++) {
        fr_free(cold->bytes[part]);
        fr_free(cold->at[part]);
    }
    *cold = (struct fr_probe_cold){0};
}

fr_status fr_probe_cold_begin(struct fr_probe_cold *cold, size_t dims, size_t count)
{
    size_t capacity = FR_MAX(count, 2 * cold->capacity);
    bool good = true;

    cold->count = 0;
    if (count <= cold->capacity) return FR_OK;
    fr_probe_cold_deinit(cold);
    cold->rows = fr_alloc(capacity * sizeof(*cold->rows));
    cold->wishes = fr_alloc(capacity * sizeof(*cold->wishes));
    cold->whose = fr_alloc(capacity * sizeof(*cold->whose));
    good = cold->rows != NULL && cold->wishes != NULL && cold->whose != NULL;
    for (enum fr_code_part part = 0; part < FR_CODE_PARTS; part++) {
        cold->bytes[part] = fr_alloc_aligned(capacity * stride_of(dims, part), 64);
        cold->at[part] = fr_alloc(capacity * sizeof(const uint8_t *));
        good = good && cold->bytes[part] != NULL && cold->at[part] != NULL;
    }
    if (!good) {
        fr_probe_cold_deinit(cold);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
    }
    cold->capacity = capacity;
    return FR_OK;
}

fr_status fr_probe_cold_bring(struct fr_probe_cold *cold, const struct fr_rows *rows,
        enum fr_code_part part)
{
    size_t stride = stride_of(rows->dims, part), count = 0;
    fr_status st;

    for (uint32_t i = 0; i < cold->count; i++) {
        struct fr_cold_wish wish = cold->rows[i];

        cold->at[part][i] = part == FR_CODE_HIGH ? (const uint8_t *)fr_rows_high(rows, wish.slot)
                                                 : fr_rows_low(rows, wish.slot);
        if (!fr_rows_is_cold(rows, part, wish.slot)) continue;
        wish.to = cold->bytes[part] + i * stride;
        cold->whose[count] = i;
        cold->wishes[count++] = wish;
    }
    FR_TRY(fr_rows_read(rows, part, cold->wishes, count));
    for (size_t i = 0; i < count; i++)
        cold->at[part][cold->whose[i]] = cold->wishes[i].is_good ? cold->wishes[i].to : NULL;
out:
    return st;
}
