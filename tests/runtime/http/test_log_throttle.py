from runtime.http.log_throttle import Ration


def test_a_second_has_so_many_and_the_next_one_as_many_again() -> None:
    now = [5.0]
    ration = Ration(2, clock=lambda: now[0])

    first = [ration.take() for _ in range(4)]
    now[0] = 6.0
    second = [ration.take() for _ in range(3)]

    assert first == [True, True, False, False]
    assert second == [True, True, False]


def test_what_was_left_out_is_told_once() -> None:
    ration = Ration(1, clock=lambda: 5.0)
    for _ in range(4):
        ration.take()

    assert (ration.left_out(), ration.left_out()) == (3, 0)
