#include "crc.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET_CRC __attribute__((target("sse4.2")))
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define TARGET_CRC __attribute__((target("+crc")))
#endif

static const uint32_t POLYNOMIAL = 0x82f63b78; /* of CRC32C, bits reversed */

static uint32_t table[8][256];

void make_crc_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        table[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 0xff];
}

/* What a processor moves to its cache at once. */
enum { LINE = 64 };

/* Let the processor fetch what will be copied soon. From a map it would fetch no further than the
 * end of a page by itself, and then wait; of the copy of random records that was half the time. An
 * address that is not there does no harm. */
static void ask_for(uintptr_t at) { __builtin_prefetch((const void *)at); }

void copy(uint8_t *restrict to, const uint8_t *restrict at, size_t size, uintptr_t ahead) {
    size_t place = 0;
    for (; place + LINE <= size; place += LINE) {
        ask_for(ahead + place);
        memcpy(to + place, at + place, LINE);
    }
    memcpy(to + place, at + place, size - place);
}

static uint64_t load64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Eight bytes at a time from eight tables. */
static uint32_t crc_by_table(uint32_t crc, const uint8_t *at, size_t size) {
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word = load64(at) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++) crc ^= table[7 - k][word >> 8 * k & 0xff];
    }
    for (; size; at++, size--) crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xff];
    return crc;
}

#ifdef TARGET_CRC
#if defined(__x86_64__)
#define CRC64(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC8(crc, byte) _mm_crc32_u8((crc), (byte))
static int has_crc_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#else
#define CRC64(crc, word) __crc32cd((crc), (word))
#define CRC8(crc, byte) __crc32cb((crc), (byte))
static int has_crc_instruction(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#endif

TARGET_CRC static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *at, size_t size) {
    for (; size >= 8; at += 8, size -= 8) crc = CRC64(crc, load64(at));
    for (; size; at++, size--) crc = CRC8(crc, *at);
    return crc;
}

#define SHIFT(c)                                                                  \
    (shift[0][(c) & 0xff] ^ shift[1][(c) >> 8 & 0xff] ^ shift[2][(c) >> 16 & 0xff] ^ \
     shift[3][(c) >> 24])

/* The instruction has a latency of three cycles and can begin in each: three lanes at once, whose
 * CRCs `shift` moves over the bytes of the next lane. */
TARGET_CRC static uint32_t crc_in_lanes(uint32_t crc, const uint8_t *at, size_t size, size_t lane,
                                        const uint32_t shift[4][256]) {
    uint32_t second = 0, third = 0;
    for (size_t i = 0; i < lane; i += 8) {
        crc = CRC64(crc, load64(at + i));
        second = CRC64(second, load64(at + lane + i));
        third = CRC64(third, load64(at + 2 * lane + i));
    }
    crc = SHIFT(crc) ^ second;
    crc = SHIFT(crc) ^ third;
    return crc_by_instruction(crc, at + 3 * lane, size - 3 * lane);
}

/* The same while the bytes are copied, and those at `ahead` are asked for. */
TARGET_CRC static uint32_t copy_in_lanes(uint32_t crc, uint8_t *restrict to,
                                         const uint8_t *restrict at, size_t size, uintptr_t ahead,
                                         size_t lane, const uint32_t shift[4][256]) {
    uint32_t second = 0, third = 0;
    for (size_t line = 0; line < lane; line += LINE) {
        for (size_t k = 0; k < 3; k++) ask_for(ahead + line + k * lane);
        size_t stop = lane - line < LINE ? lane : line + LINE;
        for (size_t i = line; i < stop; i += 8) {
            uint64_t a = load64(at + i), b = load64(at + lane + i), c = load64(at + 2 * lane + i);
            memcpy(to + i, &a, 8);
            memcpy(to + lane + i, &b, 8);
            memcpy(to + 2 * lane + i, &c, 8);
            crc = CRC64(crc, a);
            second = CRC64(second, b);
            third = CRC64(third, c);
        }
    }
    memcpy(to + 3 * lane, at + 3 * lane, size - 3 * lane);
    crc = SHIFT(crc) ^ second;
    crc = SHIFT(crc) ^ third;
    return crc_by_instruction(crc, to + 3 * lane, size - 3 * lane);
}

/* Tables that move a CRC over `lane` bytes of zeros; it is linear, so 32 single bits tell all. */
TARGET_CRC static void make_shift(size_t lane, uint32_t shift[4][256]) {
    for (int k = 0; k < 4; k++) {
        for (int bit = 0; bit < 8; bit++) {
            uint32_t crc = 1u << (8 * k + bit);
            for (size_t i = 0; i < lane; i += 8) crc = CRC64(crc, 0);
            shift[k][1 << bit] = crc;
        }
        shift[k][0] = 0;
        for (int byte = 1; byte < 256; byte++)
            shift[k][byte] = shift[k][byte & (byte - 1)] ^ shift[k][byte & -byte];
    }
}

#if defined(__x86_64__)
/* Where the processor multiplies polynomials 64 bytes at a time: four streams of 64 bytes are moved
 * 256 bytes on with each step (Gopal and others, "Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ Instruction", Intel 2009, bits reversed; the constants are in `make_folds`). */
enum { STEP = 256 };
#define TARGET_FOLD __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))
#define FOLD(sum, by, data)                                                        \
    _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128((sum), (by), 0x00),         \
                              _mm512_clmulepi64_epi128((sum), (by), 0x11), (data), 0x96)

static int can_fold(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("vpclmulqdq");
}

/* x to the power of n, modulo the polynomial; the highest bit is that of x to the power of 0. */
static uint32_t power(size_t n) {
    uint32_t value = 0x80000000;
    while (n--) value = value >> 1 ^ (value & 1 ? POLYNOMIAL : 0);
    return value;
}

static void make_fold(uint64_t *fold, size_t bytes) {
    /* A product of reversed words has one bit too few, and the constant stands 32 bits too high. */
    fold[0] = power(8 * bytes + 32 - 1); /* for the 8 bytes that come first */
    fold[1] = power(8 * bytes - 32 - 1);
}

static void make_folds(Folds *folds) {
    make_fold(folds->step, STEP);
    make_fold(folds->line, 64);
    for (size_t i = 0; i < 3; i++) make_fold(folds->piece[i], 48 - 16 * i);
}

TARGET_FOLD static __m512i spread(const uint64_t fold[2]) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)fold));
}

/* Go on with a CRC over `size` bytes, STEP at least. Where `to` is given they are copied there, and
 * those at `ahead` are asked for. */
TARGET_FOLD static inline __attribute__((always_inline)) uint32_t fold_crc(
    uint32_t crc, uint8_t *restrict to, const uint8_t *restrict at, size_t size, uintptr_t ahead,
    const Folds *folds) {
    __m512i sum[4], by = spread(folds->step);
    for (int k = 0; k < 4; k++) {
        if (to) ask_for(ahead + LINE * (size_t)k);
        sum[k] = _mm512_loadu_si512(at + 64 * k);
        if (to) _mm512_storeu_si512(to + 64 * k, sum[k]);
    }
    sum[0] = _mm512_xor_si512(sum[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    size_t place = STEP;
    for (; place + STEP <= size; place += STEP) {
        for (int k = 0; k < 4; k++) {
            if (to) ask_for(ahead + place + LINE * (size_t)k);
            __m512i data = _mm512_loadu_si512(at + place + 64 * k);
            if (to) _mm512_storeu_si512(to + place + 64 * k, data);
            sum[k] = FOLD(sum[k], by, data);
        }
    }
    by = spread(folds->line);
    for (int k = 1; k < 4; k++) sum[0] = FOLD(sum[0], by, sum[k]);
    for (; place + 64 <= size; place += 64) {
        __m512i data = _mm512_loadu_si512(at + place);
        if (to) _mm512_storeu_si512(to + place, data);
        sum[0] = FOLD(sum[0], by, data);
    }
    __m128i last = _mm512_extracti32x4_epi32(sum[0], 3);
    __m128i pieces[3] = {_mm512_castsi512_si128(sum[0]), _mm512_extracti32x4_epi32(sum[0], 1),
                         _mm512_extracti32x4_epi32(sum[0], 2)};
    for (int k = 0; k < 3; k++) {
        __m128i fold = _mm_loadu_si128((const __m128i *)folds->piece[k]);
        last = _mm_xor_si128(last, _mm_xor_si128(_mm_clmulepi64_si128(pieces[k], fold, 0x00),
                                                 _mm_clmulepi64_si128(pieces[k], fold, 0x11)));
    }
    crc = CRC64(CRC64(0, (uint64_t)_mm_cvtsi128_si64(last)), (uint64_t)_mm_extract_epi64(last, 1));
    if (to) memcpy(to + place, at + place, size - place);
    return crc_by_instruction(crc, at + place, size - place);
}

TARGET_FOLD static uint32_t crc_by_folding(uint32_t crc, const uint8_t *at, size_t size,
                                           const Folds *folds) {
    return fold_crc(crc, NULL, at, size, 0, folds);
}

TARGET_FOLD static uint32_t copy_by_folding(uint32_t crc, uint8_t *restrict to,
                                            const uint8_t *restrict at, size_t size,
                                            uintptr_t ahead, const Folds *folds) {
    return fold_crc(crc, to, at, size, ahead, folds);
}
#endif
#else
static int has_crc_instruction(void) { return 0; }
#endif

static uint32_t mask(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

void choose_crc(Crc *how, int instructions, size_t size, const uint8_t *prefix,
                size_t prefix_size) {
    how->size = size;
    how->prefix = crc_by_table(0xffffffff, prefix, prefix_size);
    how->instruction = instructions > 0 && has_crc_instruction();
#ifdef TARGET_CRC
    if (how->instruction) {
        how->lane = size / 24 * 8;
        if (how->lane < 64) how->lane = 0; /* too short for what the lanes cost */
        if (how->lane) make_shift(how->lane, how->shift);
#if defined(__x86_64__)
        how->folding = instructions > 1 && size >= STEP && can_fold();
        if (how->folding) make_folds(&how->folds);
#endif
    }
#endif
}

uint32_t pixels_crc(const Crc *how, const uint8_t *pixels) {
#if defined(__x86_64__)
    if (how->folding)
        return crc_by_folding(how->prefix, pixels, how->size, &how->folds);
#endif
#ifdef TARGET_CRC
    if (how->lane)
        return crc_in_lanes(how->prefix, pixels, how->size, how->lane, how->shift);
    if (how->instruction) return crc_by_instruction(how->prefix, pixels, how->size);
#endif
    return crc_by_table(how->prefix, pixels, how->size);
}

uint32_t copy_pixels(const Crc *how, uint8_t *to, const uint8_t *pixels, uintptr_t ahead) {
#if defined(__x86_64__)
    if (how->folding)
        return copy_by_folding(how->prefix, to, pixels, how->size, ahead, &how->folds);
#endif
#ifdef TARGET_CRC
    if (how->lane)
        return copy_in_lanes(how->prefix, to, pixels, how->size, ahead, how->lane, how->shift);
#endif
    copy(to, pixels, how->size, ahead);
    return pixels_crc(how, to);
}

uint32_t finish_crc(const Crc *how, uint32_t crc, const uint8_t *tail, size_t size) {
#ifdef TARGET_CRC
    if (how->instruction) return mask(~crc_by_instruction(crc, tail, size));
#endif
    return mask(~crc_by_table(crc, tail, size));
}
