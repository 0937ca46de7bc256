"""The table that compares brokers."""

from io import StringIO

from rich.console import Console

from bench.brokers import percentiles, table_of


def test_percentiles_are_those_of_all_events_of_a_round() -> None:
    assert percentiles([float(number) for number in range(101)]) == [50.0, 95.0, 99.0]


def test_the_table_has_the_median_of_the_rounds_for_each_load_and_broker() -> None:
    rounds = [{"one at rest": [time, time]} for time in (1.0, 9.0, 2.0)]
    text = StringIO()
    Console(file=text, width=80).print(table_of({"Redis": rounds, "RabbitMQ": rounds[:1]}))

    redis, rabbitmq = (line for line in text.getvalue().splitlines() if "one at rest" in line)
    assert redis.count("2.0") == 3
    assert rabbitmq.count("1.0") == 3
