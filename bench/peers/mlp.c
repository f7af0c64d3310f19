/* Full-batch gradient descent on a multi-layer perceptron, as one would write it by hand in C.
 *
 * Everything about the network is a compile-time constant (by_c.py passes them with -D), so
 * every loop has a fixed length. Samples lie side by side in vectors of LANES doubles; a panel
 * is so many vectors of samples as pass through the whole network together, small enough for
 * its activations to stay in the cache. Within a panel each layer is a matrix product, computed
 * in tiles whose sums stay in registers.
 *
 * Start reading at train() and step() at the end, then forward(), backward(), panel().
 *
 *   LANES, PANEL     doubles in a vector; vectors in a panel
 *   SAMPLES, INPUTS, OUTPUTS, WIDEST (the widest layer), DEPTH (layers), PARAMETERS
 *   HINGE            1 for the hinge loss, 0 for squared errors
 *   SCALE, DECAY     loss = SCALE * sum over samples + DECAY * sum of squared parameters
 *   LAYERS           LAYER(number, inputs, outputs, 1 for tanh, first parameter) of each layer
 *   LAYERS_BACK      the same from the last to the first
 *
 * Parameters are in the order of the lesson's model.parameters(): for each neuron its weights,
 * then its bias. A bias is the weight of a unit that is always 1.
 */
#include <stdint.h>
#include <string.h>

typedef double vector __attribute__((vector_size(8 * LANES)));
typedef int64_t bits __attribute__((vector_size(8 * LANES)));

#define INLINE static inline __attribute__((always_inline))
#define EACH(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (count); i++)

#define ROWS 4 /* a tile: neurons by vectors of samples */
#ifdef __AVX512VL__
#define COLUMNS 4 /* 16 sums, where there are 32 vector registers */
#else
#define COLUMNS 2
#endif

#define VECTORS ((SAMPLES + LANES - 1) / LANES)
#define PADDED ((PARAMETERS + LANES - 1) / LANES)

typedef vector row[PANEL];

static vector inputs[INPUTS][VECTORS], targets[OUTPUTS][VECTORS];
static vector weight[VECTORS];                 /* SCALE, or 0 in lanes that pad the last vector */
static row units[DEPTH + 1][WIDEST + 1];       /* outputs of each layer, then a row of ones */
static row errors[DEPTH + 1][WIDEST];          /* the loss's derivative by what tanh is given */
static union { double at[PADDED * LANES]; vector in[PADDED]; } parameters, gradient;

INLINE vector spread(double x) { return x - (vector){0}; }

INLINE vector where(bits mask, vector yes, vector no) {
    return (vector)(((bits)yes & mask) | ((bits)no & ~mask));
}

INLINE double total(vector v) {
    double lane[LANES];
    memcpy(lane, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        EACH(i, half) lane[i] += lane[i + half];
    return lane[0];
}

/* ---- tanh -------------------------------------------------------------------------------- */

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

/* ---- matrix products over a panel -------------------------------------------------------- */

typedef struct { const double *at; int down, along; } matrix;

INLINE double entry(matrix w, int i, int j) { return w.at[i * w.down + j * w.along]; }

/* to[i] = first(i) + sum over j < terms of w[i][j] from[j], where first is w[i][terms] or 0 */
INLINE void product_tile(const matrix w, const int rows, const int columns, const int terms,
                         const int biased, const row *from, row *to) {
    vector sum[ROWS][COLUMNS];
    EACH(i, rows) EACH(c, columns) sum[i][c] = spread(biased ? entry(w, i, terms) : 0.0);
    for (int j = 0; j < terms; j++)
        EACH(i, rows) {
            vector factor = spread(entry(w, i, j));
            EACH(c, columns) sum[i][c] += factor * from[j][c];
        }
    EACH(i, rows) EACH(c, columns) to[i][c] = sum[i][c];
}

INLINE void product_rows(const matrix w, const int rows, const int terms, const int biased,
                         const row *from, row *to, const int vectors) {
    int c = 0;
    for (; c + COLUMNS <= vectors; c += COLUMNS)
        product_tile(w, rows, COLUMNS, terms, biased, (const row *)&from[0][c], (row *)&to[0][c]);
    if (vectors % COLUMNS)
        product_tile(w, rows, vectors % COLUMNS, terms, biased, (const row *)&from[0][c],
                     (row *)&to[0][c]);
}

INLINE void product(matrix w, const int height, const int terms, const int biased,
                    const row *from, row *to, const int vectors) {
    int i = 0;
    for (; i + ROWS <= height; i += ROWS, w.at += ROWS * w.down)
        product_rows(w, ROWS, terms, biased, from, to + i, vectors);
    if (height % ROWS) product_rows(w, height % ROWS, terms, biased, from, to + i, vectors);
}

/* into[i][j] += sum over all samples of error[i] unit[j] */
INLINE void outer_tile(const row *error, const row *unit, const int rows, const int columns,
                       double *into, const int down, const int vectors) {
    vector sum[ROWS][ROWS];
    EACH(i, rows) EACH(j, columns) sum[i][j] = error[i][0] * unit[j][0];
    for (int v = 1; v < vectors; v++)
        EACH(i, rows) EACH(j, columns) sum[i][j] += error[i][v] * unit[j][v];
    EACH(i, rows) EACH(j, columns) into[i * down + j] += total(sum[i][j]);
}

INLINE void outer_rows(const row *error, const row *unit, const int rows, const int width,
                       double *into, const int vectors) {
    int j = 0;
    for (; j + ROWS <= width; j += ROWS)
        outer_tile(error, unit + j, rows, ROWS, into + j, width, vectors);
    if (width % ROWS) outer_tile(error, unit + j, rows, width % ROWS, into + j, width, vectors);
}

INLINE void outer(const row *error, const row *unit, const int height, const int width,
                  double *into, const int vectors) {
    int i = 0;
    for (; i + ROWS <= height; i += ROWS)
        outer_rows(error + i, unit, ROWS, width, into + i * width, vectors);
    if (height % ROWS)
        outer_rows(error + i, unit, height % ROWS, width, into + i * width, vectors);
}

/* ---- the network ------------------------------------------------------------------------- */

INLINE void forward(const int layer, const int nin, const int nout, const int squash,
                    const int first, const int vectors) {
    row *out = units[layer + 1];
    const matrix w = {parameters.at + first, nin + 1, 1};
    product(w, nout, nin, 1, units[layer], out, vectors);
    if (squash)
        for (int i = 0; i < nout; i++)
            for (int v = 0; v < vectors; v++) out[i][v] = tanh_of(out[i][v]);
    for (int v = 0; v < vectors; v++) out[nout][v] = spread(1.0);
}

/* The loss of a panel; its derivative by each output is left in the last row of errors. */
INLINE vector loss_of(const int start, const int vectors) {
    vector loss = {0};
    for (int i = 0; i < OUTPUTS; i++)
        for (int v = 0; v < vectors; v++) {
            vector out = units[DEPTH][i][v], target = targets[i][start + v];
            vector scale = weight[start + v];
#if HINGE
            vector margin = 1.0 - target * out;
            scale = where(margin > 0.0, scale, spread(0.0));
            loss += scale * margin;
            errors[DEPTH][i][v] = -scale * target;
#else
            vector difference = out - target;
            loss += scale * difference * difference;
            errors[DEPTH][i][v] = 2.0 * scale * difference;
#endif
        }
    return loss;
}

INLINE void backward(const int layer, const int nin, const int nout, const int squash,
                     const int first, const int vectors) {
    row *error = errors[layer + 1];
    if (squash)
        for (int i = 0; i < nout; i++)
            for (int v = 0; v < vectors; v++) {
                vector out = units[layer + 1][i][v];
                error[i][v] *= 1.0 - out * out;
            }
    outer(error, units[layer], nout, nin + 1, gradient.at + first, vectors);
    const matrix transposed = {parameters.at + first, 1, nin + 1};
    if (layer) product(transposed, nin, nout, 0, error, errors[layer], vectors);
}

/* One panel there and back; its gradient is added up, its loss returned. */
INLINE double panel(const int start, const int vectors) {
    for (int i = 0; i < INPUTS; i++)
        for (int v = 0; v < vectors; v++) units[0][i][v] = inputs[i][start + v];
    for (int v = 0; v < vectors; v++) units[0][INPUTS][v] = spread(1.0);
#define LAYER(layer, nin, nout, squash, first) forward(layer, nin, nout, squash, first, vectors);
    LAYERS
#undef LAYER
    vector loss = loss_of(start, vectors);
#define LAYER(layer, nin, nout, squash, first) backward(layer, nin, nout, squash, first, vectors);
    LAYERS_BACK
#undef LAYER
    return total(loss);
}

static double step(double rate) {
    double loss = 0.0;
    vector squares = {0};
    int start = 0;
    memset(&gradient, 0, sizeof gradient);
    for (; start + PANEL <= VECTORS; start += PANEL) loss += panel(start, PANEL);
    if (VECTORS % PANEL) loss += panel(start, VECTORS % PANEL);
    for (int i = 0; i < PADDED; i++) {
        vector p = parameters.in[i], slope = gradient.in[i];
        if (DECAY != 0.0) {
            squares += p * p;
            slope += (2.0 * DECAY) * p;
        }
        parameters.in[i] = p - rate * slope;
    }
    return loss + DECAY * total(squares);
}

/* Pack the samples (row after row) into lanes. */
void set_data(const double *x, const double *y) {
    for (int s = 0; s < VECTORS * LANES; s++) {
        const int real = s < SAMPLES, from = real ? s : 0;
        weight[s / LANES][s % LANES] = real ? SCALE : 0.0;
        for (int i = 0; i < INPUTS; i++) inputs[i][s / LANES][s % LANES] = x[from * INPUTS + i];
        for (int i = 0; i < OUTPUTS; i++) targets[i][s / LANES][s % LANES] = y[from * OUTPUTS + i];
    }
}

/* So many steps, one for each rate. p is changed in place; losses gets each step's loss, which is
 * that before its update. */
void train(double *p, const double *rates, int64_t steps, double *losses) {
    memset(&parameters, 0, sizeof parameters);
    memcpy(parameters.at, p, PARAMETERS * sizeof *p);
    for (int64_t k = 0; k < steps; k++) losses[k] = step(rates[k]);
    memcpy(p, parameters.at, PARAMETERS * sizeof *p);
}
