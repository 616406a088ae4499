#include "tools/json.h"

#include <math.h>
#include <stdio.h>

static void append_text(struct fr_buf *buf, const char *text)
{
    fr_buf_append(buf, text, strlen(text));
}

/* Bytes of the well-formed UTF-8 sequence at the front (RFC 3629), or 0. */
static size_t utf8_length(const unsigned char *at)
{
    static const struct {
        unsigned char first, last;       /* of the leading byte */
        unsigned char second, second_to; /* of the one behind it */
        size_t length;
    } rows[] = {
            {0x00, 0x7f, 0, 0, 1},
            {0xc2, 0xdf, 0x80, 0xbf, 2},
            {0xe0, 0xe0, 0xa0, 0xbf, 3},
            {0xe1, 0xec, 0x80, 0xbf, 3},
            {0xed, 0xed, 0x80, 0x9f, 3},
            {0xee, 0xef, 0x80, 0xbf, 3},
            {0xf0, 0xf0, 0x90, 0xbf, 4},
            {0xf1, 0xf3, 0x80, 0xbf, 4},
            {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < FR_ARRAY_COUNT(rows); i++) {
        if (at[0] < rows[i].first || at[0] > rows[i].last) continue;
        if (rows[i].length == 1) return 1;
        if (at[1] < rows[i].second || at[1] > rows[i].second_to) return 0;
        for (size_t j = 2; j < rows[i].length; j++)
            if ((at[j] & 0xc0) != 0x80) return 0;
        return rows[i].length;
    }
    return 0;
}

static void append_quoted(struct fr_buf *buf, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    append_text(buf, "\"");
    while (*at != '\0') {
        size_t length = utf8_length(at);
        if (length == 0) {
            append_text(buf, "\\ufffd");
            at++;
        } else if (*at == '"' || *at == '\\') {
            fr_buf_printf(buf, "\\%c", *at++);
        } else if (*at < ' ' || *at == 0x7f) {
            fr_buf_printf(buf, "\\u%04x", *at++);
        } else {
            fr_buf_append(buf, at, length);
            at += length;
        }
    }
    append_text(buf, "\"");
}

/* What stands in front of every value. */
static void lead(struct fr_json *json, const char *key)
{
    if (json->need_comma) append_text(&json->text, ",");
    json->need_comma = true;
    if (key == NULL) return;
    append_quoted(&json->text, key);
    append_text(&json->text, ":");
}

static void begin(struct fr_json *json, const char *key, const char *bracket)
{
    lead(json, key);
    append_text(&json->text, bracket);
    json->need_comma = false;
}

static void end(struct fr_json *json, const char *bracket)
{
    append_text(&json->text, bracket);
    json->need_comma = true;
}

void fr_json_begin_object(struct fr_json *json, const char *key)
{
    begin(json, key, "{");
}

void fr_json_end_object(struct fr_json *json)
{
    end(json, "}");
}

void fr_json_begin_array(struct fr_json *json, const char *key)
{
    begin(json, key, "[");
}

void fr_json_end_array(struct fr_json *json)
{
    end(json, "]");
}

void fr_json_text(struct fr_json *json, const char *key, const char *value)
{
    lead(json, key);
    append_quoted(&json->text, value);
}

void fr_json_u64(struct fr_json *json, const char *key, uint64_t value)
{
    lead(json, key);
    fr_buf_printf(&json->text, "%llu", (unsigned long long)value);
}

void fr_json_double(struct fr_json *json, const char *key, double value)
{
    lead(json, key);
    if (isfinite(value))
        fr_buf_printf(&json->text, "%.6g", value);
    else
        append_text(&json->text, "null");
}

void fr_json_bool(struct fr_json *json, const char *key, bool value)
{
    lead(json, key);
    append_text(&json->text, value ? "true" : "false");
}

fr_status fr_json_print(struct fr_json *json)
{
    fr_status st = fr_buf_status(&json->text);

    if (st == FR_OK) {
        fwrite(json->text.data, 1, json->text.size, stdout);
        putchar('\n');
    }
    fr_buf_deinit(&json->text);
    *json = FR_JSON_EMPTY;
    return st;
}
