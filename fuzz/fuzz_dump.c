/*
 * fuzz_dump.c - files of a store from anywhere, told record by record: to the end, in lines.
 *
 * The first byte of the input says what the rest is taken for, and how it is told; for a table it
 * may ask that the checksums are made right first. Whatever the bytes are, telling them ends, each
 * line is one, a failure is told as damage, and nobody runs out of anything.
 */
#include "fuzz/fuzz_files.h"
#include "fuzz/fuzz_reseal.h"
#include "tools/dump.h"
#include "wal/file_name.h"

/* The first byte. */
#define KIND_MASK 7
#define AS_JSON   (1 << 3)
#define HEX       (1 << 4)
#define VALUES    (1 << 5)
#define RESEAL    (1 << 6)
#define ONE_KEY   (1 << 7)

static const struct fr_file_id id = {{1, 2}, 3};

static bool check_line(void *ctx, fr_slice text)
{
    size_t *lines = ctx;

    FUZZ_CHECK(text.size > 1 && text.data[text.size - 1] == '\n');
    for (size_t i = 0; i < text.size; i++)
        FUZZ_CHECK(text.data[i] >= ' ' || text.data[i] == '\n');
    ++*lines;
    return true;
}

static void dump(struct fr_dump *d, unsigned kind, struct fr_file *file, uint64_t size)
{
    switch (kind) {
    case 0:
    case 1:
        fr_dump_log(d, file, size, 1, kind == 1);
        break;
    case 2:
        fr_dump_super(d, file, size);
        break;
    case 3:
        fr_dump_table(d, file, size);
        break;
    case 4:
        fr_dump_values(d, file, size);
        break;
    case 5:
        fr_dump_filter(d, file, size);
        break;
    case 7:
        fr_dump_backup(d, file, size);
        break;
    default:
        fr_dump_value_at(d, file, size, 4096);
    }
}

static void dump_file(struct fr_dir *dir, const char *name, uint8_t how, uint64_t size)
{
    size_t lines = 0;
    struct fr_dump d = {.how = {.as_json = (how & AS_JSON) != 0,
                                .hex = (how & HEX) != 0,
                                .values = (how & VALUES) != 0},
            .print = check_line,
            .ctx = &lines};
    struct fr_file *file;

    if (how & ONE_KEY) d.how.key = fr_slice_of_text("key");
    FUZZ_CHECK(fr_file_open(dir, name, 0, &file) == FR_OK);
    fr_dump_file(&d, name, "fuzz", size);
    dump(&d, how & KIND_MASK, file, size);
    FUZZ_CHECK(d.status == FR_OK);
    FUZZ_CHECK((d.damages > 0) == (d.first.status < 0));
    FUZZ_CHECK(lines >= d.count && lines >= d.damages);
    fr_file_close(file);
    fr_dump_deinit(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_disk disk;
    uint8_t *copy;

    if (size == 0 || size > 98304) return 0;
    copy = fr_alloc(size);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    if ((data[0] & RESEAL) && (data[0] & KIND_MASK) == 3) reseal_table(copy + 1, size - 1, &id);
    fuzz_disk_open(&disk, "file", copy + 1, size - 1);
    dump_file(disk.dir, "file", data[0], size - 1);
    fuzz_disk_close(&disk);
    fr_free(copy);
    return 0;
}
