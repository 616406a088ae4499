/* dump_super.c - the four copies of SUPER, those that are whole and those that are not. */
#include <inttypes.h>

#include "io/file.h"
#include "lsm/super_format.h"
#include "tools/dump.h"

static void tell_copy(struct fr_dump *d, uint64_t offset, const struct fr_super *super,
        fr_slice bytes)
{
    fr_dump_begin(d, offset, "super");
    fr_dump_u64(d, "generation", super->generation);
    fr_dump_id(d, "store", super->store, FR_STORE_ID_SIZE);
    fr_dump_u64(d, "manifest", super->manifest);
    fr_dump_u64(d, "manifest_lsn", super->manifest_lsn);
    fr_dump_u64(d, "created_us", super->created_us);
    fr_dump_end(d, offset, bytes);
}

/* Whether it is whole. A slot that no generation has been written to is all zeros. */
static bool dump_copy(struct fr_dump *d, const char *path, uint64_t offset, fr_slice bytes)
{
    struct fr_super super;

    if (fr_dump_all_zeros(bytes)) {
        fr_dump_begin(d, offset, "blank");
        fr_dump_done(d);
        return false;
    }
    fr_status st = fr_super_decode(bytes.data, offset, &super);
    if (st == FR_OK) {
        tell_copy(d, offset, &super, bytes);
        return true;
    }
    fr_dump_damage_in(d, path, offset);
    return false;
}

void fr_dump_super(struct fr_dump *d, struct fr_file *file, uint64_t size)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    uint64_t damages = d->damages;
    bool whole = false;

    for (uint64_t i = 0; i < 2 * FR_SUPER_COPIES && !fr_dump_full(d); i++) {
        uint64_t offset = fr_super_offset(i / FR_SUPER_COPIES, i % FR_SUPER_COPIES);

        if (fr_dump_read(d, file, offset, FR_SUPER_COPY_SIZE, &bytes))
            whole |= dump_copy(d, fr_file_path(file), offset, fr_buf_slice(&bytes));
    }
    if (!whole && d->damages == damages && !fr_dump_full(d)) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: no superblock in its %" PRIu64 " bytes",
                fr_file_path(file), size);
        fr_dump_damage(d, 0);
    }
    fr_buf_deinit(&bytes);
}
