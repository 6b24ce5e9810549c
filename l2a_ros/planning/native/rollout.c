// SPDX-License-Identifier: Apache-2.0
/* Rolls many candidates through a dense ReLU network.
 *
 * Every thread takes a block of candidates through all steps before it takes the next one: no barrier per step, and a
 * core that something else keeps busy simply takes fewer blocks. Within a block each layer is a product of a tile of
 * candidates (rows) and a panel of outputs whose sums stay in registers. The first layer and the sums are in single
 * precision also where the rest is in bfloat16: states are not normalised, and what matters of a voltage or a height
 * would be rounded away. The choice of instructions is made at run time, so one build serves every machine.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* What a kernel's tiles look like, and its precision; in step with native_rollout.py. */
enum { PORTABLE = 0, AVX2 = 1, AVX512 = 2, AVX512_BF16 = 3 };

typedef struct {
    int32_t inputs, outputs;
    const void *weights; /* packed by l2a_pack */
    const float *bias;   /* padded to whole panels */
} Layer;

typedef struct {
    int32_t states, actions;        /* elements of each */
    int32_t seen_count;             /* state elements that enter the network, before the actions */
    int32_t turned_count;           /* pairs of elements that turn with the heading */
    int32_t circle_count;           /* pairs that are the cosine and sine of an angle */
    int32_t yaw_cosine, yaw_sine;   /* negative: the network sees the state as it is */
    const int32_t *seen;
    const int32_t *turned;
    const int32_t *circles;
} Frame;

typedef struct {
    int32_t kernel, layers, count, horizon, block;
    const Layer *layer;
    const Frame *frame;
    const float *start;    /* (states) of all candidates */
    const float *actions;  /* (count, horizon, actions) */
    float *trajectory;     /* (count, horizon, states) */
    atomic_int next;       /* first candidate that nobody has taken */
    atomic_int failed;
} Job;

enum { LARGEST_PANEL = 32, ALIGNMENT = 64 };

static int panel_width(int kernel) { return kernel >= AVX512 ? 32 : 16; }
static int tile_rows(int kernel) { return kernel >= AVX512 ? 14 : 6; }
static int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

/* Products of a layer: rows x inputs times packed weights, to single precision or to rectified bfloat16. */
typedef void (*Product)(const void *in, int in_stride, int rows, int inputs, const void *weights, const float *bias,
                        int panels, void *out, int out_stride, int rectify);

#define NAME portable_product
#define TARGET
#define BYTES 16
#define ROWS 2
#include "portable.inc"
#if defined(__x86_64__)
#define NAME avx2_product
#define TARGET __attribute__((target("avx2,fma")))
#define BYTES 32
#define ROWS 6
#include "portable.inc"
#include "avx512.inc"
#endif

static Product product_of(int kernel, int layer, int layers)
{
    (void)layer, (void)layers;
#if defined(__x86_64__)
    if (kernel == AVX512_BF16) {
        if (layer == 0) return layers == 1 ? avx512_product : avx512_product_to_half;
        return layer == layers - 1 ? avx512_half_product : avx512_half_product_to_half;
    }
    if (kernel == AVX512) return avx512_product;
    if (kernel == AVX2) return avx2_product;
#endif
    return portable_product;
}

/* Put states and actions of one step into the network's first input, turned into the robot's heading. */
static void fill_inputs(const Frame *frame, const float *state, const float *action, float *input, float *scratch)
{
    const float *from = state;
    if (frame->yaw_cosine >= 0) {
        const float c = state[frame->yaw_cosine], s = state[frame->yaw_sine];
        memcpy(scratch, state, sizeof(float) * (size_t)frame->states);
        for (int i = 0; i < frame->turned_count; i++) {
            const int x = frame->turned[2 * i], y = frame->turned[2 * i + 1];
            scratch[x] = c * state[x] + s * state[y];
            scratch[y] = c * state[y] - s * state[x];
        }
        from = scratch;
    }
    for (int i = 0; i < frame->seen_count; i++) input[i] = from[frame->seen[i]];
    for (int i = 0; i < frame->actions; i++) input[frame->seen_count + i] = action[i];
}

/* Add a predicted change, turned back, and put angle pairs back on the circle. */
static void add_change(const Frame *frame, const float *state, float *change, float *following)
{
    if (frame->yaw_cosine >= 0) {
        const float c = state[frame->yaw_cosine], s = state[frame->yaw_sine];
        for (int i = 0; i < frame->turned_count; i++) {
            const int x = frame->turned[2 * i], y = frame->turned[2 * i + 1];
            const float along = change[x], across = change[y];
            change[x] = c * along - s * across;
            change[y] = s * along + c * across;
        }
    }
    for (int i = 0; i < frame->states; i++) following[i] = state[i] + change[i];
    for (int i = 0; i < frame->circle_count; i++) {
        float *c = following + frame->circles[2 * i], *s = following + frame->circles[2 * i + 1];
        const float norm = sqrtf(*c * *c + *s * *s);
        /* Written so that what is not a number stays so. */
        const float divisor = norm < 1e-6f ? 1e-6f : norm;
        *c /= divisor;
        *s /= divisor;
    }
}

static void roll_block(const Job *job, int first, int count, int rows, float *input, int input_stride, void *const *hidden,
                       int hidden_stride, float *output, int output_stride, float *scratch)
{
    const Frame *frame = job->frame;
    const int width = panel_width(job->kernel);
    for (int step = 0; step < job->horizon; step++) {
        for (int i = 0; i < count; i++) {
            const size_t row = (size_t)(first + i) * (size_t)job->horizon + (size_t)step;
            const float *state = step == 0 ? job->start : job->trajectory + (row - 1) * (size_t)frame->states;
            fill_inputs(frame, state, job->actions + row * (size_t)frame->actions, input + i * input_stride, scratch);
        }
        const void *in = input;
        int in_stride = input_stride;
        for (int i = 0; i < job->layers; i++) {
            const Layer *layer = job->layer + i;
            const int is_last = i == job->layers - 1;
            void *out = is_last ? (void *)output : hidden[i % 2];
            const int out_stride = is_last ? output_stride : hidden_stride;
            product_of(job->kernel, i, job->layers)(in, in_stride, rows, layer->inputs, layer->weights, layer->bias,
                                                    round_up(layer->outputs, width) / width, out, out_stride, !is_last);
            in = out, in_stride = out_stride;
        }
        for (int i = 0; i < count; i++) {
            const size_t row = (size_t)(first + i) * (size_t)job->horizon + (size_t)step;
            const float *state = step == 0 ? job->start : job->trajectory + (row - 1) * (size_t)frame->states;
            add_change(frame, state, output + i * output_stride, job->trajectory + row * (size_t)frame->states);
        }
    }
}

static void *work(void *argument)
{
    Job *job = argument;
    const int width = panel_width(job->kernel);
    const int rows = round_up(job->block, tile_rows(job->kernel));
    int widest = 0;
    for (int i = 0; i < job->layers - 1; i++)
        if (job->layer[i].outputs > widest) widest = job->layer[i].outputs;
    /* An odd number of cache lines from row to row, so that rows do not compete for the same places of the cache. */
    const int input_stride = round_up(job->layer[0].inputs, 16) + 16;
    const int hidden_stride = round_up(widest, width) + 32;
    const int output_stride = round_up(job->layer[job->layers - 1].outputs, width) + 16;
    const size_t input_size = sizeof(float) * (size_t)(rows * input_stride);
    const size_t hidden_size = sizeof(float) * (size_t)(rows * hidden_stride);
    const size_t output_size = sizeof(float) * (size_t)(rows * output_stride);
    const size_t scratch_size = sizeof(float) * (size_t)round_up(job->frame->states, 16);
    char *memory = aligned_alloc(ALIGNMENT, input_size + 2 * hidden_size + output_size + scratch_size);
    if (memory == NULL) {
        atomic_store(&job->failed, 1);
        return NULL;
    }
    memset(memory, 0, input_size + 2 * hidden_size + output_size + scratch_size);
    float *input = (float *)memory;
    void *hidden[2] = {memory + input_size, memory + input_size + hidden_size};
    float *output = (float *)(memory + input_size + 2 * hidden_size);
    float *scratch = (float *)(memory + input_size + 2 * hidden_size + output_size);
    for (;;) {
        const int first = atomic_fetch_add(&job->next, job->block);
        if (first >= job->count) break;
        const int count = job->count - first < job->block ? job->count - first : job->block;
        roll_block(job, first, count, round_up(count, tile_rows(job->kernel)), input, input_stride, hidden, hidden_stride,
                   output, output_stride, scratch);
    }
    free(memory);
    return NULL;
}

/* Number of the interface below: another one, or none, is a build of other sources. */
int l2a_interface(void) { return 2; }

/* Tell whether this machine can run a kernel. */
int l2a_supports(int kernel)
{
    if (kernel == PORTABLE) return 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (kernel == AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
                           && __builtin_cpu_supports("avx512vl");
    if (kernel == AVX512) return has_avx512;
    if (kernel == AVX512_BF16) return has_avx512 && __builtin_cpu_supports("avx512bf16");
#endif
    return 0;
}

static uint16_t to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Bytes of one layer's packed weights. */
int64_t l2a_packed_bytes(int kernel, int layer, int inputs, int outputs)
{
    const int64_t padded = round_up(outputs, panel_width(kernel));
    const int is_half = kernel == AVX512_BF16 && layer > 0;
    return padded * (is_half ? 2 * (int64_t)round_up(inputs, 2) : 4 * (int64_t)inputs);
}

/* Order weights (outputs, inputs) as the kernel reads them: panels of outputs, in each the inputs one after the other
 * (in bfloat16 in pairs). Outputs beyond the last are those of a row of zeros. */
void l2a_pack(int kernel, int layer, int inputs, int outputs, const float *weights, const float *zeros, void *packed)
{
    const int width = panel_width(kernel), panels = round_up(outputs, width) / width;
    const int is_half = kernel == AVX512_BF16 && layer > 0;
    for (int panel = 0; panel < panels; panel++) {
        const float *row[LARGEST_PANEL];
        for (int j = 0; j < width; j++) {
            const int output = panel * width + j;
            row[j] = output < outputs ? weights + (size_t)output * (size_t)inputs : zeros;
        }
        if (is_half) {
            uint16_t *to = (uint16_t *)packed + (size_t)panel * (size_t)((inputs + 1) / 2 * width * 2);
            int i = 0;
#if defined(__x86_64__)
            i = avx512_pack_half(row, inputs, to);
#endif
            for (; i < inputs; i += 2)
                for (int j = 0; j < width; j++) {
                    to[i * width + 2 * j] = to_half(row[j][i]);
                    to[i * width + 2 * j + 1] = i + 1 < inputs ? to_half(row[j][i + 1]) : 0;
                }
        } else {
            float *to = (float *)packed + (size_t)panel * (size_t)(inputs * width);
            int i = 0;
#if defined(__x86_64__)
            if (kernel >= AVX512) i = avx512_pack(row, inputs, to);
#endif
            for (; i < inputs; i++)
                for (int j = 0; j < width; j++) to[i * width + j] = row[j][i];
        }
    }
}

/* Roll all candidates out; returns 0, or 1 if memory was short. */
int l2a_rollout(int kernel, int layers, const Layer *layer, const Frame *frame, int count, int horizon, int block,
                int threads, const float *start, const float *actions, float *trajectory)
{
    Job job = {.kernel = kernel, .layers = layers, .count = count, .horizon = horizon, .block = block,
               .layer = layer, .frame = frame, .start = start, .actions = actions,
               .trajectory = trajectory};
    atomic_init(&job.next, 0);
    atomic_init(&job.failed, 0);
    enum { MOST_THREADS = 64 };
    pthread_t others[MOST_THREADS];
    int started = 0;
    /* Threads of this call alone: to start one takes as long as to wake one, and none is left to look after. */
    for (int i = 1; i < threads && i < MOST_THREADS; i++) {
        if (pthread_create(&others[started], NULL, work, &job) != 0) break;
        started++;
    }
    work(&job);
    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
    return atomic_load(&job.failed);
}
