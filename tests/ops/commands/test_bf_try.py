import time
from tests.ops.commands.test_backfill import *


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(CompanyPlan(subscribers=60, months=24, now=NOW))


def test_x(adopting, paidup):
    from runtime.ledger.record import Ledger

    real = Ledger.observe
    spent = {}

    def observe(self, observed, *a, **k):
        c = time.process_time()
        w = time.monotonic()
        try:
            return real(self, observed, *a, **k)
        finally:
            f = observed[0].observation.family if observed else "-"
            s = spent.setdefault(f, [0, 0, 0])
            s[0] += time.process_time() - c
            s[1] += time.monotonic() - w
            s[2] += len(observed)

    Ledger.observe = observe
    w = time.monotonic()
    c = time.process_time()
    paidup("backfill", *WHY)
    print("all", time.monotonic() - w, time.process_time() - c)
    for f, s in spent.items():
        print(f, s, "cpu ms/obj", s[0] / max(s[2], 1) * 1000, "wall", s[1] / max(s[2], 1) * 1000)
    assert 0
