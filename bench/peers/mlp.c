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
#include "simd.h"

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

INLINE double total(vector v) {
    double lane[LANES];
    memcpy(lane, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        EACH(i, half) lane[i] += lane[i + half];
    return lane[0];
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
