#include "tools/text_code.h"

#include "base/compiler.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void fr_hex_append(struct fr_buf *to, fr_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        fr_buf_u8(to, (uint8_t)hex_digits[bytes.data[i] >> 4]);
        fr_buf_u8(to, (uint8_t)hex_digits[bytes.data[i] & 15]);
    }
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool fr_hex_read(fr_slice text, struct fr_buf *to)
{
    if (text.size % 2 != 0) return false;
    for (size_t i = 0; i < text.size; i++)
        if (hex_value(text.data[i]) < 0) return false;
    for (size_t i = 0; i < text.size; i += 2)
        fr_buf_u8(to, (uint8_t)(hex_value(text.data[i]) << 4 | hex_value(text.data[i + 1])));
    return true;
}

void fr_base64_append(struct fr_buf *to, fr_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t have = FR_MIN(bytes.size - i, (size_t)3);
        uint32_t bits = 0;

        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < have ? bytes.data[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            fr_buf_u8(to, j <= have ? (uint8_t)base64_digits[bits >> (18 - 6 * j) & 63] : '=');
    }
}

static int base64_value(uint8_t digit)
{
    if (digit >= 'A' && digit <= 'Z') return digit - 'A';
    if (digit >= 'a' && digit <= 'z') return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9') return digit - '0' + 52;
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

/* Four digits, the last up to two of which may be padding: how many bytes they are, or 0. */
static size_t base64_group(const uint8_t *at, bool is_last, uint8_t ret_bytes[static 3])
{
    size_t padding = !is_last || at[3] != '=' ? 0 : at[2] == '=' ? 2 : 1;
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? base64_value(at[i]) : 0;
        if (value < 0) return 0;
        bits = bits << 6 | (uint32_t)value;
    }
    if ((bits & ((1u << 8 * padding) - 1)) != 0) return 0; /* bits that belong to no byte */
    for (size_t i = 0; i < 3; i++)
        ret_bytes[i] = (uint8_t)(bits >> (16 - 8 * i));
    return 3 - padding;
}

bool fr_base64_read(fr_slice text, struct fr_buf *to)
{
    size_t before = to->size;
    uint8_t bytes[3];

    if (text.size % 4 != 0) return false;
    for (size_t i = 0; i < text.size; i += 4) {
        size_t count = base64_group(text.data + i, i + 4 == text.size, bytes);
        if (count == 0) {
            to->size = before;
            return false;
        }
        fr_buf_append(to, bytes, count);
    }
    return true;
}

static void escape_byte(struct fr_buf *to, uint8_t byte)
{
    static const char named[] = "\\\\\nn\tt\rr";

    for (const char *at = named; *at != '\0'; at += 2) {
        if ((uint8_t)*at != byte) continue;
        fr_buf_u8(to, '\\');
        fr_buf_u8(to, (uint8_t)at[1]);
        return;
    }
    fr_buf_printf(to, "\\x%02x", byte);
}

/* C1 controls are well-formed UTF-8, and terminals obey them. */
static bool is_control(const uint8_t *at, size_t length)
{
    return length == 1 ? at[0] < ' ' || at[0] == 0x7f : at[0] == 0xc2 && at[1] < 0xa0;
}

void fr_escape_append(struct fr_buf *to, fr_slice bytes)
{
    const uint8_t *at = bytes.data, *end = bytes.size == 0 ? at : at + bytes.size;

    while (at < end) {
        size_t length = fr_utf8_length(at, end);
        if (length == 0 || is_control(at, length) || *at == '\\') {
            escape_byte(to, *at++);
        } else {
            fr_buf_append(to, at, length);
            at += length;
        }
    }
}

size_t fr_utf8_length(const uint8_t *at, const uint8_t *end)
{
    static const struct {
        uint8_t first, last;       /* of the leading byte */
        uint8_t second, second_to; /* of the one behind it */
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

    if (at == end) return 0;
    if (at[0] < 0x80) return 1;
    for (size_t i = 0; i < FR_ARRAY_COUNT(rows); i++) {
        if (at[0] < rows[i].first || at[0] > rows[i].last) continue;
        if (rows[i].length > (size_t)(end - at)) return 0;
        if (at[1] < rows[i].second || at[1] > rows[i].second_to) return 0;
        for (size_t j = 2; j < rows[i].length; j++)
            if ((at[j] & 0xc0) != 0x80) return 0;
        return rows[i].length;
    }
    return 0;
}

bool fr_utf8_valid(fr_slice text)
{
    const uint8_t *at = text.data, *end = text.size == 0 ? at : at + text.size;

    while (at < end) {
        size_t length = fr_utf8_length(at, end);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

void fr_utf8_append(struct fr_buf *to, uint32_t code_point)
{
    unsigned more = code_point < 0x80 ? 0 : code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};

    fr_buf_u8(to, (uint8_t)(lead[more] | code_point >> (6 * more)));
    while (more-- > 0)
        fr_buf_u8(to, (uint8_t)(0x80 | (code_point >> (6 * more) & 0x3f)));
}
