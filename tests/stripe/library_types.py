"""Compare JSON with the types that Stripe's Python library declares for it."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from inspect import get_annotations
from types import UnionType
from typing import Any, Final, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

import stripe
from stripe._object_classes import get_object_class

LIST_FIELDS: Final = frozenset({"data", "has_more", "object", "url"})
_WRITTEN_AS: Final = frozenset({(int, float), (str, Decimal)})
"""Types of JSON that the library turns into another."""
_PLAIN: Final = (str, int, float, bool, Decimal, type(None))


def type_problems(value: object, hint: Any, path: str) -> Iterator[str]:
    """Yield each place where a value is not what a hint of the library says."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, ForwardRef | TypeVar | str):
        return _of_reference(value)
    if origin in (Union, UnionType):
        return _of_closest(value, args, path)
    if origin is list:
        return _of_list(value, args[0], path)
    if isinstance(origin or hint, type) and issubclass(origin or hint, stripe.StripeObject):
        return object_problems(value, origin or hint, path)
    return _of_plain(value, origin or hint, args, path)


def object_problems(value: object, declared: type, path: str) -> Iterator[str]:
    """Yield what is wrong with an object of a class: unknown, missing and mistyped fields."""
    if not isinstance(value, Mapping):
        yield f"{path} is no object"
    elif declared is stripe.ListObject:
        yield from _of_list(value["data"], Any, f"{path}.data")
        yield from (f"{path} lacks {name}" for name in sorted(LIST_FIELDS - value.keys()))
    elif declared.__name__ != "UntypedStripeObject":
        yield from _of_fields(value, _hints_of(declared), path)


def class_of(raw: Mapping[str, Any], api: Literal["V1", "V2"] = "V1") -> type:
    """Return the library's class for an object."""
    return get_object_class(api, str(raw["object"]))


def _of_fields(
    value: Mapping[str, object], hints: Mapping[str, object], path: str
) -> Iterator[str]:
    for name, inner in value.items():
        if name in hints:
            yield from type_problems(inner, hints[name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is unknown"
    for name, hint in hints.items():
        if name not in value and type(None) not in get_args(hint):
            yield f"{path} lacks {name}"


def _of_reference(value: object) -> Iterator[str]:
    """Yield the problems of an object that may stand where its id may."""
    if isinstance(value, Mapping) and "object" in value:
        name = str(value["object"])
        yield from object_problems(value, class_of(value), name)


def _of_closest(value: object, hints: tuple[Any, ...], path: str) -> Iterator[str]:
    """Yield the problems of a value by the hint that fits best; an object is never a bad id."""
    if isinstance(value, Mapping):
        hints = tuple(each for each in hints if each not in _PLAIN) or hints
    found: list[list[str]] = [[*type_problems(value, each, path)] for each in hints]
    yield from min(found, key=len)


def _of_list(value: object, hint: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} is no list"
        return
    for each in value:
        yield from type_problems(each, hint, f"{path}[]")


def _of_plain(value: object, hint: Any, args: tuple[Any, ...], path: str) -> Iterator[str]:
    if hint is Literal:
        fits = value in args
    elif hint is dict:
        fits = isinstance(value, dict)
    else:
        fits = type(value) is hint or (type(value), hint) in _WRITTEN_AS
    if not fits:
        yield f"{path} is {value!r}"


def _hints_of(declared: type) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in reversed(declared.__mro__):
        if issubclass(each, stripe.StripeObject) and each is not stripe.StripeObject:
            found |= get_annotations(each)
    return {name: hint for name, hint in found.items() if name.islower() and name[0] != "_"}
