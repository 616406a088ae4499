#include "tools/store.h"

#include <stdio.h>
#include <unistd.h>

#include "tools/text_code.h"

/* A reader may look at a moment when the writer has moved on: it is never long until it has not. */
#define BUSY_RETRIES  50
#define BUSY_SLEEP_US 10000

fr_status fr_store_open(const char *path, enum fr_store_use use, const char *options,
        struct fr_db **ret_db)
{
    struct fr_db_options o;
    fr_status st;

    fr_db_options_init(&o);
    if (options != NULL) FR_TRY(fr_db_options_parse(&o, options));
    o.create = use == FR_STORE_CREATE || use == FR_STORE_NEW;
    o.must_be_new = use == FR_STORE_NEW;
    o.read_only = use == FR_STORE_READ;
    st = fr_db_open(path, &o, ret_db);
    for (int i = 0; st == FR_ERR_BUSY && o.read_only && i < BUSY_RETRIES; i++) {
        usleep(BUSY_SLEEP_US);
        st = fr_db_open(path, &o, ret_db);
    }
out:
    return st;
}

int fr_store_done(const char *verb, fr_status st, int code, struct fr_db *db)
{
    if (st < 0) code = fr_exit_failed(verb);
    if (fr_db_close(db) < 0 && st >= 0) code = fr_exit_failed(verb);
    return code;
}

fr_status fr_text_read(const struct fr_text_form *form, const char *text, struct fr_buf *to)
{
    fr_slice slice = fr_slice_of_text(text);

    if (form->hex && form->base64)
        return FR_FAIL(FR_ERR_MISUSE, "--hex or --base64: keys have one form");
    if (form->hex && !fr_hex_read(slice, to))
        return FR_FAIL(FR_ERR_MISUSE, "\"%.40s\" is not hex digits, two for each byte", text);
    if (form->base64 && !fr_base64_read(slice, to))
        return FR_FAIL(FR_ERR_MISUSE, "\"%.40s\" is not base64", text);
    if (!form->hex && !form->base64) fr_buf_append(to, slice.data, slice.size);
    return fr_buf_status(to) < 0 ? FR_FAIL(FR_ERR_NOMEM, "no memory for a key") : FR_OK;
}

void fr_text_append(const struct fr_text_form *form, fr_slice bytes, struct fr_buf *to)
{
    if (form->hex)
        fr_hex_append(to, bytes);
    else if (form->base64)
        fr_base64_append(to, bytes);
    else
        fr_escape_append(to, bytes);
}

void fr_text_json(struct fr_json *json, const char *key, const struct fr_text_form *form,
        fr_slice bytes)
{
    bool plain = !form->hex && !form->base64, is_text = plain && fr_utf8_valid(bytes);
    const struct fr_text_form coded = {.hex = form->hex, .base64 = !form->hex};
    struct fr_buf text = FR_BUF_EMPTY;
    char name[64];

    if (is_text) {
        fr_json_slice(json, key, bytes);
        return;
    }
    snprintf(name, sizeof(name), "%s%s", key, plain ? "_base64" : "");
    fr_text_append(&coded, bytes, &text);
    if (fr_buf_status(&text) < 0) json->text.failed = true;
    fr_json_slice(json, name, fr_buf_slice(&text));
    fr_buf_deinit(&text);
}

fr_status fr_prefix_end(fr_slice prefix, struct fr_buf *to)
{
    size_t size = prefix.size;

    while (size > 0 && prefix.data[size - 1] == 0xff)
        size--;
    if (size == 0) return FR_FAIL(FR_ERR_MISUSE, "no key is behind all with this prefix");
    fr_buf_append(to, prefix.data, size);
    if (fr_buf_status(to) < 0) return FR_FAIL(FR_ERR_NOMEM, "no memory for a key");
    to->data[to->size - 1]++;
    return FR_OK;
}
