/*
 * probe_cold.h - the codes that a search measures, where some of them are cold
 * (spfresh/rows_cold.h).
 *
 * A search names all rows that it is about to measure, has one part of their codes brought, and
 * finds each where it is: in memory, or among what was read. In its epoch what was in memory then
 * stays there.
 */
#ifndef FR_SPFRESH_PROBE_COLD_H
#define FR_SPFRESH_PROBE_COLD_H

#include "spfresh/rows_cold.h"

struct fr_probe_cold {
    struct fr_cold_wish *rows; /* slot and version of each */
    size_t count, capacity;

    struct fr_cold_wish *wishes; /* those of them that are cold */
    uint32_t *whose;
    uint8_t *bytes[FR_CODE_PARTS];
    const uint8_t **at[FR_CODE_PARTS]; /* of each row; NULL: its slot is another row's by now */
};

void fr_probe_cold_deinit(struct fr_probe_cold *cold);

/* Begin to name rows, of which there will be so many. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_probe_cold_begin(struct fr_probe_cold *cold, size_t dims, size_t count);

static inline void fr_probe_cold_name(struct fr_probe_cold *cold, fr_slot slot, uint32_t version)
{
    cold->rows[cold->count++] = (struct fr_cold_wish){.slot = slot, .version = version};
}

/* A part of the codes of all that were named, into cold->at. */
FR_NODISCARD fr_status fr_probe_cold_bring(struct fr_probe_cold *cold, const struct fr_rows *rows,
        enum fr_code_part part);

#endif
