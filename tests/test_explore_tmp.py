import os, subprocess, sys, time
from pathlib import Path
import pytest
from tests.stripe.company import CompanyPlan, build_company, plans_text
from tests.stripe.server import KEY, WEBHOOK_SECRET, serving
pytestmark = pytest.mark.servers

def test_explore(own_redis, postgres_server, tmp_path):
    url = postgres_server.create_database("adopting")
    company = build_company(CompanyPlan(subscribers=20, months=6, now=int(time.time())))
    with serving(account=company.stripe) as api:
        env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "DATABASE_URL": url, "REDIS_URL": own_redis.url,
          "STRIPE_API_KEY": KEY, "STRIPE_API_BASE": api.url, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "PAIDUP_LIVEMODE": "test",
          "PAIDUP_DATA_DIR": str(tmp_path / "data"), "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0", "PAIDUP_PLANS": str(tmp_path/"plans.toml")}
        def run(c):
            began = time.time()
            d = subprocess.run(["sh", "-c", c], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
            print("$", c, "->", d.returncode, f"{time.time()-began:.1f}s"); print(d.stdout[:6000]); print(d.stderr[-1200:])
        for line in open("/dev/shm/t-release/commands"):
            line = line.strip()
            if line == "PLANS":
                (tmp_path / "plans.toml").write_text(plans_text(company.document) )
            elif line: run(line)
    sys.exit(3)
