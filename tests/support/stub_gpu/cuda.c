/* libcuda.so.1 without a card: the driver's real ABI over streams that are only busy until a moment of the monotonic clock.
 *
 * A "kernel" is cuLaunchKernel with its duration in nanoseconds as the function pointer: it starts when its stream is free and takes
 * that long, so waiting really waits. Legacy-stream order is kept: stream 0 waits for blocking streams and they for it.
 * A function of a module takes its first parameter, nanoseconds, instead.
 * NVIDIA_STUB_DEVICES is the number of devices (1); NVIDIA_STUB_NO_WAIT=1 makes stream wait values unsupported.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OK 0
#define INVALID_VALUE 1
#define NOT_INITIALIZED 3
#define INVALID_CONTEXT 201
#define NOT_READY 600
#define NOT_SUPPORTED 801
#define MAX_DEVICES 8
#define MAX_STREAMS 64
#define MAX_WAITING 256
#define NON_BLOCKING 1
#define OF_MODULE 1
#define BYTES_PER_NS 1000 /* 1 TB/s */

typedef struct { int64_t at; int recorded; } Event;
typedef struct { int64_t ns; Event *event; } Operation;
typedef struct { int used, non_blocking; int64_t busy; const volatile uint32_t *gate; uint32_t wanted; Operation waiting[MAX_WAITING]; int count; } Stream;
typedef struct { int device, active; Stream streams[MAX_STREAMS]; int64_t flushed; } Context;

static Context contexts[MAX_DEVICES];
static __thread Context *stack[16];
static __thread int depth;
static int initialised;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int devices(void) {
    const char *given = getenv("NVIDIA_STUB_DEVICES");
    int count = given ? atoi(given) : 1;
    return count > MAX_DEVICES ? MAX_DEVICES : count;
}

static Context *current(void) { return depth ? stack[depth - 1] : NULL; }

static Stream *stream_of(Context *context, void *handle) {
    uintptr_t index = (uintptr_t)handle;
    if (index == 1 || index == 2) index = 0; /* CU_STREAM_LEGACY, CU_STREAM_PER_THREAD */
    return index < MAX_STREAMS ? &context->streams[index] : NULL;
}

static int64_t start_of(Context *context, Stream *stream) {
    int64_t start = now();
    if (stream->busy > start) start = stream->busy;
    if (stream == &context->streams[0]) {
        for (int i = 1; i < MAX_STREAMS; i++)
            if (context->streams[i].used && !context->streams[i].non_blocking && context->streams[i].busy > start) start = context->streams[i].busy;
    } else if (!stream->non_blocking && context->streams[0].busy > start) {
        start = context->streams[0].busy;
    }
    return start;
}

static void put(Context *context, Stream *stream, Operation one) {
    if (stream->gate && stream->count < MAX_WAITING) { stream->waiting[stream->count++] = one; return; }
    stream->busy = start_of(context, stream) + one.ns;
    if (one.event) { one.event->at = stream->busy; one.event->recorded = 1; }
}

static int settle(Context *context, Stream *stream) {
    if (!stream->gate) return 1;
    if (*stream->gate < stream->wanted) return 0;
    stream->gate = NULL;
    int count = stream->count;
    stream->count = 0;
    for (int i = 0; i < count; i++) put(context, stream, stream->waiting[i]);
    return 1;
}

static void pause_until(int64_t when) {
    struct timespec t = {when / 1000000000LL, when % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0) {}
}

static void wait_for(Context *context, Stream *stream) {
    while (!settle(context, stream)) pause_until(now() + 100000);
    pause_until(start_of(context, stream));
}

int cuInit(unsigned flags) { (void)flags; initialised = 1; return OK; }
int cuDriverGetVersion(int *version) { *version = 12040; return OK; }
int cuDeviceGetCount(int *count) { if (!initialised) return NOT_INITIALIZED; *count = devices(); return OK; }
int cuDeviceGet(int *device, int index) { if (index >= devices()) return INVALID_VALUE; *device = index; return OK; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { (void)device; *value = attribute == 38 ? 50 << 20 : 0; return OK; }

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = contexts[device].active > 0; return OK; }
int cuDevicePrimaryCtxRetain(void **context, int device) {
    contexts[device].active++;
    contexts[device].device = device;
    contexts[device].streams[0].used = 1;
    *context = &contexts[device];
    return OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) { contexts[device].active--; return OK; }
int cuCtxPushCurrent_v2(void *context) { if (depth == 16) return INVALID_CONTEXT; stack[depth++] = context; return OK; }
int cuCtxPopCurrent_v2(void **context) { if (!depth) return INVALID_CONTEXT; *context = stack[--depth]; return OK; }
int cuCtxSetCurrent(void *context) { if (depth) stack[depth - 1] = context; else stack[depth++] = context; return OK; }
int cuCtxSynchronize(void) {
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    for (int i = 0; i < MAX_STREAMS; i++) if (context->streams[i].used) wait_for(context, &context->streams[i]);
    return OK;
}

int cuStreamCreate(void **stream, unsigned flags) {
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    for (int i = 3; i < MAX_STREAMS; i++)
        if (!context->streams[i].used) {
            memset(&context->streams[i], 0, sizeof(Stream));
            context->streams[i].used = 1;
            context->streams[i].non_blocking = flags & NON_BLOCKING;
            *stream = (void *)(uintptr_t)i;
            return OK;
        }
    return INVALID_VALUE;
}
int cuStreamSynchronize(void *stream) {
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    wait_for(context, stream_of(context, stream));
    return OK;
}
int cuStreamWaitValue32_v2(void *handle, uint64_t address, uint32_t value, unsigned flags) {
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    if (flags || getenv("NVIDIA_STUB_NO_WAIT")) return NOT_SUPPORTED;
    Stream *stream = stream_of(context, handle);
    stream->gate = (const volatile uint32_t *)(uintptr_t)address;
    stream->wanted = value;
    return OK;
}
int cuModuleLoadData(void **module, const void *image) { *module = (void *)image; return current() ? OK : INVALID_CONTEXT; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    *function = (void *)OF_MODULE;
    return strstr(module, name) ? OK : INVALID_VALUE;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *handle, void **parameters, void **extra) {
    (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)extra;
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    int64_t ns = (uintptr_t)function == OF_MODULE ? *(int64_t *)parameters[0] : (int64_t)(uintptr_t)function;
    put(context, stream_of(context, handle), (Operation){ns, NULL});
    return OK;
}

int cuEventCreate(void **event, unsigned flags) { (void)flags; if (!current()) return INVALID_CONTEXT; *event = calloc(1, sizeof(Event)); return OK; }
int cuEventDestroy_v2(void *event) { free(event); return OK; }
int cuEventRecord(void *event, void *handle) {
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    put(context, stream_of(context, handle), (Operation){0, event});
    return OK;
}
int cuEventElapsedTime(float *milliseconds, void *start, void *end) {
    Event *first = start, *last = end;
    if (!first->recorded || !last->recorded || last->at > now()) return NOT_READY;
    *milliseconds = (float)((last->at - first->at) / 1e6);
    return OK;
}

int cuMemAlloc_v2(uint64_t *pointer, size_t bytes) { if (!current()) return INVALID_CONTEXT; *pointer = 0x7000000000ULL + bytes; return OK; }
int cuMemFree_v2(uint64_t pointer) { (void)pointer; return OK; }
int cuMemsetD8_v2(uint64_t pointer, unsigned char value, size_t bytes) {
    (void)pointer; (void)value;
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    context->flushed += bytes;
    put(context, &context->streams[0], (Operation){(int64_t)(bytes / BYTES_PER_NS), NULL});
    return OK;
}
int cuMemcpyDtoDAsync_v2(uint64_t target, uint64_t source, size_t bytes, void *handle) {
    (void)target; (void)source;
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    put(context, stream_of(context, handle), (Operation){(int64_t)(2 * bytes / BYTES_PER_NS), NULL});
    return OK;
}
int cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) { (void)flags; *pointer = calloc(1, bytes); return OK; }
int cuMemHostGetDevicePointer_v2(uint64_t *device, void *host, unsigned flags) { (void)flags; *device = (uint64_t)(uintptr_t)host; return OK; }

/* Not of the driver: how many bytes have been overwritten, for tests. */
int64_t stub_flushed(void) { return contexts[0].flushed; }
