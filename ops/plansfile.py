"""The plans document, as commands read it."""

from runtime.plansfile import read_plans

__all__ = ["read_plans"]
