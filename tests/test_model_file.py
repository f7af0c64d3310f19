"""Saved models: there and back to the bit, crashes, and files that cannot be trusted."""

import json
import math
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from talweg import MLP, Predictor, Scaling
from talweg.errors import DataError, ModelFileError, ShapeError
from talweg.nn import ACTIVATIONS

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=1e-300, max_value=1e300)
NAMES = st.text(st.characters(codec="utf-8"), max_size=5)


def example():
    model = MLP(2, [3, 2], "relu", "linear", rng=random.Random(1))
    scaling = Scaling((1.0, -2.0), (0.5, 3.0))
    return Predictor(model, ["width", "Höhe"], "kind", ["cat", "dog"], inputs=scaling)


@st.composite
def predictors(draw):
    nin, *nouts = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    names = st.sampled_from(list(ACTIVATIONS))
    model = MLP(nin, nouts, draw(names), draw(names), rng=random.Random(0))
    for p in model.parameters():
        p.data = draw(FLOATS)

    def scaling(n):
        columns = st.tuples(st.tuples(*[st.floats(-1e300, 1e300)] * n), st.tuples(*[POSITIVE] * n))
        return draw(st.none() | columns.map(lambda parts: Scaling(*parts)))

    outputs = nouts[-1] if nouts[-1] > 1 else 2
    lists = st.lists(NAMES, min_size=outputs, max_size=outputs)
    return Predictor(
        model,
        draw(st.lists(NAMES, min_size=nin, max_size=nin)),
        draw(NAMES),
        draw(st.none() | lists),
        scaling(nin),
        scaling(nouts[-1]),
    )


def bits(numbers):
    return [struct.pack("d", x) for x in numbers]


@given(predictors())
def test_a_loaded_model_is_the_saved_one_to_the_last_bit(tmp_path_factory, predictor):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    assert predictor.save(path) == path
    loaded = Predictor.load(path)
    states = [p.model.state_dict() for p in (predictor, loaded)]
    assert list(states[0]) == list(states[1])
    assert bits(states[0].values()) == bits(states[1].values())
    for part in ("input_names", "target_name", "classes", "inputs", "targets"):
        assert getattr(loaded, part) == getattr(predictor, part)
    for part in ("sizes", "activation", "output"):
        assert getattr(loaded.model, part) == getattr(predictor.model, part)
    row = [0.25] * predictor.model.sizes[0]
    assert bits(loaded.outputs(row)) == bits(predictor.outputs(row))


def test_predictions_are_in_the_units_of_the_file():
    model = MLP(1, [1], output="linear", scale=0.0)
    model.load_state_dict({"layers.0.neurons.0.w.0": 2.0, "layers.0.neurons.0.b": 1.0})
    plain = Predictor(model, ["x"])
    assert plain.predict([[3.0], [0.0]]) == [7.0, 1.0]
    scaled = Predictor(
        model, ["x"], inputs=Scaling((3.0,), (2.0,)), targets=Scaling((10.0,), (5.0,))
    )
    assert scaled.predict([[7.0]]) == [(2.0 * 2.0 + 1.0) * 5.0 + 10.0]
    classes = Predictor(model, ["x"], classes=["no", "yes"])
    assert classes.predict([[-1.0], [-0.5], [0.0]]) == ["no", "no", "yes"]
    two = Predictor(MLP(1, [2], output="linear", scale=0.0), ["x"])
    two.model.layers[0].neurons[1].b.data = 4.0
    assert two.predict([[1.0]]) == [[0.0, 4.0]]
    assert Predictor(two.model, ["x"], classes=["a", "b"]).predict([[1.0]]) == ["b"]


def test_other_programs_read_the_matrices(tmp_path):
    predictor = example()
    tensors = load_file(predictor.save(tmp_path / "m.safetensors"))
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes == {
        "layers.0.weight": (3, 2),
        "layers.0.bias": (3,),
        "layers.1.weight": (2, 3),
        "layers.1.bias": (2,),
    }
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype("float64")}
    x = (np.array([2.0, 1.0]) - [1.0, -2.0]) / [0.5, 3.0]
    hidden = np.maximum(tensors["layers.0.weight"] @ x + tensors["layers.0.bias"], 0.0)
    out = tensors["layers.1.weight"] @ hidden + tensors["layers.1.bias"]
    assert predictor.outputs([2.0, 1.0]) == pytest.approx(list(out), rel=1e-14)


def test_loading_leaves_pythons_own_random_alone(tmp_path):
    path = example().save(tmp_path / "m")
    before = random.getstate()
    Predictor.load(path)
    assert random.getstate() == before


def test_two_saves_are_the_same_bytes(tmp_path):
    saved = [
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import random, sys, talweg as tw\n"
                "m = tw.MLP(2, [3, 1], rng=random.Random(0))\n"
                "tw.Predictor(m, ['a', 'b']).save(sys.argv[1])",
                str(tmp_path / seed),
            ],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert len(saved) == 2
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace")])
def test_a_crash_while_saving_leaves_the_old_model_unchanged(tmp_path, monkeypatch, owner, name):
    path = example().save(tmp_path / "m")
    old = path.read_bytes()

    def crash(*_):
        raise KeyboardInterrupt

    other = example()
    other.model.parameters()[0].data = 99.0
    monkeypatch.setattr(owner, name, crash)
    with pytest.raises(KeyboardInterrupt):
        other.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m"]  # noqa: PTH208
    assert Predictor.load(other.save(path)).model.parameters()[0].data == 99.0


# ---- files that cannot be trusted ------------------------------------------------------------


def refused(path, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        Predictor.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


def test_files_that_are_not_there_or_no_models(tmp_path):
    refused(tmp_path / "none", "there is no such file")
    refused(tmp_path, "this is not a file")
    whole = example().save(tmp_path / "m").read_bytes()
    path = tmp_path / "bad"
    for n in [*range(0, 40, 3), *range(40, len(whole), 37)]:
        path.write_bytes(whole[:n])
        refused(path, "not a saved model, or a damaged one")
    for content in (
        b"\xff" * 100,
        b"a,b\n1,2\n" * 50,
        struct.pack("<Q", 2**62) + b"{}",
        b"\x80\x04K\x01.",
    ):
        path.write_bytes(content)
        refused(path, "not a saved model, or a damaged one")


def test_any_flipped_byte_is_refused_or_gives_a_model_of_the_same_shape(tmp_path):
    whole = bytearray(example().save(tmp_path / "m").read_bytes())
    rng = random.Random(0)
    path = tmp_path / "bad"
    outcomes = {"refused": 0, "loaded": 0}
    for _ in range(300):
        damaged = whole.copy()
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            predictor = Predictor.load(path)
        except ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
            outcomes["refused"] += 1
        else:
            assert len(predictor.outputs([1.0, 2.0])) == 2
            outcomes["loaded"] += 1
    assert min(outcomes.values()) > 20


def tampered(change, tensors=None):
    """The bytes of a model whose description or tensors were changed."""
    about = json.loads(example()._description())
    state = {
        "layers.0.weight": np.ones((3, 2)),
        "layers.0.bias": np.ones(3),
        "layers.1.weight": np.ones((2, 3)),
        "layers.1.bias": np.ones(2),
    }
    state.update(tensors or {})
    text = change if isinstance(change, str) else json.dumps({**about, **change})
    return save(state, {"talweg": text})


HUGE = 10**9


@pytest.mark.parametrize(
    "change",
    [
        {"format": None},
        {"sizes": [2, HUGE, 2]},
        {"sizes": [HUGE] * 3},
        {"sizes": [2, 3]},
        {"sizes": [2, 3, 2, 1]},
        {"sizes": []},
        {"sizes": [2]},
        {"sizes": "232"},
        {"sizes": {"a": 1}},
        {"sizes": [2.0, 3.0, 2.0]},
        {"sizes": [2, [3], 2]},
        {"sizes": [-2, 3, 2]},
        {"sizes": None},
        {"activation": "exec"},
        {"activation": None},
        {"activation": ["relu"]},
        {"output": {"a": 1}},
        {"output": "__import__('os').system('true')"},
        {"input_names": ["a"]},
        {"input_names": "ab"},
        {"input_names": [1, 2]},
        {"input_names": None},
        {"classes": ["a"]},
        {"classes": "ab"},
        {"classes": [None, None]},
        {"target_name": 5},
        {"target_name": None},
        {"inputs": {"means": [1.0, 2.0], "deviations": [1.0, 0.0]}},
        {"inputs": {"means": [1.0, 2.0], "deviations": [1.0, -1.0]}},
        {"inputs": {"means": [1.0, 2.0], "deviations": [1.0, float("nan")]}},
        {"inputs": {"means": [1.0, 2.0], "deviations": [1.0, float("inf")]}},
        {"inputs": {"means": [1.0, float("nan")], "deviations": [1.0, 1.0]}},
        {"inputs": {"means": [1.0], "deviations": [1.0, 1.0]}},
        {"inputs": {"means": [1.0], "deviations": [1.0]}},
        {"inputs": {"means": ["1", "2"], "deviations": [1.0, 1.0]}},
        {"inputs": {"means": 1.0, "deviations": 1.0}},
        {"inputs": {"means": [1.0, 2.0]}},
        {"inputs": [1.0]},
        {"targets": {"means": [1.0], "deviations": [1.0]}},
        {"targets": "x"},
        "",
        "not JSON",
        "[]",
        "5",
        "null",
        "{}",
        "[" * 200_000,
        '{"sizes": [' + "9" * 5000 + "]}",
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_description_that_was_tampered_with(tmp_path, change):
    path = tmp_path / "bad"
    path.write_bytes(tampered(change))
    refused(path, "the description of the model is damaged .*; train and save it again")


@pytest.mark.parametrize(
    "tensors",
    [
        {"layers.0.weight": np.ones((2, 3))},
        {"layers.0.weight": np.ones(6)},
        {"layers.0.weight": np.ones((3, 2, 1))},
        {"layers.1.bias": np.ones((2, 1))},
        {"layers.1.bias": np.zeros(0)},
    ],
    ids=lambda tensors: str({k: v.shape for k, v in tensors.items()}),
)
def test_tensors_of_another_shape(tmp_path, tensors):
    path = tmp_path / "bad"
    path.write_bytes(tampered({}, tensors))
    refused(path, "the description of the model is damaged .layer . should be")


def test_tampering_that_changes_nothing_is_fine(tmp_path):
    path = tmp_path / "good"
    path.write_bytes(tampered({}, {"extra": np.ones(2)}))
    assert Predictor.load(path).outputs([1.5, 1.0]) == [10.0, 10.0]


def test_other_peoples_safetensors(tmp_path):
    path = tmp_path / "bert"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(save({"x": np.ones(3)}, metadata))
        refused(path, "this safetensors file does not hold a model of talweg")
    path.write_bytes(tampered({"format": "talweg-99"}))
    refused(path, "its format is 'talweg-99', expected 'talweg-1'")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "BOOL", "I64", "F16"])
def test_number_types_that_are_not_ours(tmp_path, dtype):
    width = {"BF16": 2, "F8_E4M3": 1, "BOOL": 1, "I64": 8, "F16": 2}[dtype]
    header = {"x": {"dtype": dtype, "shape": [2], "data_offsets": [0, 2 * width]}}
    raw = json.dumps(header).encode()
    path = tmp_path / "m"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(2 * width))
    refused(path, "not hold a model of talweg|not a saved model")


def test_nothing_in_the_file_is_executed(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("a saved model must not run anything")

    path = example().save(tmp_path / "m")
    Predictor.load(path)  # imports what it needs
    for name in ("eval", "exec", "compile"):
        monkeypatch.setattr(f"builtins.{name}", forbidden)
    monkeypatch.setattr("pickle.load", forbidden)
    monkeypatch.setattr("pickle.loads", forbidden)
    assert Predictor.load(path).classes == ["cat", "dog"]


# ---- what cannot be saved or made ------------------------------------------------------------


class Own:
    __hash__ = None

    def __call__(self, x):
        return x


@pytest.mark.parametrize("own", [lambda x: x, Own()])
@pytest.mark.parametrize("place", ["activation", "output"])
def test_an_activation_defined_by_the_user_cannot_be_saved(tmp_path, own, place):
    model = MLP(1, [1, 1], **{place: own})
    with pytest.raises(ModelFileError, match=r"function of your own, .* use one of tanh, relu"):
        Predictor(model, ["x"]).save(tmp_path / "m")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing/m'$"):
        example().save(tmp_path / "missing" / "m")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"input_names": ["a"]}, "input_names: the model needs 2, got 1"),
        ({"inputs": Scaling((1.0,), (1.0,))}, "the scaling of inputs: the model needs 2, got 1"),
        ({"targets": Scaling((1.0, 2.0), (1.0, 1.0))}, "the scaling of targets: the model needs 1"),
        ({"classes": ["a"]}, "classes: the model needs 2, got 1"),
    ],
)
def test_parts_that_do_not_fit(parts, message):
    with pytest.raises(ShapeError, match=message):
        Predictor(MLP(2, [1]), **{"input_names": ["a", "b"], **parts})
    with pytest.raises(ShapeError, match="classes: the model needs 3, got 2"):
        Predictor(MLP(2, [3]), ["a", "b"], classes=["a", "b"])


def test_a_row_of_the_wrong_length():
    for predictor in (example(), Predictor(MLP(2, [1]), ["a", "b"])):
        with pytest.raises(ShapeError):
            predictor.predict([[1.0, 2.0], [1.0]])


def test_a_model_that_is_not_finite_is_not_loaded(tmp_path):
    model = MLP(1, [1])
    model.layers[0].neurons[0].b.data = math.nan
    path = Predictor(model, ["x"]).save(tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="layer 0 are not all finite"):
        Predictor.load(path)


def test_a_row_that_is_not_finite_is_not_predicted():
    with pytest.raises(DataError, match="row 1"):
        Predictor(MLP(1, [1]), ["x"]).predict([[1.0], [math.nan]])
