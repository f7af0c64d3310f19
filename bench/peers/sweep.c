/* Full-batch gradient descent of many networks, each at its own learning rate, as one would write
 * it by hand in C: a network in each lane of a vector, and the whole run of LANES networks
 * before the next ones, so that their parameters and activations stay in the first cache.
 *
 * Everything about the network is a compile-time constant (by_c.py passes them with -D), and all
 * loops over it are unrolled. Tanh on every layer, the sum of squared errors.
 *
 * Start reading at sweep() at the end, then step().
 *
 *   LANES            doubles in a vector
 *   SAMPLES, INPUTS, OUTPUTS, WIDEST (the widest layer), DEPTH (layers), PARAMETERS
 *   LAYERS           LAYER(number, inputs, outputs, 1 for tanh, first parameter) of each layer
 *   LAYERS_BACK      the same from the last to the first
 */
#include "simd.h"

typedef vector samples[SAMPLES]; /* a number for each sample, of LANES networks */

static vector parameters[PARAMETERS];
static samples units[DEPTH + 1][WIDEST];  /* outputs of each layer; the first are the inputs */
static samples errors[DEPTH + 1][WIDEST]; /* the loss's derivative by outputs, then by sums */
static double targets[OUTPUTS][SAMPLES];

INLINE void forward(const int layer, const int nin, const int nout, const int first) {
    EACH(i, nout) {
        const vector *w = parameters + first + i * (nin + 1);
        samples sum;
        EACH(s, SAMPLES) sum[s] = w[nin];
        EACH(j, nin) EACH(s, SAMPLES) sum[s] += w[j] * units[layer][j][s];
        EACH(s, SAMPLES) units[layer + 1][i][s] = tanh_of(sum[s]);
    }
}

/* The loss; its derivative by each output is left in the last row of errors. */
INLINE vector loss_of(void) {
    vector loss = {0};
    EACH(i, OUTPUTS) EACH(s, SAMPLES) {
        vector difference = units[DEPTH][i][s] - targets[i][s];
        loss += difference * difference;
        errors[DEPTH][i][s] = 2.0 * difference;
    }
    return loss;
}

/* The derivatives of the layer before, then the update: each weight is read for the one, and read
 * and written for the other, and no derivative by a weight ever leaves its register. */
INLINE void backward(const int layer, const int nin, const int nout, const int first,
                     const vector rate) {
    samples *error = errors[layer + 1];
    EACH(i, nout) EACH(s, SAMPLES) {
        vector out = units[layer + 1][i][s];
        error[i][s] *= 1.0 - out * out;
    }
    if (layer) EACH(j, nin) {
        samples sum = {0};
        EACH(i, nout) EACH(s, SAMPLES)
            sum[s] += parameters[first + i * (nin + 1) + j] * error[i][s];
        EACH(s, SAMPLES) errors[layer][j][s] = sum[s];
    }
    EACH(i, nout) {
        vector *w = parameters + first + i * (nin + 1), slope = {0};
        EACH(j, nin) {
            vector by_weight = {0};
            EACH(s, SAMPLES) by_weight += error[i][s] * units[layer][j][s];
            w[j] -= rate * by_weight;
        }
        EACH(s, SAMPLES) slope += error[i][s];
        w[nin] -= rate * slope;
    }
}

INLINE vector step(const vector rate) {
#define LAYER(layer, nin, nout, squash, first) forward(layer, nin, nout, first);
    LAYERS
#undef LAYER
    vector loss = loss_of();
#define LAYER(layer, nin, nout, squash, first) backward(layer, nin, nout, first, rate);
    LAYERS_BACK
#undef LAYER
    return loss;
}

void set_data(const double *x, const double *y) {
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < INPUTS; i++) units[0][i][s] = spread(x[s * INPUTS + i]);
        for (int i = 0; i < OUTPUTS; i++) targets[i][s] = y[s * OUTPUTS + i];
    }
}

/* Networks that start from p, one at each rate; their number is a multiple of LANES. losses,
 * networks by steps, gets the loss of each step, which is that before its update. */
void sweep(const double *p, const double *rates, int64_t networks, int64_t steps, double *losses) {
    for (int64_t m = 0; m < networks; m += LANES) {
        vector rate;
        memcpy(&rate, rates + m, sizeof rate);
        for (int i = 0; i < PARAMETERS; i++) parameters[i] = spread(p[i]);
        for (int64_t k = 0; k < steps; k++) {
            vector loss = step(rate);
            EACH(l, LANES) losses[(m + l) * steps + k] = loss[l];
        }
    }
}
