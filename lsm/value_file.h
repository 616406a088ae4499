/*
 * value_file.h - writing and reading value files (lsm/value_format.h).
 *
 * They are written in the order of keys by flush and compaction, beside the table that keeps the
 * places, and read one record at a time. A reader may be used by any number of threads; a builder
 * and a scan belong to one.
 */
#ifndef FR_LSM_VALUE_FILE_H
#define FR_LSM_VALUE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/cache.h"
#include "lsm/entry.h"
#include "lsm/file_id.h"
#include "lsm/place.h"

struct fr_dir;
struct fr_file;
struct fr_io_request;
struct fr_rate_limiter;
struct fr_value_builder;
struct fr_value_file;
struct fr_value_scan;

/* ---- Writing ---- */

struct fr_value_options {
    size_t write_buffer_size;        /* 0 for the default */
    bool compress;                   /* each value for which it pays */
    int compression_level;           /* 0 for the default */
    bool skip_verify;                /* do not read the file back */
    bool direct;                     /* read it back past the page cache */
    struct fr_rate_limiter *limiter; /* NULL: none */
    bool urgent;                     /* goes first there */
};

struct fr_value_meta {
    struct fr_file_id id;
    uint64_t file_size;
    struct fr_hash128 hash;
    uint64_t count;
    uint64_t bytes; /* of values, as given */
};

/* options NULL: all zeros. FR_ERR_EXISTS. */
FR_NODISCARD fr_status fr_value_builder_open(struct fr_dir *dir, const struct fr_file_id *id,
        const struct fr_value_options *options, struct fr_value_builder **ret_builder);

/* Store a value and say where it is. Copied. A failure sticks. */
FR_NODISCARD fr_status fr_value_builder_add(struct fr_value_builder *builder, fr_slice key,
        fr_seq seq, fr_slice value, struct fr_place *ret_place);

/* Bytes of the file so far. */
uint64_t fr_value_builder_size(const struct fr_value_builder *builder);

/* Write the rest, sync the file but not its directory, read it back. */
FR_NODISCARD fr_status fr_value_builder_finish(struct fr_value_builder *builder,
        struct fr_value_meta *ret_meta);

/* Free it; if it was not finished well, the file is removed. NULL is fine. */
void fr_value_builder_close(struct fr_value_builder *builder);

/* ---- Reading ---- */

/* Reads and checks the footer. FR_ERR_MISSING, FR_ERR_FOREIGN, FR_ERR_TOO_NEW, FR_ERR_CORRUPT. */
FR_NODISCARD fr_status fr_value_file_open(struct fr_dir *dir, const struct fr_file_id *id,
        struct fr_value_file **ret_file);

/* The same with flags: 0 or FR_OPEN_DIRECT, as fr_table_open_with(). */
FR_NODISCARD fr_status fr_value_file_open_with(struct fr_dir *dir, const struct fr_file_id *id,
        unsigned flags, struct fr_value_file **ret_file);
bool fr_value_file_is_direct(const struct fr_value_file *file);

struct fr_value_file *fr_value_file_ref(struct fr_value_file *file);
void fr_value_file_unref(struct fr_value_file *file);

/* Valid as long as the file is open. */
const struct fr_value_meta *fr_value_file_meta(const struct fr_value_file *file);

/*
 * The value at a place, by one transfer, into *ret_value (cleared first). seq: the entry's, or 0 if
 * it is not known. FR_ERR_CORRUPT: damaged, or of another key or sequence number.
 */
FR_NODISCARD fr_status fr_value_read(struct fr_value_file *file, const struct fr_place *place,
        fr_slice key, fr_seq seq, struct fr_buf *ret_value);

/*
 * The same for a queue. The size of the buffer that a request for this place needs; 0: the place
 * lies outside the file.
 */
size_t fr_value_request_size(const struct fr_value_file *file, const struct fr_place *place,
        fr_slice key);
void fr_value_request(const struct fr_value_file *file, const struct fr_place *place, size_t size,
        void *buffer, struct fr_io_request *ret_request);

/*
 * What became of it. *ret_value lies in the request's buffer, or in *memory if it had to be
 * decompressed.
 */
FR_NODISCARD fr_status fr_value_accept(struct fr_value_file *file, const struct fr_place *place,
        fr_slice key, fr_seq seq, const struct fr_io_request *request, struct fr_buf *memory,
        fr_slice *ret_value);

/*
 * ---- Point reads: records that live in the cache or on their own ----
 *
 *     fr_value_record_cached    there already, pinned; or, if it is not:
 *     fr_value_record_new       memory for it, and a request that reads into it, for a queue
 *     fr_value_record_accept    check what was read, unpack it, pin it, perhaps keep it
 *     fr_value_record_value
 *     fr_cache_release          of its item, with the same cache
 *
 * A record is handed out as it lies there; nobody copies it. The cache may be NULL.
 */
struct fr_value_record {
    struct fr_cache_item item;
    size_t room;     /* of bytes */
    uint8_t bytes[]; /* the record, its value as it was given */
};

/* FR_NOT_FOUND: it is not in the cache. FR_ERR_CORRUPT: there is another entry's at that place. */
FR_NODISCARD fr_status fr_value_record_cached(const struct fr_value_file *file,
        struct fr_cache *cache, const struct fr_place *place, fr_slice key, fr_seq seq,
        struct fr_value_record **ret_record);
/* Get what that will look at; with lines, once it has arrived, so many lines of the record. */
void fr_value_record_prefetch(const struct fr_value_file *file, const struct fr_cache *cache,
        const struct fr_place *place, size_t lines);

/* FR_ERR_CORRUPT: the place lies outside the file. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_value_record_new(const struct fr_value_file *file,
        const struct fr_place *place, fr_slice key, struct fr_value_record **ret_record,
        struct fr_io_request *ret_request);

/* *record may become another one. It is freed, and NULL, after a failure. */
FR_NODISCARD fr_status fr_value_record_accept(struct fr_value_file *file, struct fr_cache *cache,
        const struct fr_place *place, fr_slice key, fr_seq seq, const struct fr_io_request *request,
        struct fr_value_record **record);

/* Free one that was not accepted. NULL is fine. */
void fr_value_record_free(struct fr_value_record *record);

fr_slice fr_value_record_value(const struct fr_value_record *record);
struct fr_spot fr_value_record_spot(const struct fr_value_record *record); /* of its value */
/* The same for whoever has read the bytes himself, from the file's fr_file: they begin there. */
FR_NODISCARD fr_status fr_value_take(struct fr_value_file *file, const struct fr_place *place,
        fr_slice key, fr_seq seq, fr_slice bytes, struct fr_buf *memory, fr_slice *ret_value);
struct fr_file *fr_value_file_bytes(const struct fr_value_file *file);

/* ---- Scanning, for the garbage collector ---- */

struct fr_value_item {
    fr_slice key; /* valid until the next step, as is value */
    fr_slice value;
    fr_seq seq;
    struct fr_place place;
};

FR_NODISCARD fr_status fr_value_scan_open(struct fr_value_file *file,
        struct fr_value_scan **ret_scan);

/* The next record, FR_END behind the last, FR_ERR_CORRUPT for good at the first damaged one. */
FR_NODISCARD fr_status fr_value_scan_next(struct fr_value_scan *scan,
        struct fr_value_item *ret_item);
void fr_value_scan_close(struct fr_value_scan *scan);

/*
 * After an FR_ERR_CORRUPT: go on at the next record that is intact. Where it stands is found by
 * what the damaged one says of its size, if that leads to one, else by looking at every byte.
 * FR_END: there is none.
 */
FR_NODISCARD fr_status fr_value_scan_skip(struct fr_value_scan *scan);

/* Where the next record begins, or the damaged one. */
uint64_t fr_value_scan_offset(const struct fr_value_scan *scan);

/* Read all of it and compare: header, records, counts, content hash. */
FR_NODISCARD fr_status fr_value_verify(struct fr_value_file *file);

/*
 * The same at a rate, going on behind what is wrong, and for somebody who wants to see each intact
 * record on the way. The words of a finding are fr_last_error(). The first failure is answered.
 */
struct fr_value_check {
    bool (*finding)(void *ctx, uint64_t offset, fr_status st);   /* NULL, or false: stop */
    bool (*record)(void *ctx, const struct fr_value_item *item); /* or NULL; false: stop */
    void *ctx;
    struct fr_rate_limiter *limiter; /* NULL: none */
};

FR_NODISCARD fr_status fr_value_check(struct fr_value_file *file,
        const struct fr_value_check *check);

#endif
