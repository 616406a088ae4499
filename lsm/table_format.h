/*
 * table_format.h - the bytes of a table file, and when to believe them.
 *
 *     header | data blocks | index blocks | top index | filter | ranges | dictionary | properties |
 *     footer
 *
 * All but header and footer are frames, back to back, without gaps. Integers are little-endian.
 *
 * Header, FR_TABLE_HEADER_SIZE bytes:
 *
 *   offset  size  field
 *        0     8  magic     FR_TABLE_MAGIC
 *        8     4  version   FR_TABLE_VERSION
 *       12     4  features  bits that a reader must understand; none yet
 *       16    24  file id   store (2 x 8), number (lsm/file_id.h)
 *       40    20  zero
 *       60     4  crc       masked CRC-32C of the 60 bytes before
 *
 * Frame: a payload, and a trailer of FR_FRAME_TRAILER_SIZE bytes:
 *
 *        0     1  compression  enum fr_codec
 *        1     1  type         enum fr_frame_type
 *        2     2  zero
 *        4     4  raw size     of the payload once it is decompressed
 *        8     4  crc          masked CRC-32C of: file id, offset of the frame in the file (8),
 *                              payload, the first 8 bytes of this trailer
 *
 * A handle leads to a frame: offset (8), size with trailer (4), crc as in the trailer (4). What
 * each of these catches:
 *
 *     crc              torn and rotten bytes
 *     file id          an intact file of another store or another number under this name
 *     offset           an intact frame of this file at another place
 *     crc in handle    an intact frame that stood here in an earlier life of the bytes
 *     type             a handle that leads to the wrong kind of thing
 *
 * Data, index and range frames hold blocks (lsm/block_format.h). The entries of a data block
 * follow those of the block before. Range blocks hold entries of kind DELETE_RANGE that are
 * fragmented: two of them cover the same keys or none in common; so their order by start is one by
 * end, too.
 *
 * Index: an entry (PUT) for each block, in their order; its value is the block's handle as varints
 * offset and size, and the crc in four bytes. Its key and sequence number form a separator: no
 * entry of the block is behind it, and all of the blocks that follow are. The key is the shortest
 * that does it, and the sequence number 1, unless the next block goes on with the same key; then it
 * is the last entry's. So 1 means that no key goes on beyond the block. Index blocks lead to data
 * blocks, the top index to index blocks. If there are no data blocks, there is no index either.
 *
 * Filter: lsm/filter_format.h, never compressed. Dictionary: one of zstd's with
 * its header and its tables, never compressed, up to FR_DICTIONARY_SIZE_MAX bytes. It is read when
 * the table is opened; frames with FR_CODEC_ZSTD_DICT need it.
 *
 * Properties: a sequence of (tag: varint, size: varint, bytes). Numbers are varints. Tags that a
 * reader does not know are skipped. The tags stand in lsm/table_properties.c.
 *
 * Footer, FR_TABLE_FOOTER_SIZE bytes, the last of the file:
 *
 *        0    16  hash        fr_hash128 of all bytes before the footer: low, high
 *       16    16  properties  handle
 *       32    16  top index   handle; all zeros: there is none, here and below
 *       48    16  filter      handle
 *       64    16  ranges      handle
 *       80    16  dictionary  handle
 *       96     8  data end    where the index blocks start
 *      104     8  file size
 *      112    24  file id
 *      136     4  features    bits that a reader must understand; none yet
 *      140    36  zero
 *      176     4  version     FR_TABLE_VERSION
 *      180     4  crc         masked CRC-32C of the 180 bytes before
 *      184     8  magic       FR_TABLE_MAGIC
 *
 * The hash is 128 bits of fr_hash128 and not a longer CRC: it names the content in the manifest and
 * in backups, where two files must not be taken for each other among any number of files, and it is
 * computed at memory speed. It is no defence against forgers; nothing here is.
 *
 * Compressed frames hold one zstd frame. Raw sizes are believed only up to FR_FRAME_RATIO_MAX times
 * the stored size and FR_FRAME_RAW_FREE more, so that a few bytes cannot ask for much memory.
 */
#ifndef FR_LSM_TABLE_FORMAT_H
#define FR_LSM_TABLE_FORMAT_H

#include <stdint.h>

#include "lsm/block_format.h"
#include "lsm/file_id.h"

#define FR_TABLE_MAGIC        0x656c626154747246u /* "FrtTable" */
#define FR_TABLE_VERSION      1
#define FR_TABLE_HEADER_SIZE  64
#define FR_TABLE_FOOTER_SIZE  192
#define FR_FRAME_TRAILER_SIZE 12
#define FR_FRAME_RATIO_MAX    256
#define FR_FRAME_RAW_FREE     ((uint64_t)1 << 20)

/* Each open table holds its dictionary, and blocks of 64 KiB are the largest that one helps with.
 */
#define FR_DICTIONARY_SIZE_MAX 65536

/* In the order of the footer. */
enum fr_table_handle {
    FR_TABLE_HANDLE_PROPERTIES,
    FR_TABLE_HANDLE_TOP,
    FR_TABLE_HANDLE_FILTER,
    FR_TABLE_HANDLE_RANGES,
    FR_TABLE_HANDLE_DICTIONARY,
    FR_TABLE_HANDLES,
};

/* A name of a block in its file. */
struct fr_block_handle {
    uint64_t offset;
    uint32_t size; /* with the trailer */
    uint32_t crc;  /* as stored */
};

/* Stored: never renumbered. */
enum fr_codec {
    FR_CODEC_NONE = 1, /* zeros are no frame */
    FR_CODEC_ZSTD = 2,
    FR_CODEC_ZSTD_DICT = 3,
};

enum fr_frame_type {
    FR_FRAME_DATA = 1,
    FR_FRAME_INDEX = 2,
    FR_FRAME_TOP = 3,
    FR_FRAME_FILTER = 4,
    FR_FRAME_RANGES = 5,
    FR_FRAME_DICTIONARY = 6,
    FR_FRAME_PROPERTIES = 7,
};

#endif
