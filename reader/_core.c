/* Reads records of fixed size from files: pixels into a batch, integers from their padded
 * varints, every checksum compared, all in one pass and without the interpreter's lock.
 *
 * A record comes from a memory map, where there is one, and otherwise by preadv, which takes twice
 * as long. What is checked and used is always a copy. A map may fault where the file was cut or
 * cannot be read: then the copy ends there, and preadv says what is wrong (see `guard`).
 *
 *     head      framing header, then the data up to the first pixel; the same in every record
 *     pixels    image bytes
 *     tail      integers, each a varint padded to five bytes, at known places
 *     footer    masked CRC32C of the data: what follows the framing header, up to here
 *
 * reader/core_fetch.py is the caller, and reader/fetch.py the same in NumPy, which judges this.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET_CRC __attribute__((target("sse4.2")))
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define TARGET_CRC __attribute__((target("+crc")))
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines"
#endif

enum { HEADER = 12, FOOTER = 4, VARINT = 5 };
/* What was read is still in the processor's cache when its checksum is computed. */
enum { RUN_BYTES = 1 << 18, MOST_BUFFERS = 1024 };
/* What a record may be, besides fine; below 0 it is an errno, and from CUT on the file ended after
 * CUT less bytes of the record. */
enum { FINE = 0, DAMAGED = 1, CUT = 2 };
static const int64_t UNREAD = INT64_MIN; /* not yet */

static const uint32_t POLYNOMIAL = 0x82f63b78;  /* of CRC32C, bits reversed */

/* ------------------------------------------------------------------ CRC32C */

static uint32_t table[8][256];

static void make_table(void) {
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

static void copy(uint8_t *restrict to, const uint8_t *restrict at, size_t size, uintptr_t ahead) {
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

static uint32_t load32(const uint8_t *at) {
    uint32_t word;
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

typedef struct {
    uint64_t step[2], line[2], piece[3][2]; /* by 256, 64, and 48, 32, 16 bytes */
} Folds;

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

/* ------------------------------------------------------------------ layout */

typedef struct {
    size_t head, image, tail, stride;
    uint8_t *expected; /* the head */
    size_t integers;
    size_t *places; /* of the varints within the tail */
    int instruction;
    uint32_t prefix; /* the CRC so far at the first pixel */
    size_t lane;
    uint32_t shift[4][256];
#if defined(__x86_64__)
    int folding;
    Folds folds;
#endif
} Layout;

static const char NAME[] = "reader._core.Layout";

static void free_layout(PyObject *capsule) {
    Layout *layout = PyCapsule_GetPointer(capsule, NAME);
    free(layout->expected);
    free(layout->places);
    free(layout);
}

PyDoc_STRVAR(layout_doc,
"layout(head, image_bytes, tail_bytes, places, instructions)\n--\n\n"
"Describe records: the bytes before their pixels, the sizes of pixels and tail, and the places\n"
"of the integers within the tail. Where the processor can, it computes CRCs by an instruction of\n"
"its own if `instructions` is 1, and by multiplying polynomials if it is 2; if 0, by tables.");

static PyObject *make_layout(PyObject *self, PyObject *arguments) {
    (void)self;
    const char *head;
    Py_ssize_t head_bytes, image, tail;
    PyObject *places;
    int instructions;
    if (!PyArg_ParseTuple(arguments, "y#nnO!i", &head, &head_bytes, &image, &tail, &PyTuple_Type,
                          &places, &instructions))
        return NULL;
    if (head_bytes < HEADER || image < 1 || tail < 0 || image > PY_SSIZE_T_MAX / 4) {
        PyErr_SetString(PyExc_ValueError, "sizes out of range");
        return NULL;
    }
    Layout *layout = calloc(1, sizeof *layout);
    if (layout == NULL) return PyErr_NoMemory();
    layout->head = (size_t)head_bytes;
    layout->image = (size_t)image;
    layout->tail = (size_t)tail;
    layout->stride = layout->head + layout->image + layout->tail + FOOTER;
    layout->integers = (size_t)PyTuple_Size(places);
    layout->expected = malloc(layout->head);
    layout->places = malloc((layout->integers + 1) * sizeof *layout->places);
    if (layout->expected == NULL || layout->places == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    memcpy(layout->expected, head, layout->head);
    for (size_t i = 0; i < layout->integers; i++) {
        Py_ssize_t place = PyLong_AsSsize_t(PyTuple_GetItem(places, (Py_ssize_t)i));
        if (place == -1 && PyErr_Occurred()) goto fail;
        if (place < 0 || place > tail - VARINT) {
            PyErr_SetString(PyExc_ValueError, "an integer is not within the tail");
            goto fail;
        }
        layout->places[i] = (size_t)place;
    }
    layout->instruction = instructions > 0 && has_crc_instruction();
#ifdef TARGET_CRC
    if (layout->instruction) {
        layout->lane = layout->image / 24 * 8;
        if (layout->lane < 64) layout->lane = 0; /* too short for what the lanes cost */
        if (layout->lane) make_shift(layout->lane, layout->shift);
#if defined(__x86_64__)
        layout->folding = instructions > 1 && layout->image >= STEP && can_fold();
        if (layout->folding) make_folds(&layout->folds);
#endif
    }
#endif
    layout->prefix = crc_by_table(0xffffffff, layout->expected + HEADER, layout->head - HEADER);
    PyObject *capsule = PyCapsule_New(layout, NAME, free_layout);
    if (capsule != NULL) return capsule;
fail:
    free(layout->expected);
    free(layout->places);
    free(layout);
    return NULL;
}

/* ------------------------------------------------------------------ records */

/* Go on with a CRC over the pixels. */
static uint32_t pixels_crc(const Layout *layout, const uint8_t *pixels) {
#if defined(__x86_64__)
    if (layout->folding)
        return crc_by_folding(layout->prefix, pixels, layout->image, &layout->folds);
#endif
#ifdef TARGET_CRC
    if (layout->lane)
        return crc_in_lanes(layout->prefix, pixels, layout->image, layout->lane, layout->shift);
    if (layout->instruction) return crc_by_instruction(layout->prefix, pixels, layout->image);
#endif
    return crc_by_table(layout->prefix, pixels, layout->image);
}

/* The same while they are copied, and those at `ahead` are asked for. */
static uint32_t copy_pixels(const Layout *layout, uint8_t *to, const uint8_t *pixels,
                            uintptr_t ahead) {
#if defined(__x86_64__)
    if (layout->folding)
        return copy_by_folding(layout->prefix, to, pixels, layout->image, ahead, &layout->folds);
#endif
#ifdef TARGET_CRC
    if (layout->lane)
        return copy_in_lanes(layout->prefix, to, pixels, layout->image, ahead, layout->lane,
                             layout->shift);
#endif
    copy(to, pixels, layout->image, ahead);
    return pixels_crc(layout, to);
}

static uint32_t finish_crc(const Layout *layout, uint32_t crc, const uint8_t *tail) {
#ifdef TARGET_CRC
    if (layout->instruction) return mask(~crc_by_instruction(crc, tail, layout->tail));
#endif
    return mask(~crc_by_table(crc, tail, layout->tail));
}

static int64_t varint(const uint8_t *at) {
    int64_t value = 0;
    for (int i = 0; i < VARINT; i++) value |= (int64_t)(at[i] & 0x7f) << 7 * i;
    return value;
}

/* A division, so that the result is NumPy's to the last bit. */
static void scale_plainly(const uint8_t *restrict pixels, float *restrict out, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = (float)pixels[i] / 255.0f;
}

#if defined(__x86_64__)
/* Four times the bytes of the pixels, and the processor's cache is not where they are wanted: they
 * go past it. */
__attribute__((target("avx2"))) static void scale_past_cache(const uint8_t *restrict pixels,
                                                             float *restrict out, size_t size) {
    const __m256 most = _mm256_set1_ps(255.0f);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(pixels + i)));
        _mm256_stream_ps(out + i, _mm256_div_ps(_mm256_cvtepi32_ps(wide), most));
    }
    _mm_sfence();
    scale_plainly(pixels + i, out + i, size - i);
}
#endif

static void scale(const uint8_t *pixels, float *out, size_t size) {
#if defined(__x86_64__)
    if ((uintptr_t)out % 32 == 0 && __builtin_cpu_supports("avx2")) {
        scale_past_cache(pixels, out, size);
        return;
    }
#endif
    scale_plainly(pixels, out, size);
}

/* Read as much as there is room for in `buffers`; returns the bytes, or -1 with errno set. */
static ssize_t read_all(int file, struct iovec *buffers, int count, int64_t offset) {
    ssize_t done = 0;
    while (count) {
        ssize_t got = preadv(file, buffers, count, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += got;
        while (count && (size_t)got >= buffers->iov_len) {
            got -= (ssize_t)buffers->iov_len;
            buffers++, count--;
        }
        if (count) {
            buffers->iov_base = (uint8_t *)buffers->iov_base + got;
            buffers->iov_len -= (size_t)got;
        }
    }
    return done;
}

typedef struct {
    const Layout *layout;
    const int32_t *files;
    const int64_t *offsets;
    const int64_t *addresses; /* of records in a map; 0 for one that has to be read */
    uint8_t *pixels;          /* or, where that is NULL, */
    float *floats;
    int64_t *integers;
    int64_t *faults;
    int verify;
} Job;

static void finish(const Job *job, size_t number, const uint8_t *head, const uint8_t *pixels,
                   const uint8_t *tail, uint32_t crc) {
    const Layout *layout = job->layout;
    int wrong = memcmp(head, layout->expected, layout->head) != 0;
    if (job->verify) wrong |= finish_crc(layout, crc, tail) != load32(tail + layout->tail);
    job->faults[number] = wrong ? DAMAGED : FINE;
    int64_t *integers = job->integers + number * layout->integers;
    for (size_t k = 0; k < layout->integers; k++) integers[k] = varint(tail + layout->places[k]);
    if (job->floats) scale(pixels, job->floats + number * layout->image, layout->image);
}

/* Read records that lie one after the other, `count` from number `first` of the job on. */
static void read_run(const Job *job, size_t first, size_t count, uint8_t *margins,
                     uint8_t *scratch, struct iovec *buffers) {
    const Layout *layout = job->layout;
    size_t around = layout->head + layout->tail + FOOTER;
    uint8_t *pixels = job->pixels ? job->pixels + first * layout->image : scratch;
    for (size_t i = 0; i < count; i++) {
        uint8_t *margin = margins + i * around;
        buffers[3 * i] = (struct iovec){margin, layout->head};
        buffers[3 * i + 1] = (struct iovec){pixels + i * layout->image, layout->image};
        buffers[3 * i + 2] = (struct iovec){margin + layout->head, layout->tail + FOOTER};
    }
    ssize_t got = read_all(job->files[first], buffers, 3 * (int)count, job->offsets[first]);
    int error = got < 0 ? errno : 0;
    for (size_t i = 0; i < count; i++, got -= (ssize_t)layout->stride) {
        if (error || got < (ssize_t)layout->stride) {
            job->faults[first + i] = error ? -error : CUT + (got > 0 ? got : 0);
            continue;
        }
        const uint8_t *head = margins + i * around, *image = pixels + i * layout->image;
        uint32_t crc = job->verify ? pixels_crc(layout, image) : 0;
        finish(job, first + i, head, image, head + layout->head, crc);
    }
}

/* ------------------------------------------------------------------ maps */

/* Where this thread is copying from, and where to go on if that faults. */
static __thread __attribute__((tls_model("initial-exec"))) struct {
    volatile uintptr_t low, high;
    volatile sig_atomic_t chained;
    sigjmp_buf back;
} guard;

static struct sigaction previous;
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;

/* A fault of ours ends the copy; every other one is for whoever was there before. */
static void on_fault(int number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr;
    if (at >= guard.low && at < guard.high) siglongjmp(guard.back, 1);
    if (guard.chained || previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
        /* The instruction is tried again, and this time the process ends as it would have. */
        signal(number, SIG_DFL);
        return;
    }
    guard.chained = 1;
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(number, info, context);
    else
        previous.sa_handler(number);
    guard.chained = 0;
}

/* Make sure that faults come to us: another one may have taken the signal since. */
static int catch_faults(void) {
    struct sigaction found;
    if (sigaction(SIGBUS, NULL, &found)) return -1;
    if (found.sa_flags & SA_SIGINFO && found.sa_sigaction == on_fault) return 0;
    int failed = 0;
    pthread_mutex_lock(&installing);
    if (sigaction(SIGBUS, NULL, &found) == 0 &&
        !(found.sa_flags & SA_SIGINFO && found.sa_sigaction == on_fault)) {
        struct sigaction ours;
        memset(&ours, 0, sizeof ours);
        ours.sa_sigaction = on_fault;
        /* Not blocked within itself, since a jump does not come back to unblock it. */
        ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        previous = found;
        failed = sigaction(SIGBUS, &ours, NULL);
    }
    pthread_mutex_unlock(&installing);
    return failed;
}

/* Bytes that are asked for ahead: so many fit in the nearest cache beside those that are copied. */
enum { FAR = 1 << 14 };

/* Copy those records `first` to `stop` that a map holds. One that faults stays UNREAD. */
static void copy_mapped(const Job *job, size_t first, size_t stop, uint8_t *margin,
                        uint8_t *scratch) {
    const Layout *layout = job->layout;
    size_t rest = layout->tail + FOOTER;
    volatile size_t next = first;
    if (sigsetjmp(guard.back, 0)) {
        guard.low = guard.high = 0;
        next++;
    }
    for (size_t i = next; i < stop; i++) {
        const uint8_t *record = (const uint8_t *)(uintptr_t)job->addresses[i];
        if (record == NULL) continue;
        uint8_t *pixels = job->pixels ? job->pixels + i * layout->image : scratch;
        next = i;
        guard.low = (uintptr_t)record;
        guard.high = (uintptr_t)record + layout->stride;
        atomic_signal_fence(memory_order_seq_cst);
        /* The next record; of a large one, what comes next within it. */
        uintptr_t ahead = (uintptr_t)record + layout->head + FAR;
        if (layout->image <= FAR && i + 1 < stop)
            ahead = (uintptr_t)job->addresses[i + 1] + layout->head;
        uint32_t crc = 0;
        if (job->verify)
            crc = copy_pixels(layout, pixels, record + layout->head, ahead);
        else
            copy(pixels, record + layout->head, layout->image, ahead);
        memcpy(margin, record, layout->head);
        memcpy(margin + layout->head, record + layout->head + layout->image, rest);
        atomic_signal_fence(memory_order_seq_cst);
        guard.low = guard.high = 0;
        /* Within its last page a file that was cut reads as zeros, up to the record's last byte.
         * What is no file, but memory of ours, was never cut. */
        if (job->verify || job->files[i] < 0 || margin[layout->head + rest - 1] != 0)
            finish(job, i, margin, pixels, margin + layout->head, crc);
    }
}

/* Read records `first` to `stop`; returns -1 without memory. */
static int read_part(const Job *job, size_t first, size_t stop) {
    const Layout *layout = job->layout;
    size_t most = RUN_BYTES / layout->stride;
    if (most > MOST_BUFFERS / 3) most = MOST_BUFFERS / 3;
    if (most > stop - first) most = stop - first;
    if (most < 1) most = 1;
    size_t around = layout->head + layout->tail + FOOTER;
    size_t scratch = job->pixels ? 0 : layout->image;
    /* Mostly it is little. A child that is forked just now might wait for ever for an allocator that
     * a thread of its parent was in; the C library's own sees to that, and not every other one. */
    _Alignas(struct iovec) uint8_t little[1 << 14];
    size_t size = most * (around + scratch + 3 * sizeof(struct iovec));
    uint8_t *memory = size <= sizeof little ? little : malloc(size);
    if (memory == NULL) return -1;
    struct iovec *buffers = (struct iovec *)memory;
    uint8_t *margins = memory + most * 3 * sizeof *buffers;
    for (size_t i = first; i < stop; i++) job->faults[i] = UNREAD;
    sigset_t faults, old;
    sigemptyset(&faults);
    sigaddset(&faults, SIGBUS);
    /* A fault would end the process while the signal is blocked, or is another one's by now. */
    if (job->addresses && catch_faults() == 0 && pthread_sigmask(SIG_UNBLOCK, &faults, &old) == 0) {
        copy_mapped(job, first, stop, margins, margins + around);
        if (sigismember(&old, SIGBUS)) pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    for (size_t run; first < stop; first += run) {
        run = 1;
        if (job->faults[first] != UNREAD) continue;
        for (; run < most && first + run < stop; run++)
            if (job->faults[first + run] != UNREAD ||
                job->files[first + run] != job->files[first] ||
                job->offsets[first + run] - job->offsets[first] != (int64_t)(run * layout->stride))
                break;
        read_run(job, first, run, margins, margins + most * around, buffers);
    }
    if (memory != little) free(memory);
    return 0;
}

/* ------------------------------------------------------------------ threads */

/* A job is cut into parts, which a crew of threads takes one after the other, and the caller too
 * when it waits for the job. So a job is under way as soon as it is begun. Jobs are done in the
 * order in which they were begun, but for those whose callers wait. A child process has none of the
 * threads: it makes a crew of its own, and does alone what was begun before the fork. */
enum { MOST_HANDS = 3, PART_BYTES = 1 << 18 };
/* What comes from a slow disk is cut into as many parts as there may be requests in flight, and has
 * threads of its own besides, which mostly sleep. */
enum { MOST_DIVERS = 16 };
enum { STACK_BYTES = 1 << 18 };
/* Of more the kernel would read the start only. */
enum { PIECE = 1 << 17 };
/* A thread that sleeps takes some time to wake up: for so many turns it looks for work first. */
enum { TURNS = 200 };
/* Nanoseconds a record: from memory it takes less, and from a disk more. */
enum { QUICK = 20000 };

typedef struct Work {
    Job job; /* or, where it has no layout, advice for `size` bytes of a file, in pieces: */
    int file;
    int64_t offset, size;
    size_t count, part;
    int deep; /* from a slow disk */
    int process;
    /* Of others' threads, with `lock`: */
    size_t next; /* the first record that nobody has taken */
    int busy;    /* parts that are being read */
    int failed;
    int64_t nanoseconds, waits;
    struct Work *after;
} Work;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static _Atomic(Work *) queue; /* what has parts that nobody has taken */

/* Threads of a kind: how many there are, -1 before the first job of a process, and how many of them
 * sleep until work comes. */
typedef struct {
    int count, asleep;
    pthread_cond_t came;
} Crew;

static Crew hands = {-1, 0, PTHREAD_COND_INITIALIZER};
static Crew divers = {-1, 0, PTHREAD_COND_INITIALIZER}; /* they take deep work only */
static int process; /* counts the forks on the way to this one */

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* How often this thread gave up the processor to wait for something, at its last count. */
static __thread long known_waits;

static long count_waits(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage)) return 0;
    long more = usage.ru_nvcsw - known_waits;
    known_waits = usage.ru_nvcsw;
    return more;
}

static void unqueue(Work *work) {
    Work *one = atomic_load(&queue);
    if (one == work) {
        atomic_store(&queue, work->after);
        return;
    }
    for (; one; one = one->after)
        if (one->after == work) one->after = work->after;
}

/* Let the kernel begin to read pieces of a file. That waits where the disk's queue is full. */
static void advise_part(const Work *work, size_t first, size_t stop) {
    for (size_t i = first; i < stop; i++) {
        int64_t start = (int64_t)i * PIECE, left = work->size - start;
        posix_fadvise(work->file, work->offset + start, left < PIECE ? left : PIECE,
                      POSIX_FADV_WILLNEED);
    }
}

/* Read one more part. The caller has the lock, and has it again afterwards. */
static void take_part(Work *work) {
    size_t first = work->next, left = work->count - first;
    size_t stop = first + (left > work->part ? work->part : left);
    work->next = stop;
    work->busy++;
    if (stop == work->count) unqueue(work);
    pthread_mutex_unlock(&lock);
    int64_t begun = now();
    int failed = 0;
    if (work->job.layout)
        failed = read_part(&work->job, first, stop);
    else
        advise_part(work, first, stop);
    int64_t taken = now() - begun;
    /* Where it was quick it cannot have waited often. */
    long waits = taken > QUICK * (int64_t)(stop - first) ? count_waits() : 0;
    pthread_mutex_lock(&lock);
    work->failed |= failed;
    work->nanoseconds += taken;
    work->waits += waits;
    /* The last of it: with the lock given up, `work` may be gone. */
    if (--work->busy == 0 && work->next == work->count) pthread_cond_broadcast(&ended);
}

static void sleep_until_work(Crew *crew) {
    crew->asleep++;
    pthread_cond_wait(&crew->came, &lock);
    crew->asleep--;
    count_waits();
}

static void *serve(void *argument) {
    (void)argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        Work *work = atomic_load(&queue);
        if (work) {
            take_part(work);
            continue;
        }
        pthread_mutex_unlock(&lock);
        for (int i = 0; i < TURNS && !atomic_load(&queue); i++) sched_yield();
        pthread_mutex_lock(&lock);
        if (!atomic_load(&queue)) sleep_until_work(&hands);
    }
    return NULL;
}

static void *dive(void *argument) {
    (void)argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        Work *work = atomic_load(&queue);
        while (work && !work->deep) work = work->after;
        if (work)
            take_part(work);
        else
            sleep_until_work(&divers);
    }
    return NULL;
}

static void hire(Crew *crew, int wanted, void *(*work)(void *)) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_t detached;
    crew->count = 0;
    if (pthread_attr_init(&detached)) return;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the threads of others */
    for (; crew->count < wanted; crew->count++) {
        pthread_t thread;
        if (pthread_create(&thread, &detached, work, NULL)) break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&detached);
}

/* Make sure that there are threads for the work, and wake them; the caller has the lock. */
static void call(const Work *work) {
    if (hands.count < 0) {
        cpu_set_t cpus;
        int wanted = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus) - 1;
        hire(&hands, wanted < 1 ? 1 : wanted > MOST_HANDS ? MOST_HANDS : wanted, serve);
    }
    if (hands.asleep) pthread_cond_broadcast(&hands.came);
    if (!work->deep) return;
    if (divers.count < 0) hire(&divers, MOST_DIVERS, dive);
    if (divers.asleep) pthread_cond_broadcast(&divers.came);
}

/* In a child process there is none of the threads. */
static void forget_crew(void) {
    process++;
    atomic_store(&queue, NULL);
    pthread_mutex_init(&lock, NULL);
    for (Crew *crew = &hands; crew; crew = crew == &hands ? &divers : NULL) {
        crew->count = -1;
        crew->asleep = 0;
        pthread_cond_init(&crew->came, NULL);
    }
    pthread_cond_init(&ended, NULL);
    pthread_mutex_init(&installing, NULL);
}

static void begin_work(Work *work) {
    work->process = process;
    if (work->count == 0) return;
    pthread_mutex_lock(&lock);
    Work *before = NULL, *after = atomic_load(&queue);
    /* Whoever reads waits for it, and nobody for advice. */
    for (; after && (after->job.layout || !work->job.layout); after = after->after) before = after;
    work->after = after;
    if (before)
        before->after = work;
    else
        atomic_store(&queue, work);
    call(work);
    pthread_mutex_unlock(&lock);
}

/* Wait until nobody reads for it any more; the caller has the lock. */
static void wait_for_parts(Work *work) {
    for (int i = 0; i < TURNS && work->busy; i++) {
        pthread_mutex_unlock(&lock);
        sched_yield();
        pthread_mutex_lock(&lock);
    }
    while (work->busy) pthread_cond_wait(&ended, &lock);
}

/* Whether all of it was read. */
static int is_done(Work *work) {
    if (work->process != process) return 0;
    pthread_mutex_lock(&lock);
    int done = work->next == work->count && work->busy == 0;
    pthread_mutex_unlock(&lock);
    return done;
}

/* Do what is left of it. */
static void end_work(Work *work) {
    count_waits();
    pthread_mutex_lock(&lock);
    if (work->process != process) { /* begun by another process: nobody here has a part of it */
        work->process = process;
        work->next = 0;
        work->busy = 0;
    }
    while (work->next < work->count) take_part(work);
    wait_for_parts(work);
    pthread_mutex_unlock(&lock);
}

/* Begin no more parts of it, and wait for those that are being read. */
static void give_up_work(Work *work) {
    if (work->process != process) return;
    pthread_mutex_lock(&lock);
    if (work->next < work->count) unqueue(work);
    work->next = work->count;
    wait_for_parts(work);
    pthread_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------ Python */

static const char MAP[] = "reader._core.Map";

typedef struct {
    void *memory;
    size_t size;
} Map;

static void free_map(PyObject *capsule) {
    Map *map = PyCapsule_GetPointer(capsule, MAP);
    munmap(map->memory, map->size);
    free(map);
}

PyDoc_STRVAR(map_doc,
"map(file, size)\n--\n\n"
"Map the first `size` bytes of a file, for reading by `read`; returns the map, which is undone\n"
"when it is forgotten, and its address.");

static PyObject *make_map(PyObject *self, PyObject *arguments) {
    (void)self;
    int file;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "in", &file, &size)) return NULL;
    Map *map = malloc(sizeof *map);
    if (map == NULL) return PyErr_NoMemory();
    map->size = size > 0 ? (size_t)size : 0;
    map->memory = mmap(NULL, map->size, PROT_READ, MAP_SHARED, file, 0);
    if (map->memory == MAP_FAILED) {
        free(map);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    /* Else a record that is not in memory brings its neighbours along, which nobody asked for. */
    madvise(map->memory, map->size, MADV_RANDOM);
    PyObject *capsule = PyCapsule_New(map, MAP, free_map);
    if (capsule == NULL) {
        munmap(map->memory, map->size);
        free(map);
        return NULL;
    }
    return Py_BuildValue("NL", capsule, (long long)(uintptr_t)map->memory);
}

PyDoc_STRVAR(locate_doc,
"locate(ids, ends, ready, descriptors, bases, stride, files, offsets, addresses)\n--\n\n"
"Find records by their number in the set (int64): for each shard the end of its records in that\n"
"numbering (int64), whether it is ready (bool), its file descriptor (int32) and the address of its\n"
"map (int64) are given. Fills `files` (int32), `offsets` and `addresses` (int64). Returns 2, or 1\n"
"where a shard has no map, or 0 where one is not ready: then the arrays are not complete.");

/* Whether a buffer holds `count` items of `size` bytes, each where such an item may be. */
static int fits(const Py_buffer *buffer, size_t count, size_t size) {
    return (size_t)buffer->len == count * size && (uintptr_t)buffer->buf % size == 0;
}

static PyObject *locate(PyObject *self, PyObject *arguments) {
    (void)self;
    Py_buffer ids, ends, ready, descriptors, bases, files, offsets, addresses;
    Py_ssize_t stride;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*nw*w*w*", &ids, &ends, &ready, &descriptors, &bases,
                          &stride, &files, &offsets, &addresses))
        return NULL;
    PyObject *result = NULL;
    size_t count = (size_t)ids.len / 8, shards = (size_t)ends.len / 8;
    if (!fits(&ids, count, 8) || !fits(&files, count, 4) || !fits(&offsets, count, 8) ||
        !fits(&addresses, count, 8) || !fits(&ends, shards, 8) || !fits(&ready, shards, 1) ||
        !fits(&descriptors, shards, 4) || !fits(&bases, shards, 8)) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit each other");
        goto done;
    }
    const int64_t *end = ends.buf, *base = bases.buf;
    int found = 2;
    size_t shard = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t id = ((const int64_t *)ids.buf)[i];
        if (id < 0 || shards == 0 || id >= end[shards - 1]) {
            PyErr_Format(PyExc_IndexError, "no record %lld", (long long)id);
            goto done;
        }
        if (id >= end[shard] || (shard && id < end[shard - 1])) {
            size_t low = 0, high = shards - 1;
            while (low < high) {
                size_t middle = (low + high) / 2;
                if (id < end[middle])
                    high = middle;
                else
                    low = middle + 1;
            }
            shard = low;
        }
        int file = ((const int32_t *)descriptors.buf)[shard];
        if (file < 0 || !((const uint8_t *)ready.buf)[shard]) {
            found = 0;
            break;
        }
        int64_t offset = (id - (shard ? end[shard - 1] : 0)) * stride;
        ((int32_t *)files.buf)[i] = file;
        ((int64_t *)offsets.buf)[i] = offset;
        ((int64_t *)addresses.buf)[i] = base[shard] + offset;
        if (base[shard] == 0) found = 1;
    }
    result = PyLong_FromLong(found);
done:
    PyBuffer_Release(&ids);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&ready);
    PyBuffer_Release(&descriptors);
    PyBuffer_Release(&bases);
    PyBuffer_Release(&files);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&addresses);
    return result;
}

PyDoc_STRVAR(permute_doc,
"permute(keys, high_bits, low_bits, size, first, values)\n--\n\n"
"Fill `values` (int64) with what stands at the positions from `first` on in a permutation of\n"
"range(size): a Feistel network with a round for each of `keys` (uint64), as in\n"
"shardio/permutation.py.");

static PyObject *permute(PyObject *self, PyObject *arguments) {
    (void)self;
    Py_buffer keys, values;
    int high, low;
    unsigned long long size, first;
    if (!PyArg_ParseTuple(arguments, "y*iiKKw*", &keys, &high, &low, &size, &first, &values))
        return NULL;
    PyObject *result = NULL;
    const uint64_t multiplier = 0x9e3779b97f4a7c15, *key = keys.buf;
    size_t rounds = (size_t)keys.len / 8, count = (size_t)values.len / 8;
    int fit = fits(&keys, rounds, 8) && fits(&values, count, 8) && low > 0 && high > 0 &&
              high < 32 && low < 32 && rounds % 2 == 0;
    /* Else a value could be sent through for ever. */
    if (!fit || first > size || count > size - first || size > 1ULL << (high + low)) {
        PyErr_SetString(PyExc_ValueError, "no such permutation");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value = first + i;
        do {
            uint64_t left = value >> low, right = value & ((1ULL << low) - 1);
            for (size_t k = 0; k < rounds; k += 2) {
                uint64_t mixed = (right ^ key[k]) * multiplier;
                left ^= (mixed ^ mixed >> 32) * multiplier >> (64 - high);
                mixed = (left ^ key[k + 1]) * multiplier;
                right ^= (mixed ^ mixed >> 32) * multiplier >> (64 - low);
            }
            value = left << low | right;
        } while (value >= size);
        ((int64_t *)values.buf)[i] = (int64_t)value;
    }
    result = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&keys);
    PyBuffer_Release(&values);
    return result;
}

PyDoc_STRVAR(labels_doc,
"labels(integers, most, labels)\n--\n\n"
"Turn (n, heads + 1) integers (int64) into (heads, n) labels (int32). Returns whether none is\n"
"larger than `most` of its head (int64).");

static PyObject *make_labels(PyObject *self, PyObject *arguments) {
    (void)self;
    Py_buffer integers, most, labels;
    if (!PyArg_ParseTuple(arguments, "y*y*w*", &integers, &most, &labels)) return NULL;
    PyObject *result = NULL;
    size_t heads = (size_t)most.len / 8, count = (size_t)integers.len / (8 * (heads + 1));
    if (!fits(&integers, count * (heads + 1), 8) || !fits(&most, heads, 8) ||
        !fits(&labels, count * heads, 4)) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit each other");
        goto done;
    }
    int wrong = 0;
    for (size_t head = 0; head < heads; head++) {
        const int64_t *from = (const int64_t *)integers.buf + head;
        int64_t limit = ((const int64_t *)most.buf)[head];
        int32_t *to = (int32_t *)labels.buf + head * count;
        for (size_t i = 0; i < count; i++, from += heads + 1) {
            wrong |= *from > limit;
            to[i] = (int32_t)*from;
        }
    }
    result = PyBool_FromLong(!wrong);
done:
    PyBuffer_Release(&integers);
    PyBuffer_Release(&most);
    PyBuffer_Release(&labels);
    return result;
}

/* Work, and what it needs from Python. */
typedef struct {
    Work work;
    PyObject *layout, *kept;
    Py_buffer files, offsets, images, integers, faults, addresses;
} Read;

static void free_read(Read *read) {
    PyBuffer_Release(&read->files); /* nothing, where it was never got */
    PyBuffer_Release(&read->offsets);
    PyBuffer_Release(&read->images);
    PyBuffer_Release(&read->integers);
    PyBuffer_Release(&read->faults);
    PyBuffer_Release(&read->addresses);
    Py_XDECREF(read->layout);
    Py_XDECREF(read->kept);
    free(read);
}

/* Make the work that the arguments of `begin` and `read` describe. */
static Read *make_read(PyObject *arguments) {
    PyObject *capsule, *mapped, *kept = NULL;
    int scaled, verify, deep = 0;
    Read *read = calloc(1, sizeof *read);
    if (read == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "Oy*y*Ow*pw*w*p|pO", &capsule, &read->files, &read->offsets,
                          &mapped, &read->images, &scaled, &read->integers, &read->faults, &verify,
                          &deep, &kept)) {
        free(read); /* what had been parsed was released */
        return NULL;
    }
    Layout *layout = PyCapsule_GetPointer(capsule, NAME);
    if (layout == NULL) goto fail;
    if (mapped != Py_None && PyObject_GetBuffer(mapped, &read->addresses, PyBUF_SIMPLE)) goto fail;
    size_t count = (size_t)read->files.len / sizeof(int32_t);
    size_t image = layout->image * (scaled ? sizeof(float) : 1);
    if (!fits(&read->files, count, 4) || !fits(&read->offsets, count, 8) ||
        !fits(&read->faults, count, 8) || !fits(&read->integers, count * layout->integers, 8) ||
        (read->addresses.obj && !fits(&read->addresses, count, 8)) ||
        (size_t)read->images.len / image < count ||
        (scaled && (uintptr_t)read->images.buf % sizeof(float))) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit each other");
        goto fail;
    }
    read->layout = Py_NewRef(capsule);
    read->kept = Py_XNewRef(kept);
    read->work = (Work){
        .job = {
            .layout = layout,
            .files = read->files.buf,
            .offsets = read->offsets.buf,
            .addresses = read->addresses.buf,
            .pixels = scaled ? NULL : read->images.buf,
            .floats = scaled ? read->images.buf : NULL,
            .integers = read->integers.buf,
            .faults = read->faults.buf,
            .verify = verify,
        },
        .count = count,
        .part = PART_BYTES / layout->stride + 1,
        .deep = deep,
    };
    size_t part = count / MOST_DIVERS + 1;
    if (deep && part < read->work.part) read->work.part = part;
    return read;
fail:
    free_read(read);
    return NULL;
}

/* Wait for the work; returns how many records are not fine, or -1 and an error. */
static Py_ssize_t end_read(Read *read) {
    Work *work = &read->work;
    if (!is_done(work)) {
        Py_BEGIN_ALLOW_THREADS
        end_work(work);
        Py_END_ALLOW_THREADS
    }
    if (work->failed) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t wrong = 0;
    for (size_t i = 0; i < work->count; i++) wrong += work->job.faults[i] != FINE;
    return wrong;
}

PyDoc_STRVAR(read_doc,
"read(layout, files, offsets, addresses, images, scaled, integers, faults, verify)\n--\n\n"
"Read records: of each its file descriptor (int32), the byte at which it starts (int64), and its\n"
"address in a map (int64), or None for all. `images` is filled with pixels (uint8) or, `scaled`,\n"
"with pixels / 255 (float32), `integers` (int64) with the integers of each, and `faults` (int64)\n"
"with 0 for a record that is fine, 1 for one that is damaged, 2 + n where its file ended after n\n"
"bytes of it, and -errno. Returns how many are not fine.");

static PyObject *read_records(PyObject *self, PyObject *arguments) {
    (void)self;
    Read *read = make_read(arguments);
    if (read == NULL) return NULL;
    if (read->work.count > read->work.part) { /* less is done sooner than told */
        begin_work(&read->work);
    } else {
        read->work.process = process;
    }
    Py_ssize_t wrong = end_read(read);
    free_read(read);
    return wrong < 0 ? NULL : PyLong_FromSsize_t(wrong);
}

static const char READ[] = "reader._core.Read";

static void free_read_capsule(PyObject *capsule) {
    Read *read = PyCapsule_GetPointer(capsule, READ);
    Py_BEGIN_ALLOW_THREADS
    give_up_work(&read->work);
    Py_END_ALLOW_THREADS
    free_read(read);
}

PyDoc_STRVAR(begin_doc,
"begin(layout, files, offsets, addresses, images, scaled, integers, faults, verify, deep, kept)\n"
"--\n\n"
"Begin to `read`, and return at once what `wait` takes; forgotten, it ends without being waited\n"
"for. From a slow disk, `deep`, many reads are under way at once. `kept` lives as long.");

static PyObject *begin_read(PyObject *self, PyObject *arguments) {
    (void)self;
    Read *read = make_read(arguments);
    if (read == NULL) return NULL;
    PyObject *capsule = PyCapsule_New(read, READ, free_read_capsule);
    if (capsule == NULL)
        free_read(read);
    else
        begin_work(&read->work);
    return capsule;
}

/* Whether the kernel has a part of a file in its cache, as far as it says of some bytes; not of the
 * first and the last, which share pages with what is beside them. */
static int is_cached(int file, int64_t offset, int64_t size) {
    for (int eighth = 1; eighth < 8; eighth += 2) {
        uint8_t byte;
        struct iovec buffer = {&byte, 1};
        off_t place = (off_t)(offset + size * eighth / 8);
        if (preadv2(file, &buffer, 1, place, RWF_NOWAIT) != 1) return 0;
    }
    return 1;
}

PyDoc_STRVAR(advise_doc,
"advise(file, offset, size, kept)\n--\n\n"
"Let the kernel read a part of a file ahead, and return at once what has to be kept until it has\n"
"been; or None, where it was read before. `kept` lives as long.");

static PyObject *advise(PyObject *self, PyObject *arguments) {
    (void)self;
    int file;
    long long offset, size;
    PyObject *kept;
    if (!PyArg_ParseTuple(arguments, "iLLO", &file, &offset, &size, &kept)) return NULL;
    if (size <= 0 || size > INT64_MAX / 8 || is_cached(file, offset, size)) Py_RETURN_NONE;
    Read *read = calloc(1, sizeof *read);
    if (read == NULL) return PyErr_NoMemory();
    read->work = (Work){.file = file, .offset = offset, .size = size, .deep = 1};
    /* One thread for all of it: in this order the pieces become large requests. */
    read->work.part = read->work.count = (size_t)((size + PIECE - 1) / PIECE);
    PyObject *capsule = PyCapsule_New(read, READ, free_read_capsule);
    if (capsule == NULL) {
        free(read);
        return NULL;
    }
    read->kept = Py_NewRef(kept);
    begin_work(&read->work);
    return capsule;
}

PyDoc_STRVAR(wait_doc,
"wait(begun)\n--\n\n"
"Wait until what was begun is done, and help with it. Returns how many records are not fine, the\n"
"seconds that all threads took for it, and how often they had to wait for the storage.");

static PyObject *wait_read(PyObject *self, PyObject *capsule) {
    (void)self;
    Read *read = PyCapsule_GetPointer(capsule, READ);
    if (read == NULL) return NULL;
    if (read->layout == NULL) {
        PyErr_SetString(PyExc_ValueError, "advice is not waited for");
        return NULL;
    }
    Py_ssize_t wrong = end_read(read);
    if (wrong < 0) return NULL;
    return Py_BuildValue("ndL", wrong, (double)read->work.nanoseconds / 1e9,
                         (long long)read->work.waits);
}

static PyMethodDef methods[] = {
    {"layout", make_layout, METH_VARARGS, layout_doc},
    {"map", make_map, METH_VARARGS, map_doc},
    {"locate", locate, METH_VARARGS, locate_doc},
    {"read", read_records, METH_VARARGS, read_doc},
    {"begin", begin_read, METH_VARARGS, begin_doc},
    {"advise", advise, METH_VARARGS, advise_doc},
    {"wait", wait_read, METH_O, wait_doc},
    {"permute", permute, METH_VARARGS, permute_doc},
    {"labels", make_labels, METH_VARARGS, labels_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "reader._core", "Reads records of fixed size, compiled.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__core(void) {
    make_table();
    pthread_atfork(NULL, NULL, forget_crew);
    return PyModule_Create(&module);
}
