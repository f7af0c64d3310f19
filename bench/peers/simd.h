/* Vectors of LANES doubles, and tanh of all of them at once; by GCC's vector types. */
#include <stdint.h>
#include <string.h>

typedef double vector __attribute__((vector_size(8 * LANES)));
typedef int64_t bits __attribute__((vector_size(8 * LANES)));

#define INLINE static inline __attribute__((always_inline))
#define EACH(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (count); i++)

INLINE vector spread(double x) { return x - (vector){0}; }

INLINE vector where(bits mask, vector yes, vector no) {
    return (vector)(((bits)yes & mask) | ((bits)no & ~mask));
}

/* tanh a = m / (m + 2) with m = exp(2a) - 1, for a = |x|; from 20 on it is 1 in float64.
 *
 * 2a = k ln 2 + r with |r| <= ln 2 / 2; exp(r) - 1 is its Taylor polynomial to r**13 (the rest is
 * some 1e-17 of it), and m = 2**k (exp(r) - 1) + (2**k - 1) loses nothing where a is small.
 * Within 2.4 ulp of the true value on 100,000 points.
 */
INLINE vector tanh_of(vector x) {
    const vector to_integer = spread(0x1.8p52); /* the sum's last bits are then the integer */
    bits sign = (bits)x & (bits)spread(-0.0);
    vector a = (vector)((bits)x ^ sign);
    a = where(a > 20.0, spread(20.0), a); /* nan stays nan */
    vector shifted = a * (2.0 * 1.4426950408889634) + to_integer;
    vector k = shifted - to_integer;
    vector r = (a * 2.0 - k * 0x1.62e42fefa38p-1) - k * 0x1.ef35793c7673p-45; /* ln 2 in two */
    vector power = (vector)(((bits)shifted << 52) + (bits)spread(1.0));

    vector r2 = r * r, r4 = r2 * r2;
    vector low = (1.0 / 2 + r * (1.0 / 6)) + r2 * (1.0 / 24 + r * (1.0 / 120));
    vector mid = (1.0 / 720 + r * (1.0 / 5040)) + r2 * (1.0 / 40320 + r * (1.0 / 362880));
    vector high = (1.0 / 3628800 + r * (1.0 / 39916800)) +
                  r2 * (1.0 / 479001600 + r * (1.0 / 6227020800));
    vector exp_less_1 = r + r2 * (low + r4 * (mid + r4 * high));

    vector m = power * exp_less_1 + (power - 1.0);
    return (vector)((bits)(m / (m + 2.0)) | sign);
}
