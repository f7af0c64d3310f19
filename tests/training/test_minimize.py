"""tw.minimize, matrices and embeddings, and symbolic integers of a trace."""

import random

import numpy as np
import pytest
from stages import same

import talweg as tw
from talweg import Embedding, Matrix, Module, Value
from talweg.compiler import pipeline
from talweg.compiler.frontend.symbolic_int import SymbolicInt
from talweg.compiler.frontend.trace import trace
from talweg.errors import ArgumentError, DataError, NativeError, TraceError


class Speller(Module):
    """A recurrent net that reads letters and guesses the next."""

    def __init__(self, letters=5, wide=3, seed=0):
        rng = random.Random(seed)
        self.letters = Embedding(letters, wide, std=0.5, rng=rng)
        self.places = Embedding(9, wide, std=0.5, rng=rng)
        self.mix = Matrix(wide, wide, std=0.5, rng=rng)
        self.head = Matrix(letters, wide, std=0.5, rng=rng)

    def named_parameters(self):
        for name in ("letters", "places", "mix", "head"):
            for of_part, p in getattr(self, name).named_parameters():
                yield f"{name}.{of_part}", p


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def surprise(model, word):
    state, total = [0.0] * 3, 0.0
    for place in range(len(word) - 1):
        token, position = model.letters[word[place]], model.places[place]
        state = [
            tw.tanh(dot(row, state) + a + b)
            for row, a, b in zip(model.mix, token, position, strict=True)
        ]
        logits = [dot(row, state) for row in model.head]
        total = total + tw.losses.cross_entropy(logits, word[place + 1])
    return total


WORDS = [[0, 1, 2, 0], [0, 3, 4, 0], [0, 4, 0], [0, 2, 2, 0], [0, 1, 0], [0, 3, 2, 1, 4, 0]]


def spelled(engine, mode="default", words=WORDS, **settings):
    model = Speller()
    history = tw.minimize(
        surprise,
        model,
        words,
        engine=engine,
        mode=mode,
        **{"optimizer": tw.Adam(lr=0.02), **settings},
    )
    parameters = model.parameters()
    return history, [p.data for p in parameters], [p.grad for p in parameters]


@pytest.mark.parametrize("seed", [1, 2])
def test_examples_of_every_length_one_at_a_time(seed):
    settings = {"batch_size": 1, "seed": seed, "steps": 20}
    eager, exact = spelled("eager", **settings), spelled("native", "exact", **settings)
    assert exact[0].losses == eager[0].losses
    assert exact[1:] == eager[1:]
    fast = spelled("native", **settings)
    assert fast[0].losses == pytest.approx(eager[0].losses, rel=1e-10)
    assert fast[1] == pytest.approx(eager[1], rel=1e-9, abs=1e-12)
    assert fast[0].engine == "native"


@pytest.mark.parametrize("batch_size", [None, 2])
def test_examples_of_one_length_in_lanes(batch_size):
    words = [[0, a, b, 0] for a in range(5) for b in range(3)]
    settings = {"words": words, "batch_size": batch_size, "seed": 1, "steps": 10}
    eager, exact = spelled("eager", **settings), spelled("native", "exact", **settings)
    assert exact[0].losses == eager[0].losses
    assert exact[1:] == eager[1:]
    fast = spelled("native", **settings)
    assert fast[1] == pytest.approx(eager[1], rel=1e-9, abs=1e-12)


def test_another_example_of_the_same_length_needs_no_new_trace(monkeypatch):
    from talweg.training import example_programs

    traced = []
    own = example_programs.trace

    def counted(f, *a, **k):
        traced.append(a)
        return own(f, *a, **k)

    monkeypatch.setattr(example_programs, "trace", counted)
    spelled("native", batch_size=1, seed=0, steps=60)
    assert len(traced) == len({len(word) for word in WORDS})


def test_batches_may_have_examples_of_several_lengths():
    eager, native = (spelled(engine, steps=4) for engine in ("eager", "native"))
    assert native[0].engine == "native"
    assert native[0].losses == pytest.approx(eager[0].losses, rel=1e-12)


def test_rows_outside_an_embedding_are_refused_before_training():
    with pytest.raises(ArgumentError, match="takes a class from 0 to 4 as target, got 7"):
        spelled("native", words=[[0, 1, 0], [0, 7, 0]], steps=2)


@pytest.mark.parametrize("outside", [4, 99_999, -1])
def test_rows_outside_an_embedding_are_refused_where_a_branch_depends_on_the_row(outside):
    embedding, scale = Embedding(4, 1, rng=random.Random(0)), Value(1.0)

    def loss(model, example):
        x = embedding[example["row"]][0] * scale
        return x * x if x.data > 0 else x * x * 0.5

    # Row 1 is negative and the others are not: the row outside meets both paths.
    embedding.rows[1][0].data = -abs(embedding.rows[1][0].data)
    examples = [{"row": k} for k in (0, 1, 2, 3, outside)]
    with pytest.raises(NativeError, match=f"gathers row {outside} of 4; expected 0 to 3"):
        tw.minimize(
            loss, [embedding, scale], examples, batch_size=1, seed=0, steps=10, engine="native"
        )


def test_integers_used_as_counts_are_part_of_the_program():
    def powers(model, example):
        return sum((model["w"] ** k - y) ** 2 for k, y in enumerate(example["ys"][: example["n"]]))

    examples = [{"n": 2, "ys": [1.0, 0.5, 0.2]}, {"n": 3, "ys": [1.0, 0.4, 0.1]}]
    results = []
    for engine, mode in (("eager", "default"), ("native", "exact")):
        model = {"w": Value(0.9)}
        history = tw.minimize(
            powers, model, examples, batch_size=1, seed=3, steps=15, engine=engine, mode=mode
        )
        results.append((history.losses, model["w"].data))
    assert results[0] == results[1]


def test_a_model_may_be_a_pytree_and_an_example_any_object():
    models = []
    for engine in ("eager", "native"):
        model = {"rows": [Matrix(2, 2, rng=random.Random(5))], "bias": [Value(0.1)]}
        history = tw.minimize(
            lambda m, e: (dot(m["rows"][0][0], e["x"]) + m["bias"][0] - e["y"]) ** 2,
            model,
            [{"x": np.array([1.0, 2.0]), "y": 1.5, "name": "a"}] * 3,
            engine=engine,
            mode="exact",
            reduction="mean",
            steps=5,
        )
        models.append((history.losses, [p.data for p in model["rows"][0].parameters()]))
    assert models[0] == models[1]


def test_misuse():
    with pytest.raises(DataError, match="there are no examples"):
        tw.minimize(surprise, Speller(), [])
    with pytest.raises(ArgumentError, match="f must be a function"):
        tw.minimize(3, Speller(), WORDS)
    with pytest.raises(ArgumentError, match="must have parameters"):
        tw.minimize(surprise, {}, WORDS)
    with pytest.raises(ArgumentError, match="at least 1 row"):
        Matrix(0, 3)
    with pytest.raises(ArgumentError, match="gather takes an index from 0 to 1, got 2"):
        tw.gather([1.0, 2.0], 2)


def test_matrices_are_sequences_of_rows():
    m = Matrix(3, 2, rng=random.Random(0))
    assert [len(row) for row in m] == [2, 2, 2]
    assert m[-1] is m.rows[2]
    assert [p.data for p in m.parameters()] == [v.data for row in m for v in row]
    assert list(m.state_dict())[:3] == ["0.0", "0.1", "1.0"]
    assert repr(Embedding(3, 2)) == "Embedding(3, 2)"
    random.seed(7)
    first = Matrix(2, 2)[1][1].data
    random.seed(7)
    assert first == [random.gauss(0.0, 0.08) for _ in range(4)][3]


def test_gather_is_the_same_for_a_known_index_and_a_symbolic_one():
    zs = [Value(0.3), Value(-0.5), Value(0.9)]
    for i in range(3):
        tape = trace(lambda k: tw.gather(zs, k) * 2.0, i, integers=True).tape
        compiled = pipeline.executable(tape, exact=True)
        w = [z.data for z in zs]
        assert compiled.value(w, [float(i)]) == (w[i] * 2.0,)
        gradient = compiled.gradient(w, [float(i)], [1.0])["w"]
        assert gradient == tuple(2.0 * (k == i) for k in range(3))


def test_an_embedding_in_loops_and_in_an_operation_table():
    table = Embedding(4, 3, std=1.0, rng=random.Random(3))
    outside = Value(1.5)

    def f(tokens, x):
        picked = [a * outside + b for t in tokens for a, b in zip(table[t], table[0], strict=True)]
        return sum(tw.sin(p) * x for p in picked)

    tokens = [2, 0, 3, 3]
    traced = trace(f, tokens, 0.5, integers=True)
    assert traced.fixed == {}
    assert set(traced.rows.values()) == {4}
    inputs = [3.0, 3.0, 1.0, 2.0, 0.25]
    own = f([3, 3, 1, 2], 0.25)
    for p in traced.parameters:
        p.grad = 0.0
    own.backward()
    w = [p.data for p in traced.parameters]
    for as_table in (False, True):
        compiled = pipeline.executable(traced.tape, exact=True, as_table=as_table)
        assert compiled.value(w, inputs) == (own.data,)
        found = compiled.gradient(w, inputs, [1.0])["w"]
        assert found == pytest.approx([p.grad for p in traced.parameters], rel=1e-14)
        if not as_table:
            assert same(found, [p.grad for p in traced.parameters])


def test_an_embedding_takes_no_computed_index():
    table = Embedding(4, 3)
    with pytest.raises(TraceError, match="indexed with a computed number"):
        trace(lambda k, x: sum(table[tw.Value(x) * 1.0]) * k, 1.0, 2.0)


def test_symbolic_integers_behave_as_ints():
    k = SymbolicInt(3)
    assert not k.is_fixed
    product = Value(2.0) * k + k * Value(1.0)
    assert product.data == 9.0
    assert not k.is_fixed
    for used in (
        lambda n: [10, 20, 30, 40][n] == 40,
        lambda n: list(range(n)) == [0, 1, 2],
        lambda n: n == 3 and n != 4 and n < 4 and n >= 3,
        lambda n: n // 2 == 1 and n % 2 == 1 and 7 - n == 4 and n**2 == 9 and -n == -3,
        lambda n: n * 0.5 == 1.5 and 0.5 * n == 1.5 and n / 2 == 1.5,
        lambda n: {3: "three"}[n] == "three" and f"{n}" == "3" and str(n) == "3" and bool(n),
    ):
        fresh = SymbolicInt(3)
        assert used(fresh)
        assert fresh.is_fixed
