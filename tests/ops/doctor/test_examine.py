import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import redis
from sqlalchemy import text

from ops import cli
from ops.doctor import check_redis
from ops.doctor.examine import examine
from ops.doctor.findings import Finding, State
from ops.plans.migrate import migrate
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.database.engine import engine_for
from runtime.inbox.durability import CLUSTER
from runtime.inbox.signatures import SignatureRecord
from runtime.inbox.wrong_paths import WrongPaths
from runtime.settings import Settings

GOOD_SECRET = "whsec_" + "5f3a" * 8


def troubles(findings: Iterable[Finding]) -> dict[str, str]:
    return {found.check: found.says for found in findings if found.state is State.PROBLEM}


def test_a_setting_out_of_bounds_is_named_and_no_server_is_asked() -> None:
    found = list(examine({"PAIDUP_LIVEMODE": "maybe", "PAIDUP_MAX_BODY_BYTES": "1"}))

    assert [finding.check for finding in found] == ["configuration"] * 2
    assert "PAIDUP_LIVEMODE" in found[0].says
    assert "PAIDUP_MAX_BODY_BYTES" in found[1].says


def test_without_servers_it_says_which_are_missing(tmp_path: Path) -> None:
    found = troubles(examine({"PAIDUP_DATA_DIR": str(tmp_path)}))

    assert "REDIS_URL is not set" in found["Redis"]
    assert "DATABASE_URL is not set" in found["PostgreSQL"]


def test_a_database_url_of_another_kind_is_named(tmp_path: Path) -> None:
    found = troubles(
        examine({"PAIDUP_DATA_DIR": str(tmp_path), "DATABASE_URL": "mysql://localhost/x"})
    )

    assert "postgresql://" in found["configuration"]


@pytest.fixture
def environ(database: str, redis_url: str, tmp_path: Path) -> Mapping[str, str]:
    """A deployment in which all is well."""
    plans = tmp_path / "plans.toml"
    plans.write_text('[plans.premium]\nprices = ["price_1"]\n')
    found = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "STRIPE_WEBHOOK_SECRET": GOOD_SECRET,
        "PAIDUP_PLANS": str(plans),
        "PAIDUP_DATA_DIR": str(tmp_path),
    }
    migrate(Settings.from_env(found))
    return found


@pytest.mark.servers
def test_where_all_is_well_there_is_nothing_to_mend(environ: Mapping[str, str]) -> None:
    found = list(examine(environ))

    assert troubles(found) == {}
    assert {"schema", "plans", "Redis durability", "Redis clock", "PostgreSQL clock"} <= {
        finding.check for finding in found if finding.state is State.OK
    }


@pytest.mark.servers
@pytest.mark.parametrize(
    ("setting", "value", "back"),
    [
        ("appendfsync", "everysec", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("maxmemory", "0", "256mb"),
    ],
)
def test_a_redis_that_would_forget_is_found(
    environ: Mapping[str, str], redis_server: Redis, setting: str, value: str, back: str
) -> None:
    client = redis_server.client()
    client.config_set(setting, value)
    try:
        found = troubles(examine(environ))
    finally:
        client.config_set(setting, back)
        client.close()

    assert setting in found["Redis durability"]


@pytest.mark.servers
def test_what_redis_could_not_save_is_a_warning(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = redis.Redis.info
    failed = {"aof_last_bgrewrite_status": "err"}
    monkeypatch.setattr(redis.Redis, "info", lambda *asked: answer(*asked) | failed)

    found = list(examine(environ))

    (said,) = [finding for finding in found if finding.check == "Redis saving"]
    assert said.state is State.WARNING
    assert "could not rewrite its append-only file" in said.says
    assert troubles(found) == {}


@pytest.mark.servers
def test_a_server_that_is_trusted_is_not_asked(environ: Mapping[str, str]) -> None:
    found = list(examine({**environ, "PAIDUP_REDIS_DURABILITY": "trusted"}))

    (said,) = [finding for finding in found if finding.check == "Redis durability"]
    assert said.state is State.WARNING


@pytest.mark.servers
def test_servers_that_are_away_are_named(environ: Mapping[str, str]) -> None:
    away = {
        "DATABASE_URL": "postgresql://x@127.0.0.1:1/x",
        "REDIS_URL": "redis://127.0.0.1:1",
    }

    found = troubles(examine({**environ, **away}))

    assert "is unreachable" in found["Redis"]
    assert "is unreachable" in found["PostgreSQL"]


@pytest.mark.servers
def test_a_broker_apart_from_the_inbox_is_asked(environ: Mapping[str, str]) -> None:
    found = troubles(examine({**environ, "CELERY_BROKER_URL": "redis://127.0.0.1:1"}))

    assert set(found) == {"broker"}
    assert "is unreachable" in found["broker"]


@pytest.mark.servers
def test_a_database_without_schema_is_named(
    environ: Mapping[str, str], postgres_server: Postgres
) -> None:
    url = postgres_server.create_database("bare")

    found = troubles(examine({**environ, "DATABASE_URL": url}))

    assert "paidup migrate" in found["schema"]
    postgres_server.drop_database("bare")


def change(database: str, statement: str) -> None:
    engine = engine_for(database, application_name="tests")
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


@pytest.mark.servers
def test_a_database_without_plans_is_named(environ: Mapping[str, str], database: str) -> None:
    change(database, "delete from catalogues")

    assert "paidup migrate" in troubles(examine(environ))["plans"]


@pytest.mark.servers
@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("synchronous_commit = off", "synchronous_commit is off"),
        ("default_transaction_read_only = on", "is read-only"),
    ],
)
def test_a_database_that_does_not_keep_its_word_is_named(
    environ: Mapping[str, str], database: str, setting: str, word: str
) -> None:
    change(database, f"alter role current_user set {setting}")
    try:
        found = troubles(examine(environ))
    finally:
        change(database, "set transaction read write; alter role current_user reset all")

    assert word in found["PostgreSQL"]


@pytest.mark.servers
def test_what_has_no_effect_yet_is_a_warning_with_names(
    environ: Mapping[str, str], database: str
) -> None:
    change(
        database,
        "insert into parties (party, catalogue_version, waiting, candidates, unknown_prices,"
        " without_grant, incomplete_summaries, missing_subscriptions, undecided)"
        " values ('test:cus_1', 1, true, '{\"sub_1\": []}',"
        " array['p2', 'p1', 'p3', 'p4', 'p5', 'p6'],"
        " (select jsonb_object_agg('p' || n, 'unknown_price') from generate_series(1, 6) as n),"
        " array['cus_1'], array['sub_1'], array['test:sub_1'])",
    )
    change(
        database,
        "insert into dead_letters (event_id, type, payload, error_type, error, attempts,"
        " first_failed_at, last_failed_at, state, history)"
        " values ('evt_1', 'x', '{}', 'E', 'e', 1, now(), now(), 'open', '[]')",
    )

    said = {f.check: f.says for f in examine(environ) if f.state is State.WARNING}

    assert said["prices"].endswith("p4 (0 users wait), p5 (0 users wait), ...")
    assert said["subscriptions"].endswith("sub_1")
    assert said["features"].endswith("cus_1")
    assert said["order"].endswith("test:sub_1")
    assert said["users"].startswith("1 customer or payment names")
    assert said["dead letters"].startswith("1 event not applied, the oldest since 20")


@pytest.mark.servers
def test_an_apply_that_was_broken_off_is_named(environ: Mapping[str, str], database: str) -> None:
    change(
        database,
        "insert into parties (party, catalogue_version, waiting, unknown_prices,"
        " incomplete_summaries, missing_subscriptions, undecided)"
        " values ('test:cus_1', 0, false, '{}', '{}', '{}', '{}')",
    )

    said = [f.says for f in examine(environ) if f.state is State.WARNING and f.check == "plans"]

    assert any(each.startswith("1 party still uses older plans") for each in said)


@pytest.mark.servers
def test_missing_replicas_are_named(environ: Mapping[str, str]) -> None:
    found = troubles(examine({**environ, "PAIDUP_REDIS_REPLICAS": "1"}))

    assert "0 connected, PAIDUP_REDIS_REPLICAS=1: ingest answers 503" in found["Redis replicas"]


@pytest.mark.parametrize(
    ("info", "state", "says"),
    [
        ({"redis_version": "7.2.4", "connected_slaves": 1}, State.OK, "1 connected"),
        (
            {"redis_version": "7.0.15", "connected_slaves": 2},
            State.WARNING,
            "in memory, not on disk",
        ),
    ],
)
def test_replicas_that_can_only_prove_memory_are_a_warning(
    info: Mapping[str, object], state: State, says: str
) -> None:
    (finding,) = check_redis._replicas(info, 1)

    assert finding.state is state
    assert says in finding.says


@pytest.mark.servers
def test_a_full_redis_is_named(environ: Mapping[str, str], redis_server: Redis) -> None:
    client = redis_server.client()
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", used)
    try:
        found = troubles(examine(environ))
    finally:
        client.config_set("maxmemory", "256mb")
        client.close()

    assert "% of maxmemory is used: raise maxmemory" in found["Redis memory"]


@pytest.mark.servers
def test_plans_that_differ_from_those_of_record_are_a_warning(environ: Mapping[str, str]) -> None:
    Path(environ["PAIDUP_PLANS"]).write_text('[plans.premium]\nprices = ["price_2"]\n')

    (said,) = [finding for finding in examine(environ) if finding.check == "plans"]

    assert said.state is State.WARNING
    assert "differs" in said.says


@pytest.mark.servers
@pytest.mark.parametrize("well", [True, False])
def test_the_command_says_it_as_json_and_as_exit_code(
    environ: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    well: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if not well:
        monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_...")

    code = cli.run(["doctor", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is well
    assert code == (0 if well else 1)
    assert GOOD_SECRET not in json.dumps(document)


def test_the_command_prints_a_table_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PAIDUP_DATA_DIR", str(tmp_path))

    assert cli.run(["doctor"]) == 1

    printed = capsys.readouterr().out
    assert "REDIS_URL is not set" in printed
    assert printed.endswith("3 problems, 3 warnings\n")


@pytest.mark.servers
def test_signed_deliveries_at_a_wrong_path_are_named(
    environ: Mapping[str, str], redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        WrongPaths(client).add({"/stripe/webhook": 3, "/webhooks/stripe/": 1})

    ((state, says),) = [(f.state, f.says) for f in examine(environ) if f.check == "webhook path"]
    ((elsewhere, path),) = [
        (f.state, f.says)
        for f in examine({**environ, "PAIDUP_WEBHOOK_PATH": "/stripe/webhook/"})
        if f.check == "webhook path"
    ]

    assert state is State.WARNING
    assert says.startswith("3 signed requests to /stripe/webhook got 404")
    assert "PAIDUP_WEBHOOK_PATH" in says
    assert "to /webhooks/stripe/ got 404" in path
    assert elsewhere is State.WARNING


@pytest.mark.servers
def test_a_cluster_is_named_with_what_to_use_instead(
    environ: Mapping[str, str], cluster_url: str
) -> None:
    found = troubles(examine({**environ, "REDIS_URL": cluster_url}))

    assert found == {"Redis": CLUSTER}


@pytest.mark.servers
def test_a_secret_that_matches_nothing_is_named(environ: Mapping[str, str], redis_url: str) -> None:
    def found() -> tuple[State, str]:
        ((state, says),) = [(f.state, f.says) for f in examine(environ) if f.check == "signatures"]
        return state, says

    with redis.Redis.from_url(redis_url) as client:
        record = SignatureRecord(client)
        record.add(mismatched=7, matched=())
        state, says = found()
        record.add(mismatched=0, matched=("0a1b",))

    assert state is State.WARNING
    assert says.startswith("7 signed requests in a row matched no secret and got 403")
    assert "paidup doctor --delivery" in says
    assert found()[0] is State.OK
