import time

from bench.sampler import OTHER, Samples, code_of


def burn(seconds: float) -> None:
    ends_at = time.process_time() + seconds
    while time.process_time() < ends_at:
        pass


def outer() -> None:
    inner()


def inner() -> None:
    burn(0.2)


def test_time_belongs_to_the_innermost_step_that_was_named() -> None:
    samples = Samples({code_of(outer): "outer", code_of(inner): "inner"}, ())

    with samples.taking():
        outer()

    assert samples.steps["inner"] > samples.steps[OTHER]
    assert samples.steps["outer"] <= 1


def test_time_outside_of_every_step_is_the_rest() -> None:
    samples = Samples({code_of(outer): "outer"}, ())

    with samples.taking():
        burn(0.1)

    assert set(samples.steps) == {OTHER}


def test_a_library_is_known_by_its_folder() -> None:
    samples = Samples({}, ("bench",))

    with samples.taking():
        burn(0.1)

    assert samples.libraries["bench"] > 0
