/* dump_find.h - every entry of a key in the files of a store. */
#ifndef FR_TOOLS_DUMP_FIND_H
#define FR_TOOLS_DUMP_FIND_H

#include "tools/dump.h"

struct fr_dir;

/*
 * Tell them, table by table and segment by segment, with the level of a table, or that the manifest
 * does not name it; and the records of value files that they point to. Damage is told as always. A
 * failure is one of the directory.
 */
FR_NODISCARD fr_status fr_dump_find(struct fr_dump *d, struct fr_dir *dir, const char *path,
        fr_slice key);

#endif
