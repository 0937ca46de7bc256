"""Alembic's entry: runs inside the transaction that ``runtime.schema`` opened."""

from alembic import context

from models.tables import metadata


def run(connection: object) -> None:
    """Apply the revisions on a connection whose owner commits, so that all or none stand."""
    context.configure(connection=connection, target_metadata=metadata)  # type: ignore[arg-type]
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
