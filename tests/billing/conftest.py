"""The effort of property tests: hypothesis' own, or sparing where each run is one of many."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "sparing",
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# A machine that is busy with something else has not found a counterexample.
settings.register_profile("patient", deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("patient")
