from billing.facts import Kind, Rank
from billing.ids import EVERY_REALM, EventId, Realm
from billing.projection.party import project
from billing.statements import OperatorGrant, OperatorLink, OperatorStatement, StatementKind
from tests.billing.fact_builders import CATALOGUE, DAY, at, only_grant

GRANT = OperatorGrant(
    id="grant_1", user_id="usr_1", plan_code="premium", features=(), starts_at=at(0), until=None
)
LINK = OperatorLink(id="link_1", user_id="usr_1", target="sub_1", realm=Realm("live"))


def _statement(subject: OperatorGrant | OperatorLink, *, ends: bool = False) -> OperatorStatement:
    return OperatorStatement(
        id=EventId("op_2" if ends else "op_1"),
        subject=subject,
        ends=ends,
        actor="cli:ada",
        reason="why",
        made_at=at(DAY if ends else 0),
        link_since=at(0) if ends and isinstance(subject, OperatorLink) else None,
    )


def test_a_grant_states_a_fact_of_its_own_that_concerns_no_object_of_stripe() -> None:
    fact = _statement(GRANT).fact()

    assert (fact.kind, fact.object_key, fact.rank) == (Kind.GRANT, "any:grant_1", Rank.CREATED)
    assert (fact.mentions, fact.customer_id) == (("any:grant_1",), None)
    assert GRANT.realm == EVERY_REALM
    assert only_grant(project([fact], CATALOGUE, at(5))).active


def test_the_end_of_a_grant_states_when_it_ended() -> None:
    made, ended = _statement(GRANT), _statement(GRANT, ends=True)

    row = only_grant(project([made.fact(), ended.fact()], CATALOGUE, at(2 * DAY)))

    assert (row.active, row.expires_at, row.event_id) == (False, at(DAY), "op_2")


def test_a_link_belongs_to_the_party_of_what_it_links() -> None:
    fact = _statement(LINK).fact()

    assert fact.mentions == ("live:link_1", "live:sub_1")
    assert fact.customer_id is None


def test_a_link_of_a_customer_names_the_customer() -> None:
    link = OperatorLink(id="link_1", user_id="usr_1", target="cus_1", realm=Realm("live"))

    assert _statement(link).fact().customer_id == "cus_1"


def test_the_end_of_a_link_keeps_the_moment_at_which_it_was_made() -> None:
    fields = _statement(LINK, ends=True).fact().fields

    assert (fields.since, fields.ended_at) == (at(0), at(DAY))  # type: ignore[union-attr]


def test_each_statement_has_a_word_for_its_kind() -> None:
    kinds = [_statement(each, ends=ends).kind for each in (GRANT, LINK) for ends in (False, True)]

    assert kinds == list(StatementKind)
    assert _statement(LINK).fact().event_type == "operator.link"
