/* CRC32C of records, alone and while pixels are copied: by tables, by the processor's own instruction
 * in three lanes, or by multiplying polynomials, whatever it can.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines"
#endif

typedef struct {
    uint64_t step[2], line[2], piece[3][2]; /* by 256, 64, and 48, 32, 16 bytes */
} Folds;

/* How the CRCs of records with `size` bytes of pixels are computed. */
typedef struct {
    size_t size;
    uint32_t prefix; /* the CRC so far at the first pixel */
    int instruction, folding;
    size_t lane;
    uint32_t shift[4][256];
    Folds folds;
} Crc;

/* Once in a process, before anything else. */
void make_crc_tables(void);

/* Choose the way: by tables only if `instructions` is 0, by the processor's instruction if it is 1, by
 * multiplying polynomials if it is 2, as far as it can. `prefix` is what comes before the pixels. */
void choose_crc(Crc *how, int instructions, size_t size, const uint8_t *prefix, size_t prefix_size);

/* Copy bytes while those at `ahead` are asked for; an address that is not there does no harm. */
void copy(uint8_t *restrict to, const uint8_t *restrict at, size_t size, uintptr_t ahead);

/* Compute the CRC over the pixels, and what comes before them. */
uint32_t pixels_crc(const Crc *how, const uint8_t *pixels);

/* The same while they are copied, and those at `ahead` are asked for. */
uint32_t copy_pixels(const Crc *how, uint8_t *to, const uint8_t *pixels, uintptr_t ahead);

/* Go on with it over the tail, and mask it as a TFRecord's footer is. */
uint32_t finish_crc(const Crc *how, uint32_t crc, const uint8_t *tail, size_t size);
