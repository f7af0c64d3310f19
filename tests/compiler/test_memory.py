"""Programs and machine code live as long as something can run them, and no longer."""

import gc
import random
import subprocess
import sys
from pathlib import Path

import pytest

import talweg as tw
from talweg.compiler.runtime.llvm import Library


def libraries():
    """How many programs have machine code in memory."""
    gc.collect()
    return sum(isinstance(thing, Library) for thing in gc.get_objects())


def weights():
    return [tw.Value(0.1 * k + 0.05) for k in range(6)]


def one_result():
    w = weights()
    tw.jit(lambda w: sum(tw.tanh(a) for a in w))(w).backward()


def several_results():
    w = weights()
    f = tw.jit(lambda w: [tw.tanh(a) for a in w])
    results = f(w)
    results[0].backward()
    (results[1] + results[2]).backward()
    sum(f(w)).backward()


def a_table_of_operations():
    def f(w):
        rng, numbers = random.Random(1), list(w)
        for _ in range(2500):
            numbers.append(rng.choice(numbers) * rng.choice(numbers) + 0.5)
        return sum(numbers)

    tw.jit(f)(weights()).backward()


def several_shapes():
    f = tw.jit(lambda w: sum(a * a for a in w))
    for n in range(1, 6):
        f(weights()[:n]).backward()


def a_captured_model():
    model = tw.MLP(2, [3, 1])

    @tw.jit
    def loss(x):
        return model(x) ** 2

    loss([1.0, 2.0]).backward()


def a_method():
    class Line:
        def __init__(self):
            self.w = tw.Value(2.0)

        @tw.jit
        def __call__(self, x):
            return self.w * x

    Line()(3.0).backward()


def derivatives():
    def f(v):
        return sum(a * a * a for a in v)

    tw.value_and_grad(f)([1.0, 2.0])
    tw.hessian(f)([1.0, 2.0])
    tw.hvp(f)([1.0, 2.0], [1.0, 0.0])


def training():
    tw.train(tw.MLP(3, [4, 1]), tw.lesson_data(), steps=5, engine="native")
    weight = [tw.Value(0.3)]
    tw.minimize(lambda m, x: (m[0] * x - 1.0) ** 2, weight, [1.0, 2.0], steps=5, engine="native")


def a_sweep():
    def model(rng):
        return tw.MLP(3, [4, 1], rng=rng)

    tw.sweep(model, tw.lesson_data(), [0.1, 0.2], seeds=[1], steps=2, engine="native")


USES = [
    one_result,
    several_results,
    a_table_of_operations,
    several_shapes,
    a_captured_model,
    a_method,
    derivatives,
    training,
    a_sweep,
]


@pytest.mark.parametrize("use", USES)
def test_machine_code_that_nothing_can_run_is_freed(use):
    before = libraries()
    use()
    assert libraries() == before


def test_the_code_of_a_function_lives_with_the_function():
    before = libraries()
    f = tw.jit(lambda w: sum(a * a for a in w))
    f(weights())
    assert libraries() == before + 1
    del f
    assert libraries() == before


def test_a_result_goes_backward_without_its_function():
    before, w = libraries(), weights()
    first, second = tw.jit(lambda w: [tw.tanh(w[0] * w[1]), w[2] * w[2]])(w)
    assert libraries() > before
    second.backward()
    first.backward()
    expected = weights()
    tw.tanh(expected[0] * expected[1]).backward()
    assert [v.grad for v in w[:2]] == pytest.approx([v.grad for v in expected[:2]], rel=1e-14)
    assert w[2].grad == 2.0 * w[2].data
    del first, second
    assert libraries() == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_compilation_leaves_no_memory_behind(monkeypatch):
    """LLVM's passes keep 0.45 MB a compilation if the pass manager is not freed."""

    def megabytes():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024

    def compile_one(k):
        tw.jit(lambda w: sum(tw.tanh(a * (1.5 + k)) for a in w))(weights()).backward()

    monkeypatch.setenv("TALWEG_CACHE_DIR", "")
    for k in range(20):
        compile_one(k)
    before = megabytes()
    for k in range(60):
        compile_one(k)
    assert megabytes() - before < 10.0


AT_EXIT = """
import talweg as tw
w = [tw.Value(0.5), tw.Value(0.25)]
f = tw.jit(lambda w: [w[0] * w[1], tw.tanh(w[0])])
results = f(w)
results[0].backward()
class Keeper:
    def __init__(self):
        self.f, self.itself = f, self
    def __del__(self):
        w[0].grad = self.f(w)[0].data
keeper = Keeper()
"""


def test_the_process_ends_well_with_programs_alive():
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
