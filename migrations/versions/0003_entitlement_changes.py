"""Entitlement changes, numbered for readers in an order that no late commit can disturb."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE waiting_changes (
    audit_id BIGINT NOT NULL,
    CONSTRAINT waiting_changes_pkey PRIMARY KEY (audit_id)
);

CREATE TABLE numbered_changes (
    cursor BIGINT NOT NULL,
    audit_id BIGINT NOT NULL,
    CONSTRAINT numbered_changes_pkey PRIMARY KEY (cursor),
    CONSTRAINT numbered_changes_audit_id_key UNIQUE (audit_id),
    CONSTRAINT numbered_changes_cursor_check CHECK (cursor > 0)
);
"""

# In the writer's transaction and statement, whoever writes: no way of changing an entitlement
# could forget it, and it costs no question over the wire.
KEEP_CHANGES = """
CREATE FUNCTION keep_entitlement_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO waiting_changes (audit_id)
        SELECT id FROM written WHERE starts_with(action, 'entitlement.');
    RETURN NULL;
END $$;

CREATE TRIGGER keep_entitlement_changes AFTER INSERT ON audit_logs
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION keep_entitlement_changes();
"""

APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON numbered_changes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""

ENTITLEMENT_CHANGES = """
CREATE VIEW entitlement_changes AS
SELECT numbered.cursor, log.user_id,
       coalesce(log.after, log.before) ->> 'source' AS source,
       coalesce(log.after, log.before) ->> 'plan_code' AS plan_code,
       split_part(log.action, '.', 2) AS change,
       log.before, log.after, log.event_id, log.reason, log.occurred_at
FROM numbered_changes AS numbered JOIN audit_logs AS log ON log.id = numbered.audit_id
"""

# What happened before this release is history, too: numbered in the order of the audit, since
# none of its transactions is open any more.
NUMBER_OLD = """
INSERT INTO numbered_changes (cursor, audit_id)
SELECT row_number() OVER (ORDER BY id), id FROM audit_logs
WHERE starts_with(action, 'entitlement.')
"""


def upgrade() -> None:
    # Nobody may be between his insert and his commit while the old changes are counted.
    op.execute("LOCK TABLE audit_logs IN SHARE ROW EXCLUSIVE MODE")
    op.execute(TABLES)
    op.execute(NUMBER_OLD)
    op.execute(KEEP_CHANGES)
    op.execute(APPEND_ONLY)
    op.execute(ENTITLEMENT_CHANGES)


def downgrade() -> None:
    op.execute("DROP VIEW entitlement_changes")
    op.execute("DROP TRIGGER keep_entitlement_changes ON audit_logs")
    op.execute("DROP FUNCTION keep_entitlement_changes()")
    op.execute("DROP TABLE waiting_changes, numbered_changes")
