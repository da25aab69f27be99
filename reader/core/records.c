#include "records.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* What was read is still in the processor's cache when its checksum is computed. */
enum { RUN_BYTES = 1 << 18, MAX_BUFFERS = 1024 };
static const int64_t UNREAD = INT64_MIN; /* not yet */

static uint32_t load32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
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

static void finish(const Job *job, size_t number, const uint8_t *head, const uint8_t *pixels,
                   const uint8_t *tail, uint32_t crc) {
    const Layout *layout = job->layout;
    int wrong = memcmp(head, layout->expected, layout->head) != 0;
    if (job->verify) wrong |= finish_crc(&layout->crc, crc, tail, layout->tail) != load32(tail + layout->tail);
    job->faults[number] = wrong ? DAMAGED : FINE;
    int64_t *integers = job->integers + number * layout->integers;
    for (size_t k = 0; k < layout->integers; k++) {
        const uint8_t *at = tail + layout->places[k];
        integers[k] = layout->widths[k] == VARINT ? varint(at) : (int64_t)load32(at);
    }
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
        uint32_t crc = job->verify ? pixels_crc(&layout->crc, image) : 0;
        finish(job, first + i, head, image, head + layout->head, crc);
    }
}

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
            crc = copy_pixels(&layout->crc, pixels, record + layout->head, ahead);
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

int read_part(const Job *job, size_t first, size_t stop) {
    const Layout *layout = job->layout;
    size_t most = RUN_BYTES / layout->stride;
    if (most > MAX_BUFFERS / 3) most = MAX_BUFFERS / 3;
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

void forget_record_locks(void) { pthread_mutex_init(&installing, NULL); }
