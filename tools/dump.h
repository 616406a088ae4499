/*
 * dump.h - what is in the files of a store, record by record: lines, or JSON objects on lines.
 *
 *     fr_dump_begin(d, offset, "group");
 *     fr_dump_u64(d, "lsn", group.lsn);
 *     fr_dump_value(d, "payload", payload);
 *     fr_dump_end(d, offset, header_bytes);
 *
 * makes
 *
 *               4096  group       lsn 0  payload 5 bytes, crc 7d3aa1f0
 *     {"record":"group","offset":4096,"lsn":0,"payload_size":5,"payload_crc":"7d3aa1f0"}
 *
 * One dumper per kind of file takes bytes apart with the decoders that the library reads them with.
 * Where something is damaged it says so, with the place, and goes on with what can still be read;
 * it fails only for want of memory. Values are told by size and checksum unless they are asked for.
 */
#ifndef FR_TOOLS_DUMP_H
#define FR_TOOLS_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/entry.h"
#include "lsm/file_id.h"
#include "tools/json.h"

struct fr_file;

struct fr_dump_how {
    bool as_json;
    bool values;      /* in full */
    bool hex;         /* and the bytes of each record */
    uint64_t limit;   /* records of a file; 0: all */
    const char *only; /* records of these names, with commas between them; NULL: all */
    fr_slice key;     /* entries that say something of this key, and nothing else; NULL: all */
};

#define FR_DUMP_HIDDEN_MAX 4

struct fr_dump {
    /* Set by who makes it; the rest is zeros. */
    struct fr_dump_how how;
    bool (*print)(void *ctx, fr_slice text); /* false: nobody wants more */
    void *ctx;

    uint64_t count;   /* records of this file that were printed */
    uint64_t damages; /* of all files */
    struct fr_error first;
    fr_status status; /* FR_ERR_NOMEM and FR_END, nobody wants more, stick */

    /* The file, which waits for its first record if few are asked for. */
    char file_path[4096];
    const char *file_kind;
    uint64_t file_size;
    bool file_waits;

    /* The record that is being made. */
    bool skipped;
    struct fr_json json;
    struct fr_buf line;
    fr_slice hidden[FR_DUMP_HIDDEN_MAX]; /* values that must not show in the bytes either */
    size_t hidden_count;
};

void fr_dump_deinit(struct fr_dump *d);

/*
 * A file begins: a record that is printed whatever is asked for, but with a key only if there is
 * something of it; and the limit counts anew.
 */
#define FR_DUMP_NO_SIZE UINT64_MAX
void fr_dump_file(struct fr_dump *d, const char *path, const char *kind, uint64_t size);

/* Whether the limit of this file is reached, or nothing can be made any more. */
bool fr_dump_full(const struct fr_dump *d);

/* Whether a record of that name would be printed. */
bool fr_dump_wants(const struct fr_dump *d, const char *name);

/* ---- A record. Names are words of a program: letters and underscores. ---- */

void fr_dump_begin(struct fr_dump *d, uint64_t offset, const char *name);

/* Of something that is inside of what stands at offset, unpacked. */
void fr_dump_begin_inside(struct fr_dump *d, uint64_t offset, uint64_t inside, const char *name);

void fr_dump_u64(struct fr_dump *d, const char *name, uint64_t value);
void fr_dump_crc(struct fr_dump *d, const char *name, uint32_t value);
void fr_dump_float(struct fr_dump *d, const char *name, float value);
void fr_dump_words(struct fr_dump *d, const char *name, const char *words);

/* Present or not: only the name is printed. */
void fr_dump_flag(struct fr_dump *d, const char *name);

/* Bytes that name something: in full. */
void fr_dump_key(struct fr_dump *d, const char *name, fr_slice key);

/* Identities and hashes: hex digits. */
void fr_dump_id(struct fr_dump *d, const char *name, const void *bytes, size_t size);

/* What a user has stored: size and checksum, and all of it only if that is asked for. */
void fr_dump_value(struct fr_dump *d, const char *name, fr_slice value);

/* Numbers that a user has stored: shown only if values are. */
void fr_dump_floats(struct fr_dump *d, const char *name, const float *values, size_t count);

/* The end, with the record's own bytes and where they are. */
void fr_dump_end(struct fr_dump *d, uint64_t raw_offset, fr_slice raw);

/* The same without bytes. */
void fr_dump_done(struct fr_dump *d);

/* ---- What all dumpers need ---- */

/* Tell that something is damaged, in the words of the thread's last error. Want of memory sticks.
 */
void fr_dump_damage(struct fr_dump *d, uint64_t offset);

/* The same for words that do not say of which file they are, and where. */
void fr_dump_damage_in(struct fr_dump *d, const char *path, uint64_t offset);

/* Whether the entry is one of those that were asked for. */
bool fr_dump_concerns(const struct fr_dump *d, const struct fr_entry *entry);

/* All of an entry but its place: kind, key, value. Between begin and end. */
void fr_dump_entry(struct fr_dump *d, const struct fr_entry *entry);
void fr_dump_file_id(struct fr_dump *d, const struct fr_file_id *id);

/* Bytes of a file into to, cleared first. false: they cannot be had, which has been told. */
bool fr_dump_read(struct fr_dump *d, struct fr_file *file, uint64_t offset, uint64_t size,
        struct fr_buf *to);

bool fr_dump_all_zeros(fr_slice bytes);

/* ---- The dumpers. The number is of the file, as in its name; 0: nobody knows. ---- */

/* is_manifest: where its header does not say what it is. */
void fr_dump_log(struct fr_dump *d, struct fr_file *file, uint64_t size, uint64_t number,
        bool is_manifest);
void fr_dump_super(struct fr_dump *d, struct fr_file *file, uint64_t size);
void fr_dump_table(struct fr_dump *d, struct fr_file *file, uint64_t size);
void fr_dump_values(struct fr_dump *d, struct fr_file *file, uint64_t size);

/* The one record of a value file that begins there. */
void fr_dump_value_at(struct fr_dump *d, struct fr_file *file, uint64_t size, uint64_t offset);
void fr_dump_filter(struct fr_dump *d, struct fr_file *file, uint64_t size);

/* A list of a backup (recovery/backup_format.h). */
void fr_dump_backup(struct fr_dump *d, struct fr_file *file, uint64_t size);

/* The fields of the record of a filter; false: it is none, which has been told. */
bool fr_dump_filter_at(struct fr_dump *d, const char *path, uint64_t offset, fr_slice bytes);

/* Where a byte of something that is put together is in the file. */
typedef uint64_t (*fr_dump_place_fn)(const void *ctx, size_t at);

/* The fields of an edit. */
void fr_dump_edit(struct fr_dump *d, const char *path, fr_slice edit, fr_dump_place_fn place,
        const void *ctx);

#endif
