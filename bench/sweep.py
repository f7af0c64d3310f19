"""How long does a sweep take, in talweg and in programs that do the same?

    python bench/sweep.py
    python bench/sweep.py --peers native,jax,c --rounds 20

The lesson's problem at 4,096 learning rates from 0.001 to 1, 50 steps, plain descent, float64, on
one core. Run it with any interpreter that has talweg and the peers to be measured; a peer that is
missing is skipped with a line. All run in turn in one process, and the best round of each counts;
compilation is not included. The lesson's loop has four of the rates. `bench/million.py` prints how
much of a larger sweep is native code.

The losses must be those of a loop written by hand in NumPy to 1e-9: all of them at rates below
0.25, and those of the first five steps at larger ones, where the loss oscillates and any
difference grows from step to step. The last column counts the runs with another last loss.

Start reading at `main`; the peers are in the folder peers/.
"""

import argparse
import os
import shlex
import sys
import tempfile

from peers import SWEEPERS, machine
from peers.tables import aligned, significant

RATES, STEPS, FEW = (1e-3, 1.0, 4096), 50, 4
FREE_CORE = 0.9  # CPU time over wall time; with less the times are those of a busy machine


def main():
    options = arguments()
    machine.pin(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(machine.environment(1, folder))
        rows = measured(options)
    found = machine.describe()
    print(shlex.join(["python", "bench/sweep.py", *sys.argv[1:]]))
    print(f"{found['date']}; {found['cpu']}, {found['simd']}; one core; load {found['load']}")
    print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    print(
        f"\nthe lesson's problem at {RATES[2]:,} learning rates, {STEPS} steps; "
        f"the best of {options.rounds} rounds\n"
    )
    print("\n".join(table(rows)), "", *remarks(rows), sep="\n")
    wrong = [row for row in rows.values() if "failed" in row or not row.get("agrees", True)]
    return 1 if wrong else 0


def arguments():
    names = [peer.name for peer in SWEEPERS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default="all", help="all, or some of " + ", ".join(names))
    parser.add_argument("--rounds", type=int, default=10, help="how often each is timed")
    options = parser.parse_args()
    chosen = names if options.peers == "all" else options.peers.split(",")
    for word in chosen:
        if word not in names:
            parser.error(f"--peers: {word!r} is none of {', '.join(names)}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    options.peers = [peer for peer in SWEEPERS if peer.name in chosen]
    return options


def measured(options):
    """The rows; NumPy and all others are loaded now that they see one core."""
    import numpy as np

    from peers import rounds
    from peers.problems import problem

    rates = np.geomspace(*RATES)
    return rounds.rows(options.peers, problem("lesson"), rates, STEPS, FEW, options.rounds)


# ---- what is printed -------------------------------------------------------------------------


def table(rows):
    """The rows as a Markdown table; ratios are to talweg's parts, or else to the fastest."""
    each = {
        name: row["best_s"] / (row["models"] * STEPS) * 1e6
        for name, row in rows.items()
        if "best_s" in row
    }
    if not each:
        return []
    bases = [name for name in ("native", "sweep") if name in each] or [min(each, key=each.get)]
    head = ["peer", "", "us a step and model", *(f"x {base}" for base in bases)]
    abouts = {peer.name: peer.about for peer in SWEEPERS}
    body = [
        [
            name,
            abouts[name],
            significant(us),
            *(significant(us / each[base]) for base in bases),
            f"{rows[name]['first_s']:.2f}",
            f"{rows[name]['off']:.0e}",
            str(rows[name]["leapt"]),
        ]
        for name, us in each.items()
    ]
    return aligned([[*head, "first run s", "off", "other ends"], *body])


def remarks(rows):
    """What a reader must know about rows, a line each."""
    for name, row in rows.items():
        if "skipped" in row:
            yield f"{name}: skipped, {row['skipped']}"
            continue
        if "failed" in row:
            yield f"{name}: FAILED, {row['failed']}"
            continue
        if not row["agrees"]:
            yield f"{name}: WRONG LOSSES, {row['off']:.1e} from NumPy's; its time means nothing"
        if row["models"] < RATES[2]:
            yield f"{name}: timed at {row['models']} of the rates and scaled up"
        if row["core_share"] < FREE_CORE:
            yield f"{name}: others took the core, it had {row['core_share']:.0%} of it"


if __name__ == "__main__":
    sys.exit(main())
