"""Every kind of Stripe object has one family, with fields, reader and fold of its own."""

from billing.facts import Kind
from billing.families import FAMILIES, STATED_BY_PEOPLE
from billing.objects.store import _FOLDS
from billing.readers.registry import BY_FAMILY


def test_every_kind_has_a_family_a_reader_and_a_fold() -> None:
    assert set(FAMILIES) == set(Kind) - STATED_BY_PEOPLE
    assert set(_FOLDS) == set(Kind)
    assert {reader.kind for reader in BY_FAMILY.values()} == set(FAMILIES)


def test_no_two_families_share_fields_name_or_path() -> None:
    families = FAMILIES.values()

    assert len({family.fields for family in families}) == len(families)
    assert len({family.stripe_name for family in families}) == len(families)
    assert len({family.path for family in families}) == len(families)


def test_a_path_takes_one_id() -> None:
    paths = [family.path for family in FAMILIES.values() if family.path]

    assert all(path.count("{}") == 1 and path.startswith("/v1/") for path in paths)
