/*
 * salvage.h - reading what there is of a table that may be damaged anywhere, and knowing what is
 * not.
 *
 * A table that opens is read block by block by its index. One that does not is searched for frames:
 * each ends with a trailer that has a checksum over the file's identity, the frame's place and its
 * bytes, so what is found is what was written there. In both cases the entries come in their order,
 * and where blocks are missing between them there is a gap.
 *
 * A gap says what may have been in it: entries behind the last one before it, before the first one
 * after it, and none newer than the table's newest. One thread.
 */
#ifndef FR_RECOVERY_SALVAGE_H
#define FR_RECOVERY_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "lsm/edit_format.h"
#include "lsm/entry.h"
#include "lsm/file_id.h"
#include "lsm/range.h"

struct fr_dir;
struct fr_salvage;

/* What may be lost: entries strictly between two places, up to a sequence number. */
struct fr_gap {
    fr_slice low; /* empty: from the first key on */
    fr_seq low_seq;
    fr_slice high; /* empty: to the last key */
    fr_seq high_seq;
    fr_seq newest;
};

/*
 * Open what there is. meta is what the manifest knows of the table, or NULL, and stays valid. Only
 * want of memory fails: a table of which nothing is left has one gap.
 */
FR_NODISCARD fr_status fr_salvage_open(struct fr_dir *dir, const struct fr_file_id *id,
        const struct fr_edit_table *meta, struct fr_salvage **ret_salvage);
void fr_salvage_close(struct fr_salvage *salvage);

/* "DIR/000012.table: ..." of the first thing that is wrong with it; "": nothing so far. */
const char *fr_salvage_words(const struct fr_salvage *salvage);

/* From the first entry on, again. */
void fr_salvage_rewind(struct fr_salvage *salvage);

/* The next entry that can be read, valid until the next call. FR_END. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_salvage_next(struct fr_salvage *salvage, struct fr_entry *ret_entry);

/* Once next has answered FR_END: the gaps and the range deletes; valid as long as the salvage. */
const struct fr_gap *fr_salvage_gaps(const struct fr_salvage *salvage, size_t *ret_count);
const struct fr_range *fr_salvage_ranges(const struct fr_salvage *salvage, size_t *ret_count);

#endif
