/*
 * crc32c_vpclmul.c - CRC-32C by folding 256 bytes at a time with carry-less products.
 *
 * Four registers of 64 bytes hold the state, sixteen pieces of 128 bits. A piece is a polynomial of
 * two halves, X = L * x^64 + H, and D bits further on in the string it counts as
 *
 *     X * x^D = L * x^(D + 64) + H * x^D        modulo P.
 *
 * With both powers reduced modulo P each product has less than 128 bits: the piece has become
 * another piece, which is added to the one found D bits later. So all but the last 256 bytes vanish
 * into them; then each of the sixteen pieces is folded onto the last, by a D of its own (the last
 * one by 0, which keeps the code even), and the CRC instruction takes what remains. See V. Gopal
 * et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction".
 */
#include "base/crc32c_priv.h"

#include "base/crc32c_x86.h"

/* Below, three lanes of the CRC instruction are faster. */
#define FOLD_SIZE_MIN 256

FR_INLINE __m512i load(const uint8_t *from)
{
    return _mm512_loadu_si512((const void *)from);
}

/* X * x^D, plus what is there. */
FR_INLINE __m512i fold(__m512i x, __m512i multipliers, __m512i there)
{
    __m512i low = _mm512_clmulepi64_epi128(x, multipliers, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(x, multipliers, 0x11);

    return _mm512_ternarylogic_epi64(low, high, there, 0x96); /* exclusive or of all three */
}

/* Sixteen pieces onto the last one, and the register after that. */
FR_INLINE uint64_t reduce(const __m512i x[4])
{
    const uint64_t *folds = fr_crc32c_tables.folds;
    __m512i sum_a = fold(x[0], _mm512_load_si512((const void *)folds), _mm512_setzero_si512());
    __m512i sum_b = fold(x[1], _mm512_load_si512((const void *)(folds + 8)), sum_a);
    __m512i sum_c =
            fold(x[2], _mm512_load_si512((const void *)(folds + 16)), _mm512_setzero_si512());
    __m512i sum_d = fold(x[3], _mm512_load_si512((const void *)(folds + 24)), sum_c);
    __m512i sum = _mm512_xor_si512(sum_b, sum_d);
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    __m128i piece = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));

    return step_u64(step_u64(0, (uint64_t)_mm_cvtsi128_si64(piece)),
            (uint64_t)_mm_extract_epi64(piece, 1));
}

/* All whole pieces of 64 bytes; at least four of them. */
FR_INLINE uint64_t fold_all(uint64_t crc, const uint8_t *data, size_t size)
{
    const __m512i by_256 = _mm512_broadcast_i32x4(
            _mm_load_si128((const __m128i *)(const void *)(fr_crc32c_tables.folds + 32)));
    __m512i x[4] = {load(data), load(data + 64), load(data + 128), load(data + 192)};

    x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128((int64_t)crc)));
    for (data += 256, size -= 256; size >= 256; data += 256, size -= 256) {
        x[0] = fold(x[0], by_256, load(data));
        x[1] = fold(x[1], by_256, load(data + 64));
        x[2] = fold(x[2], by_256, load(data + 128));
        x[3] = fold(x[3], by_256, load(data + 192));
    }
    for (; size >= 64; data += 64, size -= 64) {
        __m512i last = fold(x[0], by_256, load(data));
        x[0] = x[1];
        x[1] = x[2];
        x[2] = x[3];
        x[3] = last;
    }
    return reduce(x);
}

uint32_t fr_crc32c_vpclmul(uint32_t crc, const uint8_t *data, size_t size)
{
    uint64_t state = (uint32_t)~crc;

    if (size < FOLD_SIZE_MIN) return ~(uint32_t)lanes_crc(state, data, size);

    size_t folded = size & ~(size_t)63;
    state = fold_all(state, data, folded);
    return ~(uint32_t)lanes_finish(state, data + folded, size - folded);
}
