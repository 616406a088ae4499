#include "tools/vector_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "tools/json_read.h"
#include "tools/text_code.h"

fr_status fr_id_read(const char *word, uint64_t *ret_id)
{
    if (!fr_json_to_u64(fr_slice_of_text(word), ret_id))
        return FR_FAIL(FR_ERR_MISUSE, "\"%.40s\" is no id: a whole number from 0 to %" PRIu64, word,
                UINT64_MAX);
    return FR_OK;
}

fr_status fr_id_kind_read(const char *word, enum fr_id_kind *ret_kind)
{
    for (enum fr_id_kind kind = FR_ID_U64; kind <= FR_ID_TEXT; kind++) {
        if (strcmp(fr_id_kind_name(kind), word) != 0) continue;
        *ret_kind = kind;
        return FR_OK;
    }
    return FR_FAIL(FR_ERR_MISUSE, "--ids: no ids are \"%.40s\": know number and text", word);
}

const char *fr_id_kind_name(enum fr_id_kind kind)
{
    return kind == FR_ID_TEXT ? "text" : "number";
}

struct fr_id_words fr_id_words(uint64_t id, fr_slice text)
{
    struct fr_buf escaped = FR_BUF_EMPTY;
    struct fr_id_words words;

    if (text.size > 0) {
        fr_escape_append(&escaped, text);
        snprintf(words.text, sizeof(words.text), "\"%.*s\"", (int)escaped.size,
                (const char *)escaped.data);
    } else {
        snprintf(words.text, sizeof(words.text), "%" PRIu64, id);
    }
    fr_buf_deinit(&escaped);
    return words;
}
