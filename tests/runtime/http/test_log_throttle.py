from runtime.http.log_throttle import LogThrottle


def test_each_second_has_its_own_number_of_lines() -> None:
    now = [5.0]
    throttle = LogThrottle(2, clock=lambda: now[0])

    first = [throttle.take() for _ in range(4)]
    now[0] = 6.0
    second = [throttle.take() for _ in range(3)]

    assert first == [True, True, False, False]
    assert second == [True, True, False]


def test_lines_left_out_are_counted_once() -> None:
    throttle = LogThrottle(1, clock=lambda: 5.0)
    for _ in range(4):
        throttle.take()

    assert (throttle.left_out(), throttle.left_out()) == (3, 0)
