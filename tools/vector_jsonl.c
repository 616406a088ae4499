/* vector_jsonl.c - a row of vectors as a line of JSON, to and fro. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/coding.h"
#include "freshet/index.h"
#include "tools/input.h"
#include "tools/json.h"
#include "tools/json_read.h"
#include "tools/store.h"
#include "tools/text_code.h"
#include "tools/vector_file_priv.h"

enum key { KEY_ID, KEY_ID_BASE64, KEY_VECTOR, KEY_PAYLOAD, KEY_PAYLOAD_BASE64, KEY_COUNT };

static const char *const key_names[] = {"id", "id_base64", "vector", "payload", "payload_base64"};

/* What a line holds, as far as it was read. */
struct line {
    struct fr_json_in in;
    unsigned seen; /* a bit for each key */
    uint64_t id;
    fr_slice verbatim; /* the payload, if it is no string */
};

static void append_float(struct fr_buf *to, float value)
{
    uint8_t *at = fr_buf_extend(to, sizeof(value));

    if (at != NULL) memcpy(at, &value, sizeof(value));
}

static void check_text(struct fr_vector_reader *reader, struct line *line)
{
    size_t size = reader->id_text.size;

    if (line->in.why == NULL && (size == 0 || size > FR_TEXT_ID_MAX))
        fr_json_in_fail(&line->in, "an id that is text has 1 to 64 bytes");
}

static void read_id(struct fr_vector_reader *reader, struct line *line)
{
    if (fr_json_peek(&line->in) == '"') {
        fr_json_read_string(&line->in, &reader->id_text);
        check_text(reader, line);
        return;
    }
    fr_slice number = fr_json_read_number(&line->in);
    if (line->in.why == NULL && !fr_json_to_u64(number, &line->id))
        fr_json_in_fail(&line->in,
                "\"id\" is no text and no whole number from 0 to 18446744073709551615");
}

static void read_coded_id(struct fr_vector_reader *reader, struct line *line)
{
    fr_buf_clear(&reader->text);
    fr_json_read_string(&line->in, &reader->text);
    if (line->in.why == NULL && !fr_base64_read(fr_buf_slice(&reader->text), &reader->id_text))
        fr_json_in_fail(&line->in, "\"id_base64\" is no base64");
    check_text(reader, line);
}

static void read_array(struct fr_vector_reader *reader, struct line *line)
{
    size_t count = 0;
    float value = 0;

    fr_json_begin(&line->in, '[');
    while (fr_json_more(&line->in, ']')) {
        fr_slice number = fr_json_read_number(&line->in);
        if (line->in.why != NULL) return;
        if (!fr_json_to_float(number, &value))
            fr_json_in_fail(&line->in, "\"vector\" has a number beyond the largest float");
        if (++count > FR_VECTOR_DIMENSION_MAX)
            fr_json_in_fail(&line->in, "\"vector\" has more than 16,384 numbers");
        append_float(&reader->vector, value);
    }
}

/* Base64 of f32: the reader's element is f32, so its decoder is the right one. */
static void read_coded(struct fr_vector_reader *reader, struct line *line, fr_status *st)
{
    struct fr_buf bytes = FR_BUF_EMPTY;

    fr_buf_clear(&reader->text);
    fr_json_read_string(&line->in, &reader->text);
    if (line->in.why == NULL && !fr_base64_read(fr_buf_slice(&reader->text), &bytes))
        fr_json_in_fail(&line->in, "\"vector\" is no base64");
    else if (line->in.why == NULL &&
             (bytes.size % 4 != 0 || bytes.size > 4 * FR_VECTOR_DIMENSION_MAX))
        fr_json_in_fail(&line->in, "\"vector\" is no base64 of 1 to 16,384 floats");
    *st = fr_buf_status(&bytes);
    if (*st == FR_OK && line->in.why == NULL) *st = fr_vector_decode(reader, fr_buf_slice(&bytes));
    fr_buf_deinit(&bytes);
}

static fr_status read_vector(struct fr_vector_reader *reader, struct line *line)
{
    fr_status st = FR_OK;

    fr_buf_clear(&reader->vector);
    if (fr_json_peek(&line->in) == '"')
        read_coded(reader, line, &st);
    else
        read_array(reader, line);
    if (st == FR_OK && line->in.why == NULL && reader->vector.size == 0)
        fr_json_in_fail(&line->in, "\"vector\" is empty");
    return st;
}

static void read_payload(struct fr_vector_reader *reader, struct line *line)
{
    if (fr_json_peek(&line->in) == '"')
        fr_json_read_string(&line->in, &reader->payload);
    else
        line->verbatim = fr_json_read_any(&line->in);
}

static void read_coded_payload(struct fr_vector_reader *reader, struct line *line)
{
    fr_buf_clear(&reader->text);
    fr_json_read_string(&line->in, &reader->text);
    if (line->in.why == NULL && !fr_base64_read(fr_buf_slice(&reader->text), &reader->payload))
        fr_json_in_fail(&line->in, "\"payload_base64\" is no base64");
}

static enum key read_key(struct fr_vector_reader *reader, struct line *line)
{
    unsigned key = 0;

    fr_buf_clear(&reader->text);
    fr_json_read_key(&line->in, &reader->text);
    while (key < KEY_COUNT &&
            !fr_slice_equal(fr_buf_slice(&reader->text), fr_slice_of_text(key_names[key])))
        key++;
    if (key == KEY_COUNT)
        fr_json_in_fail(&line->in,
                "an unknown key: know id, id_base64, vector, payload and payload_base64");
    else if ((line->seen & 1u << key) != 0)
        fr_json_in_fail(&line->in, "a key that comes twice");
    line->seen |= 1u << key;
    return (enum key)key;
}

static fr_status read_value(struct fr_vector_reader *reader, struct line *line, enum key key)
{
    switch (key) {
    case KEY_ID:
        read_id(reader, line);
        break;
    case KEY_ID_BASE64:
        read_coded_id(reader, line);
        break;
    case KEY_VECTOR:
        return read_vector(reader, line);
    case KEY_PAYLOAD:
        read_payload(reader, line);
        break;
    case KEY_PAYLOAD_BASE64:
        read_coded_payload(reader, line);
        break;
    case KEY_COUNT:
        break;
    }
    return FR_OK;
}

static bool has(const struct line *line, enum key key)
{
    return (line->seen & 1u << key) != 0;
}

static enum fr_row_ids ids_of(const struct fr_vector_reader *reader, const struct line *line)
{
    if (reader->id_text.size > 0) return FR_IDS_TEXT;
    return has(line, KEY_ID) ? FR_IDS_NUMBERS : FR_IDS_COUNTED;
}

/* All rows are called alike. */
static void check_id(struct fr_vector_reader *reader, struct line *line)
{
    enum fr_row_ids ids = ids_of(reader, line);

    if (has(line, KEY_ID) && has(line, KEY_ID_BASE64))
        fr_json_in_fail(&line->in, "an id and id_base64: one of them is enough");
    if (reader->ids == FR_IDS_UNKNOWN || ids == reader->ids) return;
    if (reader->ids == FR_IDS_COUNTED)
        fr_json_in_fail(&line->in, "it has an id, but rows before it had none");
    else if (ids == FR_IDS_COUNTED)
        fr_json_in_fail(&line->in, "it has no id, but rows before it had one");
    else if (ids == FR_IDS_TEXT)
        fr_json_in_fail(&line->in, "its id is text, but those before it were numbers");
    else
        fr_json_in_fail(&line->in, "its id is a number, but those before it were text");
}

/* What cannot be seen before the whole line was read. */
static void check_line(struct fr_vector_reader *reader, struct line *line)
{
    struct fr_json_in *in = &line->in;

    if (!fr_json_whole(in)) return;
    if (!has(line, KEY_VECTOR)) fr_json_in_fail(in, "there is no \"vector\"");
    if (has(line, KEY_PAYLOAD) && has(line, KEY_PAYLOAD_BASE64))
        fr_json_in_fail(in, "a payload and payload_base64: one of them is enough");
    check_id(reader, line);
}

static fr_status parse_line(struct fr_vector_reader *reader, struct line *line)
{
    fr_status st = FR_OK;

    fr_buf_clear(&reader->payload);
    fr_buf_clear(&reader->id_text);
    fr_json_begin(&line->in, '{');
    while (fr_json_more(&line->in, '}')) {
        enum key key = read_key(reader, line);
        if (line->in.why == NULL) FR_TRY(read_value(reader, line, key));
    }
    if (line->in.why == NULL) check_line(reader, line);
    if (fr_buf_status(&reader->text) < 0 || fr_buf_status(&reader->payload) < 0 ||
            fr_buf_status(&reader->vector) < 0 || fr_buf_status(&reader->id_text) < 0)
        FR_TRY(FR_FAIL(FR_ERR_NOMEM, "%s: no memory for line %" PRIu64,
                fr_input_name(reader->input), reader->line));
    if (line->in.why != NULL)
        FR_TRY(FR_FAIL(FR_ERR_CORRUPT, "%s: line %" PRIu64 ", column %zu: %s",
                fr_input_name(reader->input), reader->line,
                (size_t)(line->in.at - line->in.start) + 1, line->in.why));
out:
    return st;
}

static bool is_blank(fr_slice line)
{
    for (size_t i = 0; i < line.size; i++)
        if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r') return false;
    return true;
}

/* The next line that holds something. */
static fr_status take_line(struct fr_vector_reader *reader, fr_slice *ret_text)
{
    fr_status st;

    do {
        st = fr_input_line(reader->input, FR_VECTOR_LINE_MAX, ret_text);
        if (st != FR_OK) return st;
        reader->line++;
    } while (is_blank(*ret_text));
    return FR_OK;
}

fr_status fr_jsonl_next(struct fr_vector_reader *reader, struct fr_vector_row *ret_row)
{
    struct line line = {.verbatim = {NULL, 0}};
    uint64_t number = reader->number;
    fr_slice text;
    fr_status st;

    reader->line_text = fr_slice_of(NULL, 0);
    reader->broken = true; /* until a whole line has come */
    st = take_line(reader, &text);
    if (st != FR_OK) {
        reader->broken = st < 0;
        return st;
    }
    reader->broken = false;
    reader->line_text = text;
    reader->number++;
    snprintf(reader->place, sizeof(reader->place), "line %" PRIu64, reader->line);
    line.in = fr_json_in_of(text);
    st = parse_line(reader, &line);
    reader->broken = st == FR_ERR_NOMEM;
    if (st < 0) return st;
    reader->ids = ids_of(reader, &line);
    ret_row->id = reader->ids == FR_IDS_NUMBERS ? line.id : number;
    ret_row->text = fr_buf_slice(&reader->id_text);
    ret_row->vector = (const float *)(const void *)reader->vector.data;
    ret_row->dimension = (uint32_t)(reader->vector.size / sizeof(float));
    ret_row->payload = line.verbatim.size > 0 ? line.verbatim : fr_buf_slice(&reader->payload);
    return FR_OK;
}

/* --- Writing --- */

/* Would it come back byte by byte if it stood in the line as it is? */
static bool is_verbatim(fr_slice payload)
{
    struct fr_json_in in = fr_json_in_of(payload);
    char first = fr_json_peek(&in);

    if (payload.size == 0 || first == '"' || in.at != in.start) return false;
    if (memchr(payload.data, '\n', payload.size) != NULL) return false;
    return fr_json_read_any(&in).size == payload.size;
}

void fr_vector_payload_json(struct fr_json *json, fr_slice payload)
{
    if (payload.size == 0) return;
    if (is_verbatim(payload)) {
        fr_json_verbatim(json, "payload", payload);
    } else if (fr_utf8_valid(payload)) {
        fr_json_slice(json, "payload", payload);
    } else {
        struct fr_buf coded = FR_BUF_EMPTY;
        fr_base64_append(&coded, payload);
        if (fr_buf_status(&coded) < 0) json->text.failed = true;
        fr_json_slice(json, "payload_base64", fr_buf_slice(&coded));
        fr_buf_deinit(&coded);
    }
}

static void append_array(struct fr_json *json, const struct fr_vector_row *row)
{
    fr_json_begin_array(json, "vector");
    for (uint32_t i = 0; i < row->dimension; i++)
        fr_json_float(json, NULL, row->vector[i]);
    fr_json_end_array(json);
}

static void append_coded(struct fr_json *json, const struct fr_vector_row *row)
{
    struct fr_buf bytes = FR_BUF_EMPTY, text = FR_BUF_EMPTY;

    for (uint32_t i = 0; i < row->dimension; i++) {
        uint32_t bits;
        memcpy(&bits, &row->vector[i], sizeof(bits));
        fr_buf_u32(&bytes, bits);
    }
    fr_base64_append(&text, fr_buf_slice(&bytes));
    if (fr_buf_status(&bytes) < 0 || fr_buf_status(&text) < 0) json->text.failed = true;
    fr_json_slice(json, "vector", fr_buf_slice(&text));
    fr_buf_deinit(&bytes);
    fr_buf_deinit(&text);
}

static void append_line(struct fr_buf *to, const struct fr_vector_row *row,
        void (*append_vector)(struct fr_json *json, const struct fr_vector_row *row))
{
    struct fr_json json = {.text = *to};

    fr_json_begin_object(&json, NULL);
    if (row->text.size > 0)
        fr_text_json(&json, "id", &(struct fr_text_form){.hex = false}, row->text);
    else
        fr_json_u64(&json, "id", row->id);
    append_vector(&json, row);
    fr_vector_payload_json(&json, row->payload);
    fr_json_end_object(&json);
    *to = json.text;
    fr_buf_u8(to, '\n');
}

void fr_vector_line(struct fr_buf *to, const struct fr_vector_row *row)
{
    append_line(to, row, append_array);
}

void fr_vector_line_coded(struct fr_buf *to, const struct fr_vector_row *row)
{
    append_line(to, row, append_coded);
}
