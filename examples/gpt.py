"""A scalar GPT, written position by position with lists, trained one document a step.

    python examples/gpt.py [steps]

One layer, 16 numbers wide, 4 heads: every number is a Value, and attention looks back over
lists that grow. `tw.minimize` compiles it once for each length of document.
"""

import itertools
import random
import sys
import time

import talweg as tw

WIDE, HEADS, LONGEST = 16, 4, 16
NAMES = (
    "emma olivia ava isabella sophia charlotte mia amelia harper evelyn abigail emily elizabeth "
    "mila ella avery sofia camila aria scarlett victoria madison luna grace chloe penelope layla"
).split()
LETTERS = ["<>", *sorted(set("".join(NAMES)))]


def make_model(rng):
    def matrix(rows, columns):
        return tw.Matrix(rows, columns, rng=rng)

    return {
        "token": tw.Embedding(len(LETTERS), WIDE, rng=rng),
        "position": tw.Embedding(LONGEST, WIDE, rng=rng),
        "query": matrix(WIDE, WIDE),
        "key": matrix(WIDE, WIDE),
        "value": matrix(WIDE, WIDE),
        "out": matrix(WIDE, WIDE),
        "up": matrix(4 * WIDE, WIDE),
        "down": matrix(WIDE, 4 * WIDE),
        "head": matrix(len(LETTERS), WIDE),
    }


def times(matrix, x):
    return [sum(w * a for w, a in zip(row, x, strict=True)) for row in matrix]


def normed(x):
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


def attended(query, keys, values):
    mixed = []
    for h in range(HEADS):
        part = slice(h * WIDE // HEADS, (h + 1) * WIDE // HEADS)
        scores = [
            tw.exp(sum(q * k for q, k in zip(query[part], key[part], strict=True)) / 2.0)
            for key in keys
        ]
        whole = sum(scores)
        mixed.extend(
            sum(s * v[j] for s, v in zip(scores, values, strict=True)) / whole
            for j in range(part.start, part.stop)
        )
    return mixed


def loss(model, document):
    """The mean surprise at each next letter."""
    keys, values, total = [], [], 0.0
    for place, (letter, following) in enumerate(itertools.pairwise(document)):
        x = [a + b for a, b in zip(model["token"][letter], model["position"][place], strict=True)]
        x = normed(x)
        y = normed(x)
        keys.append(times(model["key"], y))
        values.append(times(model["value"], y))
        mixed = attended(times(model["query"], y), keys, values)
        x = [a + b for a, b in zip(x, times(model["out"], mixed), strict=True)]
        y = [tw.relu(a) for a in times(model["up"], normed(x))]
        x = [a + b for a, b in zip(x, times(model["down"], y), strict=True)]
        total = total + tw.losses.cross_entropy(times(model["head"], x), following)
    return total / (len(document) - 1)


def documents(rng):
    names = NAMES.copy()
    rng.shuffle(names)
    return [[0, *(LETTERS.index(c) for c in name), 0] for name in names]


def main(steps=300):
    rng = random.Random(42)
    docs, model = documents(rng), make_model(rng)
    begin = time.perf_counter()
    history = tw.minimize(
        loss,
        model,
        docs,
        optimizer=tw.Adam(lr=tw.schedules.Linear(0.01, 0.001, steps=steps)),
        steps=steps,
        batch_size=1,
        seed=1,
    )
    seconds = time.perf_counter() - begin
    print(f"{steps} steps in {seconds:.1f} s by {history.engine} code: {history.verdict}")
    few = sum(history.losses[-20:]) / len(history.losses[-20:])
    print(f"loss {history.losses[0]:.2f} at first, {few:.2f} over the last 20 steps")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
