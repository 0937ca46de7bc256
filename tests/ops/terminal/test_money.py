import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.terminal.money import decimals, format_money, format_payment

ROOT = Path(__file__).parent.parent.parent.parent
HOME = Path("ops/terminal/money.py")
PRODUCT = ("billing", "ingest", "models", "ops", "paidup", "runtime", "workers")
BUILDERS_OF_STRIPE_OBJECTS = Path("ops/samples")
"""They write `unit_amount_decimal`, as Stripe does; no person reads it."""

VALUES_OF_FEATURES = Path("ops/compare")
"""A feature's value may be a decimal number; no amount of money is compared there."""


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (2999, "usd", "29.99 USD"),
        (5, "eur", "0.05 EUR"),
        (-150, "usd", "-1.50 USD"),
        (9_007_199_254_740_993, "usd", "90071992547409.93 USD"),
        (500, "jpy", "500 JPY"),
        (-500, "krw", "-500 KRW"),
        (1234, "kwd", "1.234 KWD"),
        (-5, "bhd", "-0.005 BHD"),
        (500_000, "ugx", "5000.00 UGX"),
        (500, "isk", "5.00 ISK"),
        (1045, "huf", "10.45 HUF"),
        (80_045, "twd", "800.45 TWD"),
        (0, "usd", "0.00 USD"),
        (0, "jpy", "0 JPY"),
        (500, "new", "5.00 NEW"),
    ],
)
def test_an_amount_is_exact_in_the_unit_people_count_in(
    amount: int, currency: str, said: str
) -> None:
    assert format_money(amount, currency) == said
    assert format_money(amount, currency.upper()) == said


@pytest.mark.parametrize(
    ("places", "currencies"),
    [
        (0, "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"),
        (2, "aud brl cad chf eur gbp huf idr inr isk mxn ngn twd ugx usd"),
        (3, "bhd jod kwd omr tnd"),
    ],
)
def test_each_class_of_currencies_has_the_decimals_that_stripe_states(
    places: int, currencies: str
) -> None:
    assert {each: decimals(each) for each in currencies.split()} == dict.fromkeys(
        currencies.split(), places
    )


def test_a_payment_says_how_much_of_it_was_refunded() -> None:
    assert format_payment(500_000, 0, "ugx", "succeeded") == "5000.00 UGX succeeded"
    said = format_payment(1_500, 500, "kwd", "succeeded")
    assert said == "1.500 KWD succeeded, 0.500 KWD refunded"


def test_no_other_place_formats_money() -> None:
    found = []
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = path.relative_to(ROOT)
            elsewhere = (BUILDERS_OF_STRIPE_OBJECTS, VALUES_OF_FEATURES)
            if place != HOME and not any(map(place.is_relative_to, elsewhere)):
                tree = ast.parse(path.read_text())
                found += [f"{place}:{line} {what}" for line, what in formatted_elsewhere(tree)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "f'paid {row.amount_minor} {row.currency}'",
        "f'paid {amount / 100:.2f}'",
        "str(row['amount_minor'])",
        "'%d cents' % row.amount_minor",
        "'{}'.format(amount)",
        "amount_minor // 100",
        "divmod(row.amount_refunded_minor, 100)",
        "row.currency.upper()",
        "_COLUMNS = {'amount': lambda row: row.amount_minor}",
        "import decimal",
        "from decimal import Decimal",
    ],
)
def test_the_check_finds_money_that_is_formatted_elsewhere(code: str) -> None:
    assert list(formatted_elsewhere(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "f'paid {format_money(row.amount_minor, row.currency)}'",
        "_COLUMNS = {'amount': lambda row: format_money(row.amount_minor, row.currency)}",
        "left = received.amount_minor - refunded.amount_minor",
        "max(rows, key=lambda row: row.amount_minor)",
    ],
)
def test_the_check_lets_sums_and_the_home_of_money_pass(code: str) -> None:
    assert not list(formatted_elsewhere(ast.parse(code)))


def formatted_elsewhere(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and code of each amount that is turned into text, or into another unit."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=[ast.alias(name="decimal")]) | ast.ImportFrom(module="decimal"):
                yield node.lineno, ast.unparse(node)
            case ast.Attribute(value=value, attr="upper") if mentions(value, "currency"):
                yield node.lineno, ast.unparse(node)
            case (
                ast.FormattedValue(value=value)
                | ast.BinOp(left=value, op=ast.Div() | ast.FloorDiv())
                | ast.Call(func=ast.Name(id="divmod" | "str"), args=[value, *_])
                | ast.BinOp(left=ast.Constant(str()), op=ast.Mod(), right=value)
                | ast.Call(func=ast.Attribute(attr="format"), args=[value, *_])
            ) if mentions(value, "amount"):
                yield node.lineno, ast.unparse(node)
            case ast.Dict(values=cells):
                for cell in cells:
                    if isinstance(cell, ast.Lambda) and mentions(cell.body, "amount"):
                        yield cell.lineno, ast.unparse(cell)
            case _:
                pass


def mentions(node: ast.AST, word: str) -> bool:
    """Return whether code names an amount or a currency, except where `ops.terminal.money` does."""
    match node:
        case ast.Call(func=ast.Name(id="format_money" | "format_payment")):
            return False
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            if word in name and (not isinstance(node, ast.Constant) or name.isidentifier()):
                return True
        case _:
            pass
    return any(mentions(child, word) for child in ast.iter_child_nodes(node))
