/* L1 distances and the gradient of their first argument, one thread; layer.py compiles and calls it.

   Vectors are of 16 floats: the compiler splits them where the machine's are shorter. K and O are
   multiples of 32 and every array is aligned for float alone. */

#include <cstring>

typedef float floats __attribute__((vector_size(64)));
typedef int ints __attribute__((vector_size(64)));

#define LANES 16
#define ROWS 6

static inline floats load(const float *at) {
  floats value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

static inline void store(float *at, floats value) { std::memcpy(at, &value, sizeof value); }

static inline floats magnitude(floats value) { return (floats)((ints)value & 0x7fffffff); }

static inline floats clamp(floats value) {
  const floats one = floats{} + 1.0f;
  value = value < one ? value : one;
  return value > -one ? value : -one;
}

/* y[n][o] = sum over k of |x[n][k] - w[k][o]| for `rows` rows. */
static inline __attribute__((always_inline)) void distances(
    int rows, long K, long O, const float *x, const float *w, float *y) {
  floats sums[ROWS][2] = {};
  for (long k = 0; k < K; k++) {
    floats low = load(w + k * O), high = load(w + k * O + LANES);
#pragma GCC unroll 6
    for (int n = 0; n < rows; n++) {
      float pixel = x[n * K + k];
      sums[n][0] += magnitude(pixel - low);
      sums[n][1] += magnitude(pixel - high);
    }
  }
#pragma GCC unroll 6
  for (int n = 0; n < rows; n++) {
    store(y + n * O, sums[n][0]);
    store(y + n * O + LANES, sums[n][1]);
  }
}

extern "C" void l1_forward(long N, long K, long O, const float *x, const float *w, float *y) {
  for (long o = 0; o < O; o += 2 * LANES) {
    long n = 0;
    for (; n + ROWS <= N; n += ROWS) distances(ROWS, K, O, x + n * K, w + o, y + n * O + o);
    for (; n < N; n++) distances(1, K, O, x + n * K, w + o, y + n * O + o);
  }
}

/* gx[n][k] = sum over o of g[n][o] clamp(w[o][k] - x[n][k], -1, 1) for `rows` rows. */
static inline __attribute__((always_inline)) void gradients(
    int rows, long K, long O, const float *x, const float *w, const float *g, float *gx) {
  floats sums[ROWS][2] = {}, pixels[ROWS][2];
#pragma GCC unroll 6
  for (int n = 0; n < rows; n++) {
    pixels[n][0] = load(x + n * K);
    pixels[n][1] = load(x + n * K + LANES);
  }
  for (long o = 0; o < O; o++) {
    floats low = load(w + o * K), high = load(w + o * K + LANES);
#pragma GCC unroll 6
    for (int n = 0; n < rows; n++) {
      float slope = g[n * O + o];
      sums[n][0] += slope * clamp(low - pixels[n][0]);
      sums[n][1] += slope * clamp(high - pixels[n][1]);
    }
  }
#pragma GCC unroll 6
  for (int n = 0; n < rows; n++) {
    store(gx + n * K, sums[n][0]);
    store(gx + n * K + LANES, sums[n][1]);
  }
}

extern "C" void l1_backward(
    long N, long K, long O, const float *x, const float *w, const float *g, float *gx) {
  for (long k = 0; k < K; k += 2 * LANES) {
    long n = 0;
    for (; n + ROWS <= N; n += ROWS)
      gradients(ROWS, K, O, x + n * K + k, w + k, g + n * O, gx + n * K + k);
    for (; n < N; n++) gradients(1, K, O, x + n * K + k, w + k, g + n * O, gx + n * K + k);
  }
}
