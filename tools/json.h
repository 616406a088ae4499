/*
 * json.h - writing JSON, one value after the other, with the commas in the right places.
 *
 * A key is NULL inside arrays and for the outermost value. Text is escaped; bytes that are no UTF-8
 * become U+FFFD, so that hostile names cannot make the output invalid.
 */
#ifndef FR_TOOLS_JSON_H
#define FR_TOOLS_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct fr_json {
    struct fr_buf text;
    bool need_comma;
};

#define FR_JSON_EMPTY ((struct fr_json){0})

void fr_json_begin_object(struct fr_json *json, const char *key);
void fr_json_end_object(struct fr_json *json);
void fr_json_begin_array(struct fr_json *json, const char *key);
void fr_json_end_array(struct fr_json *json);
void fr_json_text(struct fr_json *json, const char *key, const char *value);
void fr_json_slice(struct fr_json *json, const char *key, fr_slice value);
void fr_json_u64(struct fr_json *json, const char *key, uint64_t value);
void fr_json_double(struct fr_json *json, const char *key, double value);

/* With as many digits as it takes to read the same float back. */
void fr_json_float(struct fr_json *json, const char *key, float value);
void fr_json_bool(struct fr_json *json, const char *key, bool value);

/* A value that is JSON already. */
void fr_json_verbatim(struct fr_json *json, const char *key, fr_slice value);

/* Print it with a newline on standard output and empty it. FR_ERR_NOMEM if it could not be built.
 */
FR_NODISCARD fr_status fr_json_print(struct fr_json *json);

#endif
