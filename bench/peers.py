"""How long does one training step take, in talweg and in programs that do the same?

    python bench/peers.py --workload lesson --peers all
    python bench/peers.py --workload moons,wide --peers native,numpy,c --json out.json

Run it with any interpreter that has talweg and whichever peers are to be measured; a peer that
is missing is skipped with a line. All numbers are float64; each peer starts from the same
weights, runs in a process of its own on one core, and must reach the loss that NumPy reaches.
Start reading at `main`; the peers are in the folder peers/.

| workload | network | samples | loss |
|---|---|---|---|
| lesson | 3-4-4-1, tanh | the lesson's 4 | sum of squared errors |
| moons | 2-16-16-1, tanh, linear output | 100 | mean hinge loss and weight decay |
| wide | 64-64-64-10, tanh | 1,024 | mean over samples of the sum of squared errors |

`hand-lesson` and `hand-moons` are the same in a hand-written loop around the loss.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from peers import BASES, LOOPS, TRAINERS, WORKLOADS, machine  # the folder, not this file
from peers.problems import problem
from peers.tables import aligned, significant

BENCH = Path(__file__).parent
FREE_CORE = 0.9  # CPU time over wall time; with less the times are those of a busy machine


def main():
    options = arguments()
    machine.pin(options.threads)
    found = {
        **machine.describe(),
        "threads": options.threads,
        "command": shlex.join(["python", "bench/peers.py", *sys.argv[1:]]),
        "tables": {},
    }
    print(heading(found), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for workload, chosen in options.rows.items():
            rows = {peer.name: measured(workload, peer, options, folder) for peer in chosen}
            found["tables"][workload] = rows
            print(table(workload, rows), end="\n\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return report_trouble(found["tables"])


def arguments():
    names = [peer.name for peer in TRAINERS + LOOPS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", default="all", help="all, or some of " + ", ".join(WORKLOADS))
    parser.add_argument("--peers", default="all", help="all, or some of " + ", ".join(names))
    parser.add_argument("--seconds", type=float, default=0.2, help="at least, a repetition")
    parser.add_argument("--repeats", type=int, default=7, help="at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds a peer")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    options = parser.parse_args()
    for name, known in (("workload", list(WORKLOADS)), ("peers", names)):
        text = getattr(options, name)
        chosen = known if text == "all" else text.split(",")
        for word in chosen:
            if word not in known:
                parser.error(f"--{name}: {word!r} is none of {', '.join(known)}")
        setattr(options, name, chosen)
    for name in ("seconds", "repeats", "threads", "timeout"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be above 0, got {getattr(options, name)}")
    rows = {w: [p for p in WORKLOADS[w] if p.name in options.peers] for w in options.workload}
    options.rows = {workload: peers for workload, peers in rows.items() if peers}
    if not options.rows:
        parser.error("none of these peers takes part in these workloads; see --help")
    return options


def measured(workload, peer, options, folder):
    """What `peers.measure` says of this peer, or why it says nothing."""
    command = [sys.executable, "-m", "peers.measure", workload, peer.name]
    command += ["--seconds", str(options.seconds), "--repeats", str(options.repeats)]
    print(f"  {workload}: {peer.about} ...", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(
            command,
            cwd=BENCH,
            check=False,
            env=machine.environment(options.threads, folder),
            capture_output=True,
            text=True,
            timeout=options.timeout,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {options.timeout:g} seconds"}
    if done.returncode:
        last = (done.stderr.strip() or "no word of why").splitlines()[-1]
        return {"failed": f"exit status {done.returncode}: {last[:200]}"}
    return json.loads(done.stdout.splitlines()[-1])


# ---- what is printed -------------------------------------------------------------------------


def heading(found):
    load = "" if found["load"] is None else f", load {found['load']}"
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['command']}\n"
        f"{found['date']}; {found['cpu']}, {found['cores']} cores, {found['simd']}; "
        f"threads: {found['threads']}{load}\n{versions}"
    )


def table(workload, rows):
    """The rows as a Markdown table, and a line for each peer that there is more to say of."""
    task = problem(workload)
    abouts = {peer.name: peer.about for peer in WORKLOADS[workload]}
    timed = {name: row for name, row in rows.items() if "best_us" in row}
    fastest = min(timed, key=lambda name: timed[name]["best_us"], default=None)
    base = next((name for name in BASES if name in timed), fastest)
    head = ["peer", "", "best", "median", f"x {base}", "first run s", "begin ms", "loss", "after"]
    body = [
        [name, abouts[name], *cells(row, timed[base]["best_us"])] for name, row in timed.items()
    ]
    title = (
        f"{workload}: {'-'.join(map(str, task.sizes))}, {len(task.inputs):,} samples, "
        f"{len(task.start):,} parameters; microseconds a step"
    )
    remarks = [f"{name}: {text}" for name, row in rows.items() if (text := remark(row))]
    parts = [[title], aligned([head, *body]) if body else [], remarks]
    return "\n\n".join("\n".join(part) for part in parts if part)


def cells(row, base):
    steps = row["loss_steps"]
    return [
        significant(row["best_us"]),
        significant(row["median_us"]),
        significant(row["best_us"] / base),
        f"{row['first_s']:.2f}",
        f"{row['begin_ms']:.2f}",
        f"{'' if row['agrees'] else 'WRONG '}{row['loss']:.9g}",
        f"{steps} step{'s' if steps > 1 else ''}",
    ]


def remark(row):
    """What a reader must know about a row, or nothing."""
    if "skipped" in row:
        return f"skipped, {row['skipped']}"
    if "failed" in row:
        return f"FAILED, {row['failed']}"
    if not row["agrees"]:
        return (
            f"WRONG LOSS, {row['loss']!r} after {row['loss_steps']} steps where NumPy reaches "
            f"{row['loss_expected']!r}; its times mean nothing"
        )
    notes = []
    if row["samples"] < row["samples_of"]:
        notes.append(f"timed on {row['samples']} of {row['samples_of']:,} samples and scaled up")
    if row["core_share"] < FREE_CORE:
        notes.append(f"TOO SLOW, others took the core: it had {row['core_share']:.0%} of it")
    return "; ".join(notes)


def report_trouble(tables):
    """Say on stderr which peers failed or reached another loss; the exit status."""
    trouble = [
        f"{workload}: {name}: {remark(row)}"
        for workload, rows in tables.items()
        for name, row in rows.items()
        if "failed" in row or not row.get("agrees", True)
    ]
    print("\n".join(trouble), end="\n" if trouble else "", file=sys.stderr)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
