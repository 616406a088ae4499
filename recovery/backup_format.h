/*
 * backup_format.h - the files of a backup directory, and the bytes of its lists.
 *
 *     files/HASH.table      a table or a value file of a store, byte by byte, called by the 32 hex
 *     files/HASH.values     digits of its content's hash
 *     000001.backup         a list: the files that make up one generation, and what is known of
 * them LOCK                  who is writing here
 *
 * Each generation is whole by itself: it needs none of the others, only its files, and generations
 * that have a file in common share it. A list is written last, under another name, when all of its
 * files and their names are durable, and is renamed then; so a list that is there is one that can
 * be restored. Files that no list has are left of a backup that was not finished, or of a removal
 * that was not; the next one to finish makes use of them or removes them. "*.part" and "*.tmp" are
 * files that are being written.
 *
 * Generations are numbered from 1, one above the highest list that is there. The newest list is
 * never removed, so no number comes twice.
 *
 * A list, little-endian:
 *
 *   offset  size  field
 *        0     8  magic        FR_BACKUP_MAGIC
 *        8     4  version      FR_BACKUP_VERSION
 *       12     4  features     that a reader must understand; none yet
 *       16    16  store        identity of the store
 *       32     8  generation   as in the list's name
 *       40     8  created_us   time of day when it was made
 *       48     8  last seq     no entry in the files is above
 *       56     8  next number  no file has that number in the store, or one above
 *       64     8  file count
 *       72     8  edit size
 *       80     8  size         of the list
 *       88     8  zero
 *       96  40 n  files
 *              m  edit         a version as the manifest has it, RESET first (lsm/edit_format.h)
 *             16  hash         fr_hash128 of all bytes before: low, high
 *
 * A file:
 *
 *        0     4  kind         enum fr_backup_kind
 *        4     4  footer crc   CRC-32C of the file's footer, masked
 *        8     8  number       in the store
 *       16     8  size
 *       24    16  hash         of the content: fr_hash128 of all bytes before the footer
 *
 * Files ascend by kind and number. They are those of the edit, with the same sizes and hashes. The
 * name, the hash and the size of the footer, which is the file's own by kind, leave no byte of a
 * file without a checksum.
 */
#ifndef FR_RECOVERY_BACKUP_FORMAT_H
#define FR_RECOVERY_BACKUP_FORMAT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/entry.h"
#include "wal/file_name.h"
#include "wal/wal_format.h"

#define FR_BACKUP_MAGIC       0x70756b6342747246u /* "FrtBckup" */
#define FR_BACKUP_VERSION     1
#define FR_BACKUP_HEADER_SIZE 96
#define FR_BACKUP_FILE_SIZE   40
#define FR_BACKUP_HASH_SIZE   16

/* What a reader takes into memory for one list: some millions of files. */
#define FR_BACKUP_LIST_SIZE_MAX ((uint64_t)1 << 30)

/* Stored: never renumbered. */
enum fr_backup_kind {
    FR_BACKUP_TABLE = 1,
    FR_BACKUP_VALUES = 2,
};

struct fr_backup_file {
    enum fr_backup_kind kind;
    uint32_t footer_crc;
    uint64_t number;
    uint64_t size;
    struct fr_hash128 hash;
};

/* A list. What is behind the pointers is borrowed from its bytes. */
struct fr_backup_list {
    uint8_t store[FR_STORE_ID_SIZE];
    uint64_t generation;
    uint64_t created_us;
    fr_seq last_seq;
    uint64_t next_number;
    uint64_t file_count;
    uint64_t file_bytes; /* of all files together; not stored */
    const uint8_t *files;
    fr_slice edit;
};

/* Append a list; its files, which stand in their order, and its edit are given apart from it.
 * Failure sticks in the buffer. */
void fr_backup_list_put(const struct fr_backup_list *list, const struct fr_backup_file *files,
        fr_slice edit, struct fr_buf *to);

/*
 * Read a list and check all that can be: also that the edit has these files and no others.
 * FR_ERR_CORRUPT, FR_ERR_TOO_NEW; FR_ERR_FOREIGN: no list at all. FR_ERR_NOMEM. path is for words.
 */
FR_NODISCARD fr_status fr_backup_list_get(fr_slice bytes, const char *path,
        struct fr_backup_list *ret_list);

/* The same of one that may be damaged: only as much is checked as it takes to find its parts. */
FR_NODISCARD fr_status fr_backup_list_open(fr_slice bytes, const char *path,
        struct fr_backup_list *ret_list);

/* The index-th file. */
struct fr_backup_file fr_backup_list_file(const struct fr_backup_list *list, uint64_t index);

/* Behind the hashed bytes of such a file. */
size_t fr_backup_footer_size(enum fr_backup_kind kind);

/* What the store calls that kind. */
enum fr_file_kind fr_backup_file_kind(enum fr_backup_kind kind);

/* 32 digits, a dot, the longest kind, and the terminating zero. */
#define FR_BACKUP_NAME_SIZE 40

/* The file's name in files/; that of a list; whether a name is a list's. */
void fr_backup_file_name(const struct fr_backup_file *file,
        char ret_name[static FR_BACKUP_NAME_SIZE]);
void fr_backup_list_name(uint64_t generation, char ret_name[static FR_BACKUP_NAME_SIZE]);
bool fr_backup_list_name_parse(const char *name, uint64_t *ret_generation);

#endif
