"""Service times that are easy to compute with."""

from bench.simulate.times import BatchCost, ServiceTimes

TIMES = ServiceTimes(
    ingest=0.0002,
    accept_call=0.0001,
    accept_event=0.00002,
    redis_flush=0.0001,
    commit_flush=0.0001,
    wake=0.004,
    body_bytes=4000.0,
    batches=(
        BatchCost(events=1, worker=0.004, postgresql=0.001, redis=0.0006, round_trips=20),
        BatchCost(events=200, worker=0.104, postgresql=0.021, redis=0.0066, round_trips=40),
    ),
)
