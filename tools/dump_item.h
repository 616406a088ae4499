/*
 * dump_item.h - one item of a store: where in its files it is, and what a reader makes of that.
 *
 * First every entry of its key, in each table and each segment of the log, also where the store as
 * a whole could not be opened; then the value that a reader sees, taken apart if it is an index's.
 */
#ifndef FR_TOOLS_DUMP_ITEM_H
#define FR_TOOLS_DUMP_ITEM_H

#include "tools/dump.h"

struct fr_dir;

enum fr_dump_item_kind {
    FR_DUMP_KEY,
    FR_DUMP_ROW,     /* word: the id of a vector, text if those of the index are */
    FR_DUMP_POSTING, /* number: of the posting */
};

struct fr_dump_item {
    enum fr_dump_item_kind kind;
    fr_slice key;     /* of FR_DUMP_KEY */
    const char *word; /* of FR_DUMP_ROW */
    uint64_t number;
    const char *index;   /* its name */
    const char *options; /* to open the store with, or NULL */
};

/*
 * FR_NOT_FOUND: a reader sees no such item. Failures: the item cannot be asked for, the store not
 * be opened or read; what is damaged has been told as well. FR_ERR_MISUSE: no such item can be.
 */
FR_NODISCARD fr_status fr_dump_item(struct fr_dump *d, struct fr_dir *dir, const char *path,
        const struct fr_dump_item *item);

#endif
