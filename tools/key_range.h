/* key_range.h - a range of keys as options of a verb: from a key, up to a key, all with a prefix.
 */
#ifndef FR_TOOLS_KEY_RANGE_H
#define FR_TOOLS_KEY_RANGE_H

#include "tools/store.h"

struct fr_key_range {
    const char *from_text; /* as they were given, or NULL */
    const char *to_text;
    const char *prefix_text;

    /* Set by fr_key_range_read. Empty: no bound. */
    struct fr_buf from; /* the first key */
    struct fr_buf to;   /* the first key that is not in it */
};

/* Rows of a verb's option table. */
#define FR_OPTION_FROM(range)                                                                      \
    {                                                                                              \
        "from", 'f', FR_OPTION_TEXT, "KEY", "the first key", &(range)->from_text                   \
    }
#define FR_OPTION_TO(range)                                                                        \
    {                                                                                              \
        "to", 't', FR_OPTION_TEXT, "KEY", "the first key that is left out", &(range)->to_text      \
    }
#define FR_OPTION_PREFIX(range)                                                                    \
    {                                                                                              \
        "prefix", 'p', FR_OPTION_TEXT, "TEXT", "only keys that begin so", &(range)->prefix_text    \
    }

/* Was any bound given? */
bool fr_key_range_given(const struct fr_key_range *range);

/*
 * What the options say, as bytes. FR_ERR_MISUSE: a prefix and a bound at once, or words that are
 * not in the form.
 */
FR_NODISCARD fr_status fr_key_range_read(struct fr_key_range *range,
        const struct fr_text_form *form);

void fr_key_range_deinit(struct fr_key_range *range);

#endif
