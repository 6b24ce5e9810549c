// SPDX-License-Identifier: Apache-2.0
/* Rolls out with every kernel of this machine through networks of odd sizes, every array exactly as long as it has to be:
 * for a compiler that watches each access. Prints how many rollouts were made. */
#include <stdio.h>

#include "rollout.c"

enum { STATES = 5, ACTIONS = 2, SEEN = 3, MOST_LAYERS = 4 };

static float number(void) { return (float)rand() / (float)RAND_MAX - 0.5f; }

static float *numbers(size_t count)
{
    float *made = malloc(sizeof(float) * (count ? count : 1));
    if (made == NULL) abort();
    for (size_t i = 0; i < count; i++) made[i] = number();
    return made;
}

static void roll(int kernel, int layers, const int *sizes, int count, int horizon, int block, int threads, int turns)
{
    /* Position and yaw turn with the heading; the network sees the rest, of which one is a pair on the circle too. */
    const int32_t seen[SEEN] = {4, 2, 3}, turned[4] = {0, 1, 2, 3}, circles[2] = {2, 3};
    const Frame frame = {.states = STATES, .actions = ACTIONS, .seen_count = SEEN, .turned_count = turns ? 2 : 0,
                         .circle_count = 1, .yaw_cosine = turns ? 2 : -1, .yaw_sine = turns ? 3 : -1, .seen = seen,
                         .turned = turned, .circles = circles};
    Layer layer[MOST_LAYERS];
    void *owned[2 * MOST_LAYERS];
    for (int i = 0; i < layers; i++) {
        float *weights = numbers((size_t)sizes[i] * (size_t)sizes[i + 1]);
        void *packed = malloc((size_t)l2a_packed_bytes(kernel, i, sizes[i], sizes[i + 1]));
        if (packed == NULL) abort();
        float *zeros = calloc((size_t)sizes[i], sizeof(float));
        if (zeros == NULL) abort();
        l2a_pack(kernel, i, sizes[i], sizes[i + 1], weights, zeros, packed);
        free(weights), free(zeros);
        float *bias = numbers((size_t)round_up(sizes[i + 1], panel_width(kernel)));
        layer[i] = (Layer){sizes[i], sizes[i + 1], packed, bias};
        owned[2 * i] = packed, owned[2 * i + 1] = bias;
    }
    float *start = numbers(STATES), *actions = numbers((size_t)count * (size_t)horizon * ACTIONS);
    const size_t length = (size_t)count * (size_t)horizon * STATES;
    float *trajectory = malloc(sizeof(float) * length);
    if (trajectory == NULL) abort();
    for (size_t i = 0; i < length; i++) trajectory[i] = -12345.0f;
    if (l2a_rollout(kernel, layers, layer, &frame, count, horizon, block, threads, start, actions, trajectory)) abort();
    for (size_t i = 0; i < length; i++)
        if (trajectory[i] == -12345.0f) abort(); /* nobody has written it */
    for (int i = 0; i < 2 * layers; i++) free(owned[i]);
    free(start), free(actions), free(trajectory);
}

int main(void)
{
    const int widths[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 47, 64, 65}, counts[] = {1, 5, 6, 7, 13, 14, 15, 29, 85};
    const int blocks[] = {1, 6, 12, 14, 28, 84};
    int rollouts = 0;
    for (int kernel = PORTABLE; kernel <= AVX512_BF16; kernel++) {
        if (!l2a_supports(kernel)) continue;
        for (int layers = 1; layers <= MOST_LAYERS; layers++)
            for (int i = 0; i < 24; i++) {
                int sizes[MOST_LAYERS + 1] = {SEEN + ACTIONS};
                for (int j = 1; j < layers; j++) sizes[j] = widths[rand() % 12];
                sizes[layers] = STATES;
                roll(kernel, layers, sizes, counts[rand() % 9], 1 + rand() % 3, blocks[rand() % 6], 1 + rand() % 4, i % 2);
                rollouts++;
            }
    }
    printf("%d\n", rollouts);
    return 0;
}
