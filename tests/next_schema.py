"""Give a database the schema of a release that does not exist yet."""

from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from alembic.config import Config
from sqlalchemy import Engine

from runtime import schema

_MIGRATION = """
from alembic import op

revision = {revision!r}
down_revision = {follows!r}
branch_labels = None
depends_on = None

oldest_release = {oldest_release!r}


def upgrade() -> None:
    for statement in {statements!r}:
        op.execute(statement)
"""


class NextReleases:
    """Writes one migration after the other into a folder, and runs each."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._folder.mkdir()
        self.revision = schema.head()
        schema._known()  # remembered from here on: the new migrations are no part of this release

    def migrate(self, statements: Iterable[str], *, oldest_release: str) -> None:
        """Run the statements as the next migration, which names its oldest release."""
        follows, self.revision = self.revision, f"{int(self.revision) + 1:04}"
        (self._folder / f"{self.revision}_next.py").write_text(
            _MIGRATION.format(
                revision=self.revision,
                follows=follows,
                oldest_release=oldest_release,
                statements=tuple(statements),
            )
        )
        ours = schema._config()
        folder = Path(str(ours.get_main_option("script_location")))

        def with_folder() -> Config:
            config = Config()
            config.set_main_option("script_location", str(folder))
            config.set_main_option("version_locations", f"{folder / 'versions'}\n{self._folder}")
            config.set_main_option("path_separator", "newline")
            return config

        with (
            patch.object(schema, "_config", with_folder),
            patch.object(schema, "__version__", "9999.0.0"),
            patch.object(schema, "_is_newer", lambda _: False),
        ):
            assert schema.upgrade(self._engine)
