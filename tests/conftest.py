"""Settings that all tests share."""

import gc
import logging
import os
import warnings

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and no failures because a machine was busy.
settings.register_profile(
    "talweg",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("talweg")


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory):
    """Compiled code goes to a folder of this run: neither does the user's cache change what is
    tested, nor do tests fill it. Workers of pytest-xdist share the folder."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALWEG_CACHE_DIR", str(root / "talweg-cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def repeated_check():
    """Compiled functions are compared with themselves at calls 2, 4, 8, ..., 1,024."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALWEG_CHECK", "1")
        yield


@pytest.fixture
def checked_once(monkeypatch):
    """Compiled functions are compared with themselves once, as they are for users."""
    monkeypatch.delenv("TALWEG_CHECK", raising=False)


@pytest.fixture(scope="session")
def client():
    """A Dask cluster of three processes on this machine, whose workers tests may kill."""
    distributed = pytest.importorskip("distributed")
    import dask

    # Whoever wants a result of a worker that has just died tries to reach it, for 30 seconds
    # unless told otherwise; nothing is lost, but a test need not wait for that.
    patience = dask.config.set({"distributed.comm.timeouts.connect": "3s"})
    # Workers that die, and what is unclosed when a cluster ends, are told by the log and by
    # warnings of Dask's own; neither is ours.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with patience, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
        )
        with cluster, distributed.Client(cluster) as client:
            yield client
        gc.collect()
