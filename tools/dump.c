#include "tools/dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "io/file.h"
#include "lsm/place.h"
#include "tools/store.h"
#include "tools/text_code.h"

static const struct fr_text_form plain = {.hex = false};

void fr_dump_deinit(struct fr_dump *d)
{
    fr_buf_deinit(&d->json.text);
    fr_buf_deinit(&d->line);
}

bool fr_dump_full(const struct fr_dump *d)
{
    return d->status != FR_OK || (d->how.limit > 0 && d->count >= d->how.limit);
}

bool fr_dump_wants(const struct fr_dump *d, const char *name)
{
    size_t size = strlen(name);

    if (fr_dump_full(d)) return false;
    if (d->how.key.data != NULL) return strcmp(name, "entry") == 0 || strcmp(name, "value") == 0;
    if (d->how.only == NULL) return true;
    for (const char *at = d->how.only;; at++) {
        size_t word = strcspn(at, ",");
        if (word == size && memcmp(at, name, size) == 0) return true;
        at += word;
        if (*at == '\0') return false;
    }
}

/* ---- Making a record ---- */

static void tell_file(struct fr_dump *d);

// NOLINTNEXTLINE(misc-no-recursion): once, for the file that the record is of
static void begin(struct fr_dump *d, const char *name, const char *place)
{
    if (d->file_waits && !d->skipped) tell_file(d);
    d->hidden_count = 0;
    fr_buf_clear(&d->line);
    fr_buf_clear(&d->json.text);
    d->json.need_comma = false;
    if (d->skipped) return;
    if (d->how.as_json) {
        fr_json_begin_object(&d->json, NULL);
        fr_json_text(&d->json, "record", name);
    } else {
        fr_buf_printf(&d->line, "%14s  %-10s", place, name);
    }
}

void fr_dump_begin(struct fr_dump *d, uint64_t offset, const char *name)
{
    char place[24];

    d->skipped = !fr_dump_wants(d, name);
    snprintf(place, sizeof(place), "%" PRIu64, offset);
    begin(d, name, place);
    if (!d->skipped && d->how.as_json) fr_json_u64(&d->json, "offset", offset);
}

void fr_dump_begin_inside(struct fr_dump *d, uint64_t offset, uint64_t inside, const char *name)
{
    char place[48];

    d->skipped = !fr_dump_wants(d, name);
    snprintf(place, sizeof(place), "%" PRIu64 "+%" PRIu64, offset, inside);
    begin(d, name, place);
    if (d->skipped || !d->how.as_json) return;
    fr_json_u64(&d->json, "offset", offset);
    fr_json_u64(&d->json, "inside", inside);
}

void fr_dump_u64(struct fr_dump *d, const char *name, uint64_t value)
{
    if (d->skipped) return;
    if (d->how.as_json)
        fr_json_u64(&d->json, name, value);
    else
        fr_buf_printf(&d->line, "  %s %" PRIu64, name, value);
}

void fr_dump_words(struct fr_dump *d, const char *name, const char *words)
{
    if (d->skipped) return;
    if (d->how.as_json) {
        fr_json_text(&d->json, name, words);
        return;
    }
    fr_buf_printf(&d->line, "  %s ", name);
    fr_escape_append(&d->line, fr_slice_of_text(words));
}

void fr_dump_crc(struct fr_dump *d, const char *name, uint32_t value)
{
    char digits[9];

    snprintf(digits, sizeof(digits), "%08" PRIx32, value);
    fr_dump_words(d, name, digits);
}

void fr_dump_float(struct fr_dump *d, const char *name, float value)
{
    if (d->skipped) return;
    if (d->how.as_json)
        fr_json_float(&d->json, name, value);
    else
        fr_buf_printf(&d->line, "  %s %.6g", name, (double)value);
}

void fr_dump_flag(struct fr_dump *d, const char *name)
{
    if (d->skipped) return;
    if (d->how.as_json)
        fr_json_bool(&d->json, name, true);
    else
        fr_buf_printf(&d->line, "  %s", name);
}

/* In quotes, which are escaped inside: an empty key can be seen, too. */
static void quote(struct fr_buf *line, fr_slice bytes)
{
    fr_buf_u8(line, '"');
    fr_escape_append(line, bytes);
    fr_buf_u8(line, '"');
}

void fr_dump_key(struct fr_dump *d, const char *name, fr_slice key)
{
    if (d->skipped) return;
    if (d->how.as_json) {
        fr_text_json(&d->json, name, &plain, key);
        return;
    }
    fr_buf_printf(&d->line, "  %s ", name);
    quote(&d->line, key);
}

void fr_dump_id(struct fr_dump *d, const char *name, const void *bytes, size_t size)
{
    struct fr_buf digits = FR_BUF_EMPTY;

    if (d->skipped) return;
    fr_hex_append(&digits, fr_slice_of(bytes, size));
    fr_buf_u8(&digits, '\0');
    if (fr_buf_status(&digits) < 0)
        d->status = FR_ERR_NOMEM;
    else
        fr_dump_words(d, name, (const char *)digits.data);
    fr_buf_deinit(&digits);
}

static void hide(struct fr_dump *d, fr_slice value)
{
    if (d->hidden_count < FR_DUMP_HIDDEN_MAX) d->hidden[d->hidden_count++] = value;
}

static void value_json(struct fr_dump *d, const char *name, fr_slice value, uint32_t crc)
{
    char key[64], digits[9];

    snprintf(key, sizeof(key), "%s_size", name);
    fr_json_u64(&d->json, key, value.size);
    snprintf(key, sizeof(key), "%s_crc", name);
    snprintf(digits, sizeof(digits), "%08" PRIx32, crc);
    fr_json_text(&d->json, key, digits);
    if (d->how.values) fr_text_json(&d->json, name, &plain, value);
}

void fr_dump_value(struct fr_dump *d, const char *name, fr_slice value)
{
    if (d->skipped) return;
    uint32_t crc = value.size == 0 ? 0 : fr_crc32c(0, value.data, value.size);
    if (!d->how.values) hide(d, value);
    if (d->how.as_json) {
        value_json(d, name, value, crc);
        return;
    }
    fr_buf_printf(&d->line, "  %s ", name);
    if (d->how.values)
        quote(&d->line, value);
    else
        fr_buf_printf(&d->line, "%zu bytes, crc %08" PRIx32, value.size, crc);
}

void fr_dump_floats(struct fr_dump *d, const char *name, const float *values, size_t count)
{
    if (d->skipped || !d->how.values) return;
    if (d->how.as_json) {
        fr_json_begin_array(&d->json, name);
        for (size_t i = 0; i < count; i++)
            fr_json_float(&d->json, NULL, values[i]);
        fr_json_end_array(&d->json);
        return;
    }
    fr_buf_printf(&d->line, "  %s", name);
    for (size_t i = 0; i < count; i++)
        fr_buf_printf(&d->line, "%s%.9g", i == 0 ? " " : ",", (double)values[i]);
}

/* ---- The bytes of a record ---- */

static bool is_hidden(const struct fr_dump *d, const uint8_t *byte)
{
    for (size_t i = 0; i < d->hidden_count; i++)
        if (byte >= d->hidden[i].data && byte < d->hidden[i].data + d->hidden[i].size) return true;
    return false;
}

/* Two digits, or points in place of what must not be seen. */
static void append_byte(const struct fr_dump *d, struct fr_buf *to, const uint8_t *byte)
{
    if (is_hidden(d, byte))
        fr_buf_append(to, "..", 2);
    else
        fr_hex_append(to, fr_slice_of(byte, 1));
}

static void hex_row(struct fr_dump *d, uint64_t offset, fr_slice row)
{
    fr_buf_printf(&d->line, "%16s%08" PRIx64 " ", "", offset);
    for (size_t i = 0; i < 16; i++) {
        fr_buf_append(&d->line, "  ", i % 8 == 0 ? 1 : 0);
        if (i < row.size)
            append_byte(d, &d->line, row.data + i);
        else
            fr_buf_append(&d->line, "  ", 2);
        fr_buf_u8(&d->line, ' ');
    }
    fr_buf_append(&d->line, " |", 2);
    for (size_t i = 0; i < row.size; i++) {
        bool shown = row.data[i] >= ' ' && row.data[i] < 0x7f && !is_hidden(d, row.data + i);
        fr_buf_u8(&d->line, shown ? row.data[i] : '.');
    }
    fr_buf_append(&d->line, "|\n", 2);
}

/* Rows of zeros are left out: pages are mostly made of them. */
static void hex_rows(struct fr_dump *d, uint64_t offset, fr_slice raw)
{
    for (size_t i = 0; i < raw.size; i += 16) {
        fr_slice row = fr_slice_of(raw.data + i, raw.size - i < 16 ? raw.size - i : 16);
        if (i == 0 || !fr_dump_all_zeros(row)) hex_row(d, offset + i, row);
    }
}

static void hex_json(struct fr_dump *d, fr_slice raw)
{
    struct fr_buf digits = FR_BUF_EMPTY;

    for (size_t i = 0; i < raw.size; i++)
        append_byte(d, &digits, raw.data + i);
    if (fr_buf_status(&digits) < 0) d->status = FR_ERR_NOMEM;
    fr_json_slice(&d->json, "hex", fr_buf_slice(&digits));
    fr_buf_deinit(&digits);
}

static void print(struct fr_dump *d, struct fr_buf *text)
{
    if (fr_buf_status(text) < 0)
        d->status = FR_FAIL(FR_ERR_NOMEM, "no memory for a line");
    else if (d->print != NULL && !d->print(d->ctx, fr_buf_slice(text)) && d->status == FR_OK)
        d->status = FR_END;
}

void fr_dump_end(struct fr_dump *d, uint64_t raw_offset, fr_slice raw)
{
    bool with_hex = d->how.hex && raw.size > 0;

    if (d->skipped) return;
    d->count++;
    if (d->how.as_json) {
        if (with_hex) hex_json(d, raw);
        fr_json_end_object(&d->json);
        fr_buf_u8(&d->json.text, '\n');
        print(d, &d->json.text);
    } else {
        fr_buf_u8(&d->line, '\n');
        if (with_hex) hex_rows(d, raw_offset, raw);
        print(d, &d->line);
    }
}

void fr_dump_done(struct fr_dump *d)
{
    fr_dump_end(d, 0, fr_slice_of(NULL, 0));
}

/* ---- Records that are always printed, and count for nothing ---- */

// NOLINTNEXTLINE(misc-no-recursion): see begin
static void tell_file(struct fr_dump *d)
{
    d->file_waits = false;
    d->skipped = false;
    begin(d, "file", "");
    fr_dump_words(d, "path", d->file_path);
    fr_dump_words(d, "kind", d->file_kind);
    if (d->file_size != FR_DUMP_NO_SIZE) fr_dump_u64(d, "size", d->file_size);
    fr_dump_done(d);
    d->count = 0;
}

void fr_dump_file(struct fr_dump *d, const char *path, const char *kind, uint64_t size)
{
    (void)snprintf(d->file_path, sizeof(d->file_path), "%s", path);
    d->file_kind = kind;
    d->file_size = size;
    d->file_waits = true;
    d->count = 0;
    if (d->how.key.data == NULL) tell_file(d);
}

void fr_dump_damage(struct fr_dump *d, uint64_t offset)
{
    struct fr_error error = {.size = sizeof(error)};
    uint64_t count = d->count;
    char place[24];

    fr_error_save(&error);
    if (error.status == FR_ERR_NOMEM) d->status = FR_ERR_NOMEM;
    if (d->damages++ == 0) d->first = error;
    d->skipped = false;
    snprintf(place, sizeof(place), "%" PRIu64, offset);
    begin(d, d->how.as_json ? "damage" : "DAMAGE", place);
    if (d->how.as_json) {
        fr_json_u64(&d->json, "offset", offset);
        fr_dump_words(d, "words", error.text);
    } else {
        fr_buf_append(&d->line, "  ", 2);
        fr_escape_append(&d->line, fr_slice_of_text(error.text));
    }
    fr_dump_done(d);
    d->count = count;
}

void fr_dump_damage_in(struct fr_dump *d, const char *path, uint64_t offset)
{
    struct fr_error error = {.size = sizeof(error)};

    fr_error_save(&error);
    (void)!FR_FAIL(error.status, "%s: at %" PRIu64 ": %.300s", path, offset, error.text);
    fr_dump_damage(d, offset);
}

/* ---- What all dumpers need ---- */

static const char *const kind_names[] = {[FR_KIND_PUT] = "put",
        [FR_KIND_DELETE] = "delete",
        [FR_KIND_DELETE_RANGE] = "delete_range",
        [FR_KIND_APPEND] = "append"};

bool fr_dump_concerns(const struct fr_dump *d, const struct fr_entry *entry)
{
    fr_slice key = d->how.key;

    if (key.data == NULL) return true;
    if (entry->kind != FR_KIND_DELETE_RANGE) return fr_slice_equal(entry->key, key);
    return fr_slice_compare(entry->key, key) <= 0 && fr_slice_compare(key, entry->value) < 0;
}

void fr_dump_entry(struct fr_dump *d, const struct fr_entry *entry)
{
    struct fr_place place;

    fr_dump_u64(d, "seq", entry->seq);
    fr_dump_words(d, "kind", kind_names[entry->kind]);
    fr_dump_key(d, "key", entry->key);
    if (entry->flags & FR_ENTRY_EXPIRES) fr_dump_u64(d, "expires_us", entry->expires_us);
    if (entry->kind == FR_KIND_DELETE_RANGE) {
        fr_dump_key(d, "end", entry->value);
    } else if ((entry->flags & FR_ENTRY_PLACED) && fr_place_get(entry->value, &place)) {
        fr_dump_u64(d, "in_values", place.file);
        fr_dump_u64(d, "at", place.offset);
        fr_dump_u64(d, "value_size", place.size);
    } else if (entry->kind != FR_KIND_DELETE) {
        fr_dump_value(d, "value", entry->value);
    }
}

void fr_dump_file_id(struct fr_dump *d, const struct fr_file_id *id)
{
    uint8_t bytes[FR_FILE_ID_SIZE];

    fr_file_id_put(bytes, id);
    fr_dump_id(d, "store", bytes, 16);
    fr_dump_u64(d, "number", id->number);
}

bool fr_dump_read(struct fr_dump *d, struct fr_file *file, uint64_t offset, uint64_t size,
        struct fr_buf *to)
{
    uint8_t *bytes;

    fr_buf_clear(to);
    bytes = size <= SIZE_MAX ? fr_buf_extend(to, (size_t)size) : NULL;
    fr_status st = FR_OK;
    if (bytes == NULL)
        st = FR_FAIL(FR_ERR_NOMEM, "%s: no memory for %" PRIu64 " bytes", fr_file_path(file), size);
    else if (size > 0)
        st = fr_file_read_exact(file, offset, bytes, (size_t)size);
    if (st < 0) fr_dump_damage(d, offset);
    return st >= 0;
}

bool fr_dump_all_zeros(fr_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] != 0) return false;
    return true;
}
