/*
 * store.h - what the verbs share that work on a store: opening it, keys and values as text, the
 * end.
 *
 * A verb that only reads opens the store for reading only, so it takes no lock, writes nothing, and
 * works beside a running writer.
 */
#ifndef FR_TOOLS_STORE_H
#define FR_TOOLS_STORE_H

#include <stdbool.h>

#include "base/buf.h"
#include "freshet/db.h"
#include "tools/args.h"
#include "tools/json.h"

/* How bytes stand on the command line and in the output. */
struct fr_text_form {
    bool hex;
    bool base64;
};

/* Rows of a verb's option table. */
#define FR_OPTION_STORE(target)                                                                    \
    {                                                                                              \
        "options", 'o', FR_OPTION_TEXT, "LIST", "of the store, as \"memory_budget=1GiB, ...\"",    \
                (target)                                                                           \
    }
#define FR_OPTION_HEX(form)                                                                        \
    {                                                                                              \
        "hex", 'x', FR_OPTION_FLAG, NULL, "keys and values are hex digits", &(form)->hex           \
    }
#define FR_OPTION_BASE64(form)                                                                     \
    {                                                                                              \
        "base64", 0, FR_OPTION_FLAG, NULL, "keys and values are base64", &(form)->base64           \
    }

enum fr_store_use {
    FR_STORE_READ,
    FR_STORE_WRITE,  /* one that is there */
    FR_STORE_CREATE, /* make it if there is none */
    FR_STORE_NEW,    /* there must be none */
};

/* Open for this use, with a list of options in text or NULL. Statuses as of fr_db_open(). */
FR_NODISCARD fr_status fr_store_open(const char *path, enum fr_store_use use, const char *options,
        struct fr_db **ret_db);

/* The end of a verb: tell the failure, if there is one, close the store, and choose the exit code.
 * A code that is not fine is kept if all went well. */
int fr_store_done(const char *verb, fr_status st, int code, struct fr_db *db);

/* A word of the command line as bytes, appended. FR_ERR_MISUSE: it is not in that form. */
FR_NODISCARD fr_status fr_text_read(const struct fr_text_form *form, const char *text,
        struct fr_buf *to);

/* Bytes in that form, appended; plain ones with escapes, so that they keep to their line. */
void fr_text_append(const struct fr_text_form *form, fr_slice bytes, struct fr_buf *to);

/* The same as a member of a JSON object. Plain bytes that are no UTF-8 go under "KEY_base64". */
void fr_text_json(struct fr_json *json, const char *key, const struct fr_text_form *form,
        fr_slice bytes);

/* The first key behind all that begin so, into to. FR_ERR_MISUSE: there is none. */
FR_NODISCARD fr_status fr_prefix_end(fr_slice prefix, struct fr_buf *to);

#endif
