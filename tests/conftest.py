"""Settings that all tests share."""

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
