/*
 * file_name.h - what the files of a store are called.
 *
 *     000001.wal        a segment of the log
 *     000002.manifest   a segment of the manifest
 *     000003.table      a table
 *     000004.values     a value file
 *     SUPER             which manifest is current
 *     LOCK              who has the store
 *
 * All numbered files draw from one counter, and no number is ever used twice. A number has six
 * digits at least, more where it needs them, and there is one way to write each name: whatever else
 * is in the directory is not ours and is left alone.
 */
#ifndef FR_WAL_FILE_NAME_H
#define FR_WAL_FILE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fr_file_kind {
    FR_FILE_WAL,
    FR_FILE_MANIFEST,
    FR_FILE_TABLE,
    FR_FILE_VALUES,
    FR_FILE_SUPER, /* from here on without a number */
    FR_FILE_LOCK,
};

#define FR_FILE_KIND_COUNT 6

/* Twenty digits, a dot, the longest kind, and the terminating zero. */
#define FR_FILE_NAME_SIZE 32

/* The number is from 1 up; it is 0 for kinds without. */
void fr_file_name_format(enum fr_file_kind kind, uint64_t number,
        char ret_name[static FR_FILE_NAME_SIZE]);

/* false: it is no name that fr_file_name_format could have made. The number is 0 where it has none.
 */
bool fr_file_name_parse(const char *name, enum fr_file_kind *ret_kind, uint64_t *ret_number);

#endif
