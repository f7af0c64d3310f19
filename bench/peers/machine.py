"""The machine and what is installed on it, to be printed with every table."""

import datetime
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("talweg", "numpy", "llvmlite", "numba", "torch", "jax", "jaxlib", "drjit")


def describe():
    """What the times depend on, by name."""
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "simd": simd(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions(),
    }


def versions():
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if shutil.which("gcc"):
        command = ["gcc", "-dumpfullversion"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found["gcc"] = done.stdout.strip()
    return found


def simd():
    """The widest SIMD instructions, as Linux tells."""
    widest = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}
    return next((name for flag, name in widest.items() if flag in cpu_flags()), "unknown SIMD")


def cpu_name():
    return cpu_info("model name") or platform.processor() or platform.machine()


def cpu_flags():
    return (cpu_info("flags") or cpu_info("Features")).split()


def cpu_info(name):
    """What Linux says under this name about the first core; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, "")


def pin(threads):
    """Stay on so many cores, the last ones, with every process started from now on."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def environment(threads, folder):
    """For a process that is measured: so many threads, and temporary files in this folder.

    The folder is new, so that a first run finds no code that an earlier benchmark compiled.
    """
    return {
        **os.environ,
        "TMPDIR": folder,
        "TALWEG_CACHE_DIR": str(Path(folder) / "talweg"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}",
        **dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
            str(threads),
        ),
    }
