"""What is still to be asked of Stripe's API stands beside each settled event."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE stripe_events ADD COLUMN errand TEXT")
    op.execute(
        "CREATE INDEX stripe_events_unfetched_idx ON stripe_events (id)"
        " WHERE errand IS NOT NULL OR reason = 'needs_api_key'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX stripe_events_unfetched_idx")
    op.execute("ALTER TABLE stripe_events DROP COLUMN errand")
