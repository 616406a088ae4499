#include "lsm/edit_format.h"

#include <inttypes.h>

#include "base/alloc.h"

/*
 * A field is put with room for its size in front, which is only known behind it. Padding the varint
 * to three bytes would not be canonical, so the body is moved if its size takes more than one byte.
 */
struct field {
    struct fr_buf *edit;
    size_t body;
};

static struct field begin(struct fr_buf *edit, enum fr_edit_tag tag)
{
    fr_buf_varint(edit, tag);
    return (struct field){.edit = edit, .body = edit->size};
}

static void end(struct field field)
{
    struct fr_buf *edit = field.edit;

    if (edit->failed) return;
    size_t size = edit->size - field.body;
    size_t prefix = fr_varint_size(size);
    if (fr_buf_extend(edit, prefix) == NULL) return;
    memmove(edit->data + field.body + prefix, edit->data + field.body, size);
    fr_put_varint(edit->data + field.body, size);
}

static void put_number(struct fr_buf *edit, enum fr_edit_tag tag, uint64_t number)
{
    struct field field = begin(edit, tag);

    fr_buf_varint(edit, number);
    end(field);
}

void fr_edit_put_reset(struct fr_buf *edit)
{
    end(begin(edit, FR_EDIT_RESET));
}

void fr_edit_put_next_file(struct fr_buf *edit, uint64_t next_file)
{
    put_number(edit, FR_EDIT_NEXT_FILE, next_file);
}

void fr_edit_put_last_seq(struct fr_buf *edit, fr_seq last_seq)
{
    put_number(edit, FR_EDIT_LAST_SEQ, last_seq);
}

void fr_edit_put_drop_values(struct fr_buf *edit, uint64_t number)
{
    put_number(edit, FR_EDIT_DROP_VALUES, number);
}

void fr_edit_put_log(struct fr_buf *edit, const struct fr_edit_log *log)
{
    struct field field = begin(edit, FR_EDIT_LOG);

    fr_buf_varint(edit, log->start);
    fr_buf_varint(edit, log->durable);
    fr_buf_varint(edit, log->number);
    end(field);
}

void fr_edit_put_add_table(struct fr_buf *edit, unsigned level, const struct fr_edit_table *table)
{
    struct field field = begin(edit, FR_EDIT_ADD_TABLE);

    fr_buf_varint(edit, level);
    fr_buf_varint(edit, table->number);
    fr_buf_varint(edit, table->size);
    fr_buf_append(edit, table->hash, FR_CONTENT_HASH_SIZE);
    fr_buf_block(edit, table->smallest);
    fr_buf_block(edit, table->largest);
    fr_buf_varint(edit, table->largest_open);
    fr_buf_varint(edit, table->smallest_seq);
    fr_buf_varint(edit, table->largest_seq);
    fr_buf_varint(edit, table->entry_count);
    fr_buf_varint(edit, table->delete_count);
    fr_buf_varint(edit, table->range_count);
    fr_buf_varint(edit, table->append_count);
    fr_buf_varint(edit, table->ref_count);
    for (size_t i = 0; i < table->ref_count; i++) {
        fr_buf_varint(edit, table->refs[i].file);
        fr_buf_varint(edit, table->refs[i].bytes);
        fr_buf_varint(edit, table->refs[i].count);
    }
    end(field);
}

void fr_edit_put_drop_table(struct fr_buf *edit, unsigned level, uint64_t number)
{
    struct field field = begin(edit, FR_EDIT_DROP_TABLE);

    fr_buf_varint(edit, level);
    fr_buf_varint(edit, number);
    end(field);
}

void fr_edit_put_add_values(struct fr_buf *edit, const struct fr_edit_values *values)
{
    struct field field = begin(edit, FR_EDIT_ADD_VALUES);

    fr_buf_varint(edit, values->number);
    fr_buf_varint(edit, values->size);
    fr_buf_append(edit, values->hash, FR_CONTENT_HASH_SIZE);
    fr_buf_varint(edit, values->value_bytes);
    fr_buf_varint(edit, values->value_count);
    end(field);
}

static fr_status fail_field(uint64_t tag, const char *what)
{
    return FR_FAIL(FR_ERR_CORRUPT, "field %" PRIu64 " of an edit %s", tag, what);
}

static unsigned read_level(struct fr_bytes *body)
{
    uint64_t level = fr_bytes_varint(body);

    if (level >= FR_LEVEL_COUNT) body->bad = true;
    return (unsigned)level;
}

static void read_hash(struct fr_bytes *body, uint8_t ret_hash[FR_CONTENT_HASH_SIZE])
{
    fr_slice hash = fr_bytes_take(body, FR_CONTENT_HASH_SIZE);

    if (hash.size == FR_CONTENT_HASH_SIZE) memcpy(ret_hash, hash.data, FR_CONTENT_HASH_SIZE);
}

static fr_slice read_key(struct fr_bytes *body)
{
    fr_slice key = fr_bytes_block(body);

    if (key.size == 0 || key.size > FR_KEY_SIZE_MAX) body->bad = true;
    return key;
}

/* The references are the one part whose number is not fixed: at least three bytes each. */
static fr_status read_refs(struct fr_bytes *body, struct fr_edit_table *table,
        struct fr_value_ref **ret_refs)
{
    uint64_t count = fr_bytes_varint(body), before = 0;

    if (!fr_bytes_ok(body) || count > fr_bytes_left(body) / 3)
        return fail_field(FR_EDIT_ADD_TABLE, "is cut short");
    struct fr_value_ref *refs = fr_alloc_zeroed(count, sizeof(*refs));
    if (refs == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read an edit");
    for (size_t i = 0; i < count; i++) {
        refs[i].file = fr_bytes_varint(body);
        refs[i].bytes = fr_bytes_varint(body);
        refs[i].count = fr_bytes_varint(body);
        if (refs[i].file <= before) body->bad = true;
        before = refs[i].file;
    }
    table->refs = refs;
    table->ref_count = (size_t)count;
    *ret_refs = refs;
    return FR_OK;
}

static fr_status read_add_table(struct fr_bytes *body, const struct fr_edit_visitor *visitor,
        void *ctx)
{
    struct fr_edit_table table = {0};
    struct fr_value_ref *refs = NULL;
    fr_status st;

    unsigned level = read_level(body);
    table.number = fr_bytes_varint(body);
    table.size = fr_bytes_varint(body);
    read_hash(body, table.hash);
    table.smallest = read_key(body);
    table.largest = read_key(body);
    uint64_t open = fr_bytes_varint(body);
    if (open > 1) body->bad = true;
    table.largest_open = open == 1;
    table.smallest_seq = fr_bytes_varint(body);
    table.largest_seq = fr_bytes_varint(body);
    table.entry_count = fr_bytes_varint(body);
    table.delete_count = fr_bytes_varint(body);
    table.range_count = fr_bytes_varint(body);
    table.append_count = fr_bytes_varint(body);
    FR_TRY(read_refs(body, &table, &refs));
    if (!fr_bytes_done(body) || table.number == 0 || table.smallest_seq > table.largest_seq ||
            fr_slice_compare(table.smallest, table.largest) > 0)
        st = fail_field(FR_EDIT_ADD_TABLE, "makes no sense");
    else if (visitor->add_table != NULL)
        st = visitor->add_table(ctx, level, &table);
out:
    fr_free(refs);
    return st;
}

static fr_status read_add_values(struct fr_bytes *body, const struct fr_edit_visitor *visitor,
        void *ctx)
{
    struct fr_edit_values values = {0};

    values.number = fr_bytes_varint(body);
    values.size = fr_bytes_varint(body);
    read_hash(body, values.hash);
    values.value_bytes = fr_bytes_varint(body);
    values.value_count = fr_bytes_varint(body);
    if (!fr_bytes_done(body) || values.number == 0)
        return fail_field(FR_EDIT_ADD_VALUES, "makes no sense");
    return visitor->add_values == NULL ? FR_OK : visitor->add_values(ctx, &values);
}

static fr_status read_log(struct fr_bytes *body, const struct fr_edit_visitor *visitor, void *ctx)
{
    struct fr_edit_log log;

    log.start = fr_bytes_varint(body);
    log.durable = fr_bytes_varint(body);
    log.number = fr_bytes_varint(body);
    if (!fr_bytes_done(body)) return fail_field(FR_EDIT_LOG, "makes no sense");
    return visitor->log == NULL ? FR_OK : visitor->log(ctx, &log);
}

static fr_status read_drop_table(struct fr_bytes *body, const struct fr_edit_visitor *visitor,
        void *ctx)
{
    unsigned level = read_level(body);
    uint64_t number = fr_bytes_varint(body);

    if (!fr_bytes_done(body)) return fail_field(FR_EDIT_DROP_TABLE, "makes no sense");
    return visitor->drop_table == NULL ? FR_OK : visitor->drop_table(ctx, level, number);
}

/* A field that is one number. */
static fr_status read_number(struct fr_bytes *body, uint64_t tag,
        fr_status (*visit)(void *ctx, uint64_t number), void *ctx)
{
    uint64_t number = fr_bytes_varint(body);

    if (!fr_bytes_done(body)) return fail_field(tag, "is no number");
    return visit == NULL ? FR_OK : visit(ctx, number);
}

static fr_status read_field(uint64_t tag, struct fr_bytes *body,
        const struct fr_edit_visitor *visitor, void *ctx)
{
    switch (tag) {
    case FR_EDIT_RESET:
        if (!fr_bytes_done(body)) return fail_field(tag, "makes no sense");
        return visitor->reset == NULL ? FR_OK : visitor->reset(ctx);
    case FR_EDIT_NEXT_FILE:
        return read_number(body, tag, visitor->next_file, ctx);
    case FR_EDIT_LAST_SEQ:
        return read_number(body, tag, visitor->last_seq, ctx);
    case FR_EDIT_LOG:
        return read_log(body, visitor, ctx);
    case FR_EDIT_ADD_TABLE:
        return read_add_table(body, visitor, ctx);
    case FR_EDIT_DROP_TABLE:
        return read_drop_table(body, visitor, ctx);
    case FR_EDIT_ADD_VALUES:
        return read_add_values(body, visitor, ctx);
    case FR_EDIT_DROP_VALUES:
        return read_number(body, tag, visitor->drop_values, ctx);
    default:
        if (tag >= FR_EDIT_SKIPPABLE) return FR_OK;
        return FR_FAIL(FR_ERR_TOO_NEW, "an edit has the unknown field %" PRIu64, tag);
    }
}

fr_status fr_edit_read_field(struct fr_bytes *in, const struct fr_edit_visitor *visitor, void *ctx)
{
    uint64_t tag = fr_bytes_varint(in);
    struct fr_bytes body = fr_bytes_of(fr_bytes_block(in));

    if (!fr_bytes_ok(in))
        return FR_FAIL(FR_ERR_CORRUPT, "an edit is cut short at %zu", fr_bytes_offset(in));
    return read_field(tag, &body, visitor, ctx);
}

fr_status fr_edit_read(fr_slice edit, const struct fr_edit_visitor *visitor, void *ctx)
{
    struct fr_bytes in = fr_bytes_of(edit);

    while (fr_bytes_left(&in) > 0) {
        fr_status st = fr_edit_read_field(&in, visitor, ctx);
        if (st != FR_OK) return st;
    }
    return FR_OK;
}
