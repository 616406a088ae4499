/* dump_edit.c - what an edit of the manifest says, field by field. */
#include "lsm/edit_format.h"
#include "tools/dump.h"

/* A field: its record is begun, and ended by whoever reads it. */
static fr_status on_reset(void *ctx)
{
    fr_dump_flag(ctx, "reset");
    return FR_OK;
}

static fr_status on_next_file(void *ctx, uint64_t next_file)
{
    fr_dump_u64(ctx, "next_file", next_file);
    return FR_OK;
}

static fr_status on_last_seq(void *ctx, fr_seq last_seq)
{
    fr_dump_u64(ctx, "last_seq", last_seq);
    return FR_OK;
}

static fr_status on_log(void *ctx, const struct fr_edit_log *log)
{
    fr_dump_flag(ctx, "log");
    fr_dump_u64(ctx, "start", log->start);
    fr_dump_u64(ctx, "durable", log->durable);
    fr_dump_u64(ctx, "number", log->number);
    return FR_OK;
}

static fr_status on_add_table(void *ctx, unsigned level, const struct fr_edit_table *table)
{
    fr_dump_u64(ctx, "add_table", table->number);
    fr_dump_u64(ctx, "level", level);
    fr_dump_u64(ctx, "size", table->size);
    fr_dump_id(ctx, "hash", table->hash, FR_CONTENT_HASH_SIZE);
    fr_dump_key(ctx, "smallest", table->smallest);
    fr_dump_key(ctx, "largest", table->largest);
    if (table->largest_open) fr_dump_flag(ctx, "largest_open");
    fr_dump_u64(ctx, "smallest_seq", table->smallest_seq);
    fr_dump_u64(ctx, "largest_seq", table->largest_seq);
    fr_dump_u64(ctx, "entries", table->entry_count);
    fr_dump_u64(ctx, "deletes", table->delete_count);
    fr_dump_u64(ctx, "ranges", table->range_count);
    fr_dump_u64(ctx, "appends", table->append_count);
    fr_dump_u64(ctx, "value_files", table->ref_count);
    return FR_OK;
}

static fr_status on_drop_table(void *ctx, unsigned level, uint64_t number)
{
    fr_dump_u64(ctx, "drop_table", number);
    fr_dump_u64(ctx, "level", level);
    return FR_OK;
}

static fr_status on_add_values(void *ctx, const struct fr_edit_values *values)
{
    fr_dump_u64(ctx, "add_values", values->number);
    fr_dump_u64(ctx, "size", values->size);
    fr_dump_id(ctx, "hash", values->hash, FR_CONTENT_HASH_SIZE);
    fr_dump_u64(ctx, "bytes", values->value_bytes);
    fr_dump_u64(ctx, "count", values->value_count);
    return FR_OK;
}

static fr_status on_drop_values(void *ctx, uint64_t number)
{
    fr_dump_u64(ctx, "drop_values", number);
    return FR_OK;
}

static const struct fr_edit_visitor visitor = {
        .reset = on_reset,
        .next_file = on_next_file,
        .last_seq = on_last_seq,
        .log = on_log,
        .add_table = on_add_table,
        .drop_table = on_drop_table,
        .add_values = on_add_values,
        .drop_values = on_drop_values,
};

void fr_dump_edit(struct fr_dump *d, const char *path, fr_slice edit, fr_dump_place_fn place,
        const void *ctx)
{
    struct fr_bytes in = fr_bytes_of(edit);

    while (fr_bytes_ok(&in) && fr_bytes_left(&in) > 0 && !fr_dump_full(d)) {
        size_t at = fr_bytes_offset(&in);
        uint64_t offset = place(ctx, at);

        fr_dump_begin(d, offset, "edit");
        fr_status st = fr_edit_read_field(&in, &visitor, d);
        if (st < 0)
            fr_dump_damage_in(d, path, offset);
        else
            fr_dump_end(d, offset, fr_slice_of(edit.data + at, fr_bytes_offset(&in) - at));
    }
}
