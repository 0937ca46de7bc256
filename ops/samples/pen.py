"""A pen writes objects in one shape, with ids that follow from a seed and nothing else."""

import string
from copy import deepcopy
from random import Random

from ops.samples.api_shapes import Shape
from ops.samples.unread_fields import JsonObject, furniture

_ALPHABET = string.ascii_letters + string.digits


class Pen:
    """Everything a builder needs besides the story: the shape, and ids nobody else has."""

    def __init__(self, shape: Shape, seed: str) -> None:
        self.shape = shape
        self._random = Random(f"{shape}/{seed}")  # noqa: S311 - samples must repeat, not be secret

    @property
    def new(self) -> bool:
        """True where objects follow the paths that 2025-03-31.basil introduced."""
        return self.shape is Shape.NEW

    def id(self, prefix: str, length: int = 24) -> str:
        """The next id of this seed: the same story told again has the same ids."""
        return f"{prefix}_{''.join(self._random.choices(_ALPHABET, k=length))}"

    def write(self, kind: str, /, **fields: object) -> JsonObject:
        """An object with all its furniture, its fields in the order in which Stripe prints them."""
        whole = {**deepcopy(furniture(kind, self.shape)), **fields, "object": kind}
        first = [name for name in ("id", "object") if name in whole]
        return {name: whole[name] for name in (*first, *sorted(whole.keys() - first))}
