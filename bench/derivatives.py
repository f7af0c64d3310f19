"""How long does a call take that returns an objective and its derivatives, as SciPy makes it?

    python bench/derivatives.py
    python bench/derivatives.py --problems rosenbrock,garch --what gradient,hessian --json out.json

Run it with any interpreter that has talweg and whichever of CasADi and JAX are to be measured; what
is missing is skipped with a line. CasADi runs twice: its own interpreter, and the C code that it
generates, compiled by gcc -O3. Both are called by its buffer interface, which calls a function on
arrays that are given once. One thread, float64. The results must agree to 1e-9. Times are
microseconds a call, the best of several repetitions, from one array to NumPy arrays; the peers take
turns, so that a busy machine slows all of them down. `overhead` is talweg's time outside of native
code.

Start reading at `main`; the objectives are in peers/optimisation.py.
"""

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import talweg as tw
from peers import machine  # the folder, not this file
from peers.optimisation import PROBLEMS
from peers.tables import aligned, significant

WHAT = ("gradient", "hessian", "sparse", "hvp")
PEERS = ("talweg", "casadi", "casadi C", "jax")
TOLERANCE = 1e-9


def main():
    options = arguments()
    machine.pin(1)
    for name in ("XLA_FLAGS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, {"OMP_NUM_THREADS": "1"}.get(name, _ONE_THREAD))
    found = {
        **machine.describe(),
        "command": shlex.join(["python", "bench/derivatives.py", *sys.argv[1:]]),
        "tables": {},
    }
    print(f"{found['command']}\n{found['date']}; {found['cpu']}, load {found['load']}", end="\n\n")
    missing = [name for name in ("casadi", "jax") if importlib.util.find_spec(name) is None]
    for name in missing:
        print(f"{name} is not installed: skipped", file=sys.stderr)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for what in options.what:
            rows = {}
            for name in options.problems:
                calls, native = callables(what, PROBLEMS[name], Path(folder), missing)
                wrong += [f"{what} of {name}: {peer} differs" for peer in differing(what, calls)]
                rows[name] = times(calls, options) | {"native": best([native], options)[0]}
            found["tables"][what] = rows
            print(table(what, rows), end="\n\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", default="all", help="all, or some of " + ", ".join(PROBLEMS))
    parser.add_argument("--what", default="gradient", help="all, or some of " + ", ".join(WHAT))
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0.0005, help="about, a repetition")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    options = parser.parse_args()
    for name, known in (("problems", PROBLEMS), ("what", WHAT)):
        text = getattr(options, name)
        chosen = list(known) if text == "all" else text.split(",")
        for word in chosen:
            if word not in known:
                parser.error(f"--{name}: {word!r} is none of {', '.join(known)}")
        setattr(options, name, chosen)
    if options.repeats < 1 or options.seconds <= 0:
        parser.error("--repeats and --seconds must be above 0")
    return options


# ---- the same call by each peer ------------------------------------------------------------------


def callables(what, problem, folder, missing):
    """For each peer a function without arguments that returns the results, and the native call."""
    x = np.array(problem.start)
    p = np.cos(np.arange(len(x)))
    calls = {"talweg": by_talweg(what, problem, x, p)}
    native = native_call(what, problem, x, p)
    if "casadi" not in missing:
        calls |= by_casadi(what, problem, x, p, folder)
    if "jax" not in missing and what != "sparse":
        calls["jax"] = by_jax(what, problem, x, p)
    return calls, native


def by_talweg(what, problem, x, p):
    f = objective(problem)
    if what == "gradient":
        function = tw.value_and_grad(f)
    elif what == "hvp":
        product = tw.hvp(f)

        def function(x):
            return (product(x, p),)
    else:
        second = tw.hessian(f, sparse=what == "sparse")

        def function(x):
            return (second(x),)

    function(1.001 * x)  # the first call with other numbers also runs f in Python, to compare
    function(x)
    return lambda: function(x)


def objective(problem):
    f = problem.scalar
    return lambda x: f(x, tw)


def native_call(what, problem, x, p):
    """talweg's native function alone, on memory that is filled already."""
    from talweg.compiler.derivative_matrix import hessian_of, product_of
    from talweg.compiler.differentiation import Differentiator

    programs, call = Differentiator(objective(problem), 0, "default").programs((x,), {})
    if what in ("hessian", "sparse"):
        matrix = hessian_of(programs, call)
        matrix.dense(call)
        return matrix.native_call()
    if what == "hvp":
        return product_of(programs, call).native_call(call.signature, p.tobytes())
    programs.first.value_and_gradient(call.signature)
    return programs.first.native_call(call.signature)


def by_casadi(what, problem, x, p, folder):
    import casadi

    symbol, direction = casadi.SX.sym("x", len(x)), casadi.SX.sym("p", len(x))
    value = problem.scalar([symbol[k] for k in range(len(x))], casadi)
    second, first = casadi.hessian(value, symbol)
    outputs = {
        "gradient": [value, casadi.densify(first)],
        "hessian": [casadi.densify(second)],
        "sparse": [second],
        "hvp": [casadi.jtimes(first, symbol, direction)],
    }[what]
    inputs = [symbol, direction] if what == "hvp" else [symbol]
    given = [x, p][: len(inputs)]
    function = casadi.Function("f", inputs, outputs)
    compiled = generated(function, folder, casadi)
    calls = {"casadi": by_buffer(function, given, what)}
    if compiled is not None:
        calls["casadi C"] = by_buffer(compiled, given, what)
    return calls


def generated(function, folder, casadi):
    """The function from its own C code; None without a compiler."""
    if not shutil.which("gcc"):
        print("gcc is not installed: casadi C is skipped", file=sys.stderr)
        return None
    name = f"f{len(list(folder.iterdir()))}"
    generator = casadi.CodeGenerator(f"{name}.c", {"with_header": False})
    generator.add(function)
    source = Path(generator.generate(str(folder) + os.sep))
    library = source.with_suffix(".so")
    command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source]
    try:
        subprocess.run(command, check=True, timeout=_LONGEST_COMPILATION)
    except subprocess.TimeoutExpired:
        lines = len(source.read_text(encoding="utf-8").splitlines())
        print(f"gcc takes too long for {lines:,} lines: casadi C is skipped", file=sys.stderr)
        return None
    return casadi.external("f", str(library))


_LONGEST_COMPILATION = 30.0
"""Seconds that gcc may take: code without loops of a large program takes it minutes."""


def by_buffer(function, given, what):
    """The function on arrays that are given once: CasADi's fastest call from Python."""
    buffer, trigger = function.buffer()
    results = [np.zeros(function.nnz_out(k)) for k in range(function.n_out())]
    inputs = [np.array(x) for x in given]
    for k, x in enumerate(inputs):
        buffer.set_arg(k, memoryview(x))
    for k, x in enumerate(results):
        buffer.set_res(k, memoryview(x))

    mine, x, gives_value = inputs[0], given[0], what == "gradient"
    value, last = results[0], results[-1]

    def call():
        mine[:] = x  # the direction of a product is there already
        trigger()
        # SciPy compares results of two calls: they may not share memory.
        return (float(value[0]), last.copy()) if gives_value else (last.copy(),)

    call.keep = buffer, trigger, function
    call.shape = (len(given[0]),) * 2 if what == "hessian" else None
    return call


def by_jax(what, problem, x, p):
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    f = problem.arrays(jax)
    function = {
        "gradient": jax.value_and_grad(f),
        "hessian": lambda x: (jax.hessian(f)(x),),
        "hvp": lambda x: (jax.jvp(jax.grad(f), (x,), (p,))[1],),
    }[what]
    compiled = jax.jit(function)
    return lambda: [np.asarray(result) for result in compiled(x)]


def differing(what, calls):
    """The peers whose results are not talweg's."""
    wanted = [flat(what, result) for result in calls["talweg"]()]
    for peer, call in calls.items():
        found = [flat(what, result) for result in call()]
        for a, b in zip(wanted, found, strict=True):
            if not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * max(1.0, np.abs(a).max())):
                yield peer
                break


def flat(what, result):
    """Numbers of a result in a common order: a symmetric matrix reads the same along both axes."""
    if what == "sparse":
        return np.asarray(result.data if hasattr(result, "indptr") else result).reshape(-1)
    return np.asarray(result).reshape(-1)


# ---- time ----------------------------------------------------------------------------------------


def times(calls, options):
    return dict(zip(calls, best(list(calls.values()), options), strict=True))


def best(calls, options):
    """Microseconds a call, the best of some repetitions in which all take turns."""
    counts = []
    for call in calls:
        call()
        begin = time.perf_counter()
        call()
        counts.append(max(1, int(options.seconds / max(1e-7, time.perf_counter() - begin))))
    found = [float("inf")] * len(calls)
    for _ in range(options.repeats):
        for k, (call, count) in enumerate(zip(calls, counts, strict=True)):
            begin = time.perf_counter()
            for _ in range(count):
                call()
            found[k] = min(found[k], (time.perf_counter() - begin) / count * 1e6)
    return found


def table(what, rows):
    peers = [peer for peer in PEERS if any(peer in row for row in rows.values())]
    others = [peer for peer in peers if peer != "talweg"]
    head = ["", *peers, "native", "overhead", *[f"{peer} / talweg" for peer in others]]
    body = []
    for name, row in rows.items():
        cells = [significant(row[peer]) if peer in row else "" for peer in peers]
        cells += [significant(row["native"]), significant(max(0.0, row["talweg"] - row["native"]))]
        cells += [significant(row[o] / row["talweg"]) if o in row else "" for o in others]
        body.append([PROBLEMS[name].about, *cells])
    lines = aligned([head, *body], words=1)
    return "\n".join([f"{what}; microseconds a call", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
