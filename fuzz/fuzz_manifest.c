/*
 * fuzz_manifest.c - manifests of any edits, whole or damaged: refused, or replayed to a version.
 *
 * The input is a byte n and as many damages (24 bits of offset, a mask that is flipped there); then
 * edits, for each a 16 bit size and its bytes. A writer makes a manifest of the edits, so all of
 * its checksums are right before the damages. What is replayed must be a version in order, of no
 * more edits than there are, and the same when it is replayed once more.
 */
#include "base/coding.h"
#include "fuzz/fuzz_files.h"
#include "lsm/manifest.h"
#include "wal/file_name.h"

#define EDITS_MAX 64

static uint64_t next_number(void *ctx)
{
    return ++*(uint64_t *)ctx;
}

/* How many edits it has; 0: there is none. */
static unsigned write_manifest(struct fr_dir *dir, struct fr_super *super, const uint8_t *data,
        size_t size)
{
    struct fr_manifest *manifest = NULL;
    uint64_t number = 0;
    unsigned count = 0;

    while (size > 2 && count < EDITS_MAX) {
        fr_slice edit = fr_slice_of(data + 2, FR_MIN((size_t)fr_get_u16(data), size - 2));
        data += 2 + edit.size;
        size -= 2 + edit.size;
        if (edit.size == 0) continue;
        fr_status st = manifest == NULL ? fr_manifest_begin(dir, super, edit, next_number, &number,
                                                  &manifest)
                                        : fr_manifest_append(manifest, edit);
        FUZZ_CHECK(st == FR_OK);
        count++;
    }
    fr_manifest_close(manifest);
    return count;
}

static void damage(struct fr_dir *dir, const struct fr_super *super, const uint8_t *damages,
        size_t count)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_file *file;
    uint8_t byte;

    fr_file_name_format(FR_FILE_MANIFEST, super->manifest, name);
    FUZZ_CHECK(fr_file_open(dir, name, FR_OPEN_WRITE, &file) == FR_OK);
    for (size_t i = 0; i < count; i++, damages += 4) {
        uint64_t at = (uint64_t)damages[0] | (uint64_t)damages[1] << 8 | (uint64_t)damages[2] << 16;
        if (fr_file_read_exact(file, at, &byte, 1) < 0) continue;
        byte ^= damages[3];
        FUZZ_CHECK(fr_file_write(file, at, &byte, 1, 0) == FR_OK);
    }
    fr_file_close(file);
}

static fr_status replay(struct fr_dir *dir, const struct fr_super *super, unsigned count,
        bool damaged, struct fr_buf *ret_version)
{
    struct fr_manifest_state state;
    struct fr_obsolete obsolete;

    fr_obsolete_init(&obsolete);
    fr_status st = fr_manifest_replay(dir, super, &obsolete, false, &state);
    FUZZ_CHECK(st == FR_OK || st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW || st == FR_ERR_LIMIT ||
               (damaged && (st == FR_ERR_FOREIGN || st == FR_ERR_MISSING)));
    if (st == FR_OK) {
        FUZZ_CHECK(state.edit_count <= count && (damaged || state.edit_count == count));
        fr_version_check(state.version);
        fr_version_encode(state.version, ret_version);
        FUZZ_CHECK(fr_buf_status(ret_version) == FR_OK);
        fr_version_unref(state.version);
    }
    fr_obsolete_deinit(&obsolete);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_buf once = FR_BUF_EMPTY, twice = FR_BUF_EMPTY;
    struct fr_sim_options options = {.seed = 1, .trace_calls_only = true};
    struct fr_super super = {.store = "sixteen letters"};
    struct fr_sim *sim;
    struct fr_dir *dir;

    if (size == 0 || size > 65536 || size < 1 + 4 * (size_t)data[0]) return 0;
    size_t damages = data[0];
    FUZZ_CHECK(fr_sim_open(&options, &sim) == FR_OK);
    FUZZ_CHECK(fr_dir_open(fr_sim_env(sim), "store", FR_DIR_CREATE, &dir) == FR_OK);
    unsigned count = write_manifest(dir, &super, data + 1 + 4 * damages, size - 1 - 4 * damages);
    if (count > 0) {
        if (damages > 0) damage(dir, &super, data + 1, damages);
        fr_status first = replay(dir, &super, count, damages > 0, &once);
        FUZZ_CHECK(replay(dir, &super, count, damages > 0, &twice) == first);
        FUZZ_CHECK(fr_slice_equal(fr_buf_slice(&once), fr_buf_slice(&twice)));
    }
    fr_buf_deinit(&once);
    fr_buf_deinit(&twice);
    fr_dir_close(dir);
    fr_sim_close(sim);
    return 0;
}
