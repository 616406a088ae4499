/*
 * vector_npy.c - the header of a .npy: six bytes of magic, a version, the length of a text, and the
 * text, which is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/input.h"
#include "tools/vector_file_priv.h"

static const char magic[] = FR_NPY_MAGIC;
#define MAGIC_SIZE 6

/* What the dictionary says. */
struct npy_header {
    char type[8];
    bool fortran_order;
    uint64_t shape[2];
    unsigned shape_size; /* 3: more than two */
    unsigned seen;       /* a bit for each key */
};

/* A cursor over the text; why sticks. */
struct npy_text {
    const char *at;
    const char *end;
    const char *why;
};

static char peek(struct npy_text *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n'))
        in->at++;
    return in->why != NULL || in->at == in->end ? '\0' : *in->at;
}

static bool take(struct npy_text *in, char wanted)
{
    if (peek(in) != wanted || wanted == '\0') return false;
    in->at++;
    return true;
}

static void expect(struct npy_text *in, char wanted, const char *why)
{
    if (!take(in, wanted) && in->why == NULL) in->why = why;
}

static void read_string(struct npy_text *in, char *to, size_t room)
{
    char quote = peek(in);
    size_t size = 0;

    if (quote != '\'' && quote != '"') {
        if (in->why == NULL) in->why = "expected a string (types with fields are not supported)";
        return;
    }
    for (in->at++; in->at < in->end && *in->at != quote && size + 1 < room; in->at++)
        to[size++] = *in->at;
    to[size] = '\0';
    expect(in, quote, "a string that is too long");
}

static bool read_bool(struct npy_text *in)
{
    static const char *const words[] = {"False", "True"};

    (void)peek(in);
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen(words[i]);
        if ((size_t)(in->end - in->at) < size || memcmp(in->at, words[i], size) != 0) continue;
        in->at += size;
        return i == 1;
    }
    if (in->why == NULL) in->why = "expected True or False";
    return false;
}

static uint64_t read_number(struct npy_text *in)
{
    uint64_t value = 0;
    const char *from = (peek(in), in->at);

    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        if (value > UINT64_MAX / 10 - 1) {
            in->why = "a number that is too large";
            return 0;
        }
        value = 10 * value + (uint64_t)(*in->at - '0');
    }
    if (in->at == from && in->why == NULL) in->why = "expected a number";
    return value;
}

static void read_shape(struct npy_text *in, struct npy_header *ret)
{
    ret->shape_size = 0;
    expect(in, '(', "expected a shape in brackets");
    while (in->why == NULL && !take(in, ')')) {
        uint64_t value = read_number(in);
        if (ret->shape_size < 2) ret->shape[ret->shape_size] = value;
        if (ret->shape_size < 3) ret->shape_size++;
        if (!take(in, ',') && peek(in) != ')' && in->why == NULL) in->why = "expected a comma";
    }
}

static void read_pair(struct npy_text *in, struct npy_header *ret)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[16] = "";
    unsigned which = 0;

    read_string(in, key, sizeof(key));
    expect(in, ':', "expected a colon");
    while (which < 3 && strcmp(key, keys[which]) != 0)
        which++;
    if (in->why == NULL && (which == 3 || (ret->seen & 1u << which) != 0))
        in->why = "a key that is unknown, or comes twice";
    if (in->why != NULL) return;
    ret->seen |= 1u << which;
    if (which == 0)
        read_string(in, ret->type, sizeof(ret->type));
    else if (which == 1)
        ret->fortran_order = read_bool(in);
    else
        read_shape(in, ret);
}

/* NULL, or why the text is no header. */
static const char *read_dictionary(fr_slice text, struct npy_header *ret)
{
    const char *from = (const char *)text.data;
    struct npy_text in = {.at = from, .end = from + text.size};

    expect(&in, '{', "expected a dictionary");
    while (in.why == NULL && !take(&in, '}')) {
        read_pair(&in, ret);
        if (!take(&in, ',') && peek(&in) != '}' && in.why == NULL) in.why = "expected a comma";
    }
    if (peek(&in) != '\0' && in.why == NULL) in.why = "something stands behind the dictionary";
    if (ret->seen != 7 && in.why == NULL) in.why = "descr, fortran_order or shape is missing";
    return in.why;
}

/* Type letters, and what they are here. */
static bool choose_element(struct fr_vector_reader *reader, const char *type)
{
    static const struct {
        char text[3];
        enum fr_element element;
    } known[] = {{"f4", FR_ELEMENT_F32}, {"u1", FR_ELEMENT_U8}, {"i1", FR_ELEMENT_I8},
            {"f2", FR_ELEMENT_F16}, {"f8", FR_ELEMENT_F64}};

    if (type[0] == '\0' || strchr("<>|=", type[0]) == NULL) return false;
    for (size_t i = 0; i < FR_ARRAY_COUNT(known); i++) {
        if (strcmp(type + 1, known[i].text) != 0) continue;
        bool has_order = fr_element_size(known[i].element) > 1;
        if (has_order && type[0] != '<' && type[0] != '>') return false;
        reader->element = known[i].element;
        reader->big_endian = type[0] == '>';
        return true;
    }
    return false;
}

static fr_status use_header(struct fr_vector_reader *reader, const struct npy_header *header)
{
    const char *name = fr_input_name(reader->input);

    if (!choose_element(reader, header->type))
        return FR_FAIL(FR_ERR_UNSUPPORTED,
                "%s: its elements are \"%s\": know f2, f4, f8, u1 and i1", name, header->type);
    if (header->shape_size != 2)
        return FR_FAIL(FR_ERR_UNSUPPORTED,
                "%s: its array has %s: two dimensions are needed, rows and columns", name,
                header->shape_size > 2    ? "more than two dimensions"
                : header->shape_size == 1 ? "one dimension"
                                          : "no dimension");
    if (header->fortran_order)
        return FR_FAIL(FR_ERR_UNSUPPORTED,
                "%s: is in Fortran order; save numpy.ascontiguousarray() of it", name);
    reader->row_count = header->shape[0];
    reader->dimension = (uint32_t)FR_MIN(header->shape[1], (uint64_t)UINT32_MAX);
    return fr_vector_check_dimension(reader, header->shape[1], 0);
}

/* Magic, version, and the length, whose own length depends on the version. */
static fr_status read_text_size(struct fr_vector_reader *reader, uint32_t *ret_size)
{
    fr_slice bytes;
    fr_status st;

    FR_TRY(fr_input_take(reader->input, MAGIC_SIZE + 2, "the header", &bytes));
    if (st == FR_END || memcmp(bytes.data, magic, MAGIC_SIZE) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: is no .npy: it does not begin as one",
                fr_input_name(reader->input));
    uint8_t version = bytes.data[MAGIC_SIZE];
    if (version < 1 || version > 3)
        return FR_FAIL(FR_ERR_UNSUPPORTED, "%s: is a .npy of version %u, which nobody knows here",
                fr_input_name(reader->input), version);
    FR_TRY(fr_input_take(reader->input, version == 1 ? 2 : 4, "the header", &bytes));
    if (st == FR_END)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: ends in the middle of the header at offset %d",
                fr_input_name(reader->input), MAGIC_SIZE + 2);
    *ret_size = version == 1 ? fr_get_u16(bytes.data) : fr_get_u32(bytes.data);
out:
    return st;
}

fr_status fr_npy_read_header(struct fr_vector_reader *reader)
{
    struct npy_header header = {.type = ""};
    const char *why, *name = fr_input_name(reader->input);
    uint32_t size = 0;
    fr_slice text;
    fr_status st;

    FR_TRY(read_text_size(reader, &size));
    if (size == 0 || size > FR_NPY_HEADER_MAX)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: a header of %" PRIu32 " bytes: it is from 1 to %d",
                name, size, FR_NPY_HEADER_MAX);
    FR_TRY(fr_input_take(reader->input, size, "the header", &text));
    if (st == FR_END)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: ends before the text of its header", name);
    why = read_dictionary(text, &header);
    if (why != NULL) return FR_FAIL(FR_ERR_CORRUPT, "%s: its header: %s", name, why);
    st = use_header(reader, &header);
out:
    return st;
}

void fr_npy_append_header(struct fr_buf *to, uint64_t count, uint32_t dimension)
{
    size_t before = to->size;

    fr_buf_append(to, magic, MAGIC_SIZE);
    fr_buf_u8(to, 1);
    fr_buf_u8(to, 0);
    fr_buf_u16(to, FR_NPY_HEADER_SIZE - MAGIC_SIZE - 4);
    fr_buf_printf(to,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ", %" PRIu32 "), }",
            count, dimension);
    while (fr_buf_status(to) == FR_OK && to->size < before + FR_NPY_HEADER_SIZE - 1)
        fr_buf_u8(to, ' ');
    fr_buf_u8(to, '\n');
}
