"""The one package that Paidup's wheel installs.

``billing``, ``models`` and the other packages lie inside it, and only Paidup's own processes can
import them by those names. An application in the same environment can have a ``models`` of its own.
"""

__version__ = "0.1.0"
