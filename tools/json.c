#include "tools/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/text_code.h"

static void append_text(struct fr_buf *buf, const char *text)
{
    fr_buf_append(buf, text, strlen(text));
}

/* Without the quotes. A byte of no UTF-8 sequence becomes U+FFFD. */
static void append_inside(struct fr_buf *buf, fr_slice text)
{
    const uint8_t *at = text.data, *end = text.size == 0 ? at : at + text.size;

    while (at < end) {
        size_t length = fr_utf8_length(at, end);
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
}

static void append_quoted(struct fr_buf *buf, fr_slice text)
{
    append_text(buf, "\"");
    append_inside(buf, text);
    append_text(buf, "\"");
}

/* What stands in front of every value. */
static void lead(struct fr_json *json, const char *key)
{
    if (json->need_comma) append_text(&json->text, ",");
    json->need_comma = true;
    if (key == NULL) return;
    append_quoted(&json->text, fr_slice_of_text(key));
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
    fr_json_slice(json, key, fr_slice_of_text(value));
}

void fr_json_slice(struct fr_json *json, const char *key, fr_slice value)
{
    lead(json, key);
    append_quoted(&json->text, value);
}

void fr_json_verbatim(struct fr_json *json, const char *key, fr_slice value)
{
    lead(json, key);
    fr_buf_append(&json->text, value.data, value.size);
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

void fr_json_float(struct fr_json *json, const char *key, float value)
{
    char text[32] = "null";

    lead(json, key);
    for (int digits = 6; digits <= FLT_DECIMAL_DIG && isfinite(value); digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    append_text(&json->text, text);
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
