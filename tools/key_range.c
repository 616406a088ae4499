#include "tools/key_range.h"

bool fr_key_range_given(const struct fr_key_range *range)
{
    return range->from_text != NULL || range->to_text != NULL || range->prefix_text != NULL;
}

/* A prefix of nothing but 0xff has no end: what is behind its keys is behind all keys. */
static fr_status read_prefix(struct fr_key_range *range, const struct fr_text_form *form)
{
    fr_status st;

    FR_TRY(fr_text_read(form, range->prefix_text, &range->from));
    if (range->from.size > 0 &&
            fr_prefix_end(fr_buf_slice(&range->from), &range->to) == FR_ERR_NOMEM)
        return FR_ERR_NOMEM;
out:
    return st;
}

fr_status fr_key_range_read(struct fr_key_range *range, const struct fr_text_form *form)
{
    fr_status st = FR_OK;

    if (range->prefix_text != NULL && (range->from_text != NULL || range->to_text != NULL))
        return FR_FAIL(FR_ERR_MISUSE, "--prefix is a range by itself: no --from and no --to");
    if (range->prefix_text != NULL) return read_prefix(range, form);
    if (range->from_text != NULL) FR_TRY(fr_text_read(form, range->from_text, &range->from));
    if (range->to_text != NULL) FR_TRY(fr_text_read(form, range->to_text, &range->to));
    if (range->to_text != NULL &&
            fr_slice_compare(fr_buf_slice(&range->from), fr_buf_slice(&range->to)) >= 0)
        return FR_FAIL(FR_ERR_MISUSE, "--to is not above --from: the range is empty");
out:
    return st;
}

void fr_key_range_deinit(struct fr_key_range *range)
{
    fr_buf_deinit(&range->from);
    fr_buf_deinit(&range->to);
}
