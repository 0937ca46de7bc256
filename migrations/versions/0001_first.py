"""The schema of Paidup: events, facts, the rows projected from them, audit and changes."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

APPEND_ONLY = ("audit_logs", "numbered_changes", "operator_statements", "payment_events")

TABLES = """
CREATE TABLE stripe_events (
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    api_version TEXT,
    account TEXT,
    livemode BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    applied_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    attempts INTEGER NOT NULL,
    payload TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    object_id TEXT,
    realm TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    origin TEXT NOT NULL,
    observations TEXT[],
    pending_fetches TEXT,
    settlement BIGINT GENERATED ALWAYS AS IDENTITY,
    CONSTRAINT stripe_events_pkey PRIMARY KEY (id),
    CONSTRAINT stripe_events_outcome_check
        CHECK (outcome IN ('applied', 'superseded', 'ignored')),
    CONSTRAINT stripe_events_origin_check
        CHECK (origin IN ('stripe', 'replay', 'reconcile')),
    CONSTRAINT stripe_events_settlement_key UNIQUE (settlement)
);
CREATE INDEX stripe_events_unknown_type_idx ON stripe_events (type, id)
    WHERE reason = 'unknown_type';
CREATE INDEX stripe_events_observations_idx ON stripe_events USING gin (observations)
    WHERE observations IS NOT NULL;
CREATE INDEX stripe_events_unfetched_idx ON stripe_events (id)
    WHERE pending_fetches IS NOT NULL OR reason = 'needs_api_key';
CREATE INDEX stripe_events_unlisted_idx ON stripe_events (id) WHERE reason = 'unknown_account';
CREATE INDEX stripe_events_type_idx ON stripe_events (type, settlement);
CREATE INDEX stripe_events_applied_at_idx ON stripe_events (applied_at, settlement);
CREATE INDEX stripe_events_without_effect_idx ON stripe_events (outcome, settlement)
    WHERE outcome <> 'applied';
CREATE INDEX stripe_events_prefix_idx ON stripe_events (id text_pattern_ops);

CREATE TABLE api_observations (
    id TEXT NOT NULL,
    object_id TEXT NOT NULL,
    family TEXT NOT NULL,
    realm TEXT NOT NULL,
    event_id TEXT,
    asked_at TIMESTAMPTZ NOT NULL,
    api_version TEXT,
    gone BOOLEAN NOT NULL,
    payload TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    origin TEXT,
    actor TEXT,
    reason TEXT,
    CONSTRAINT api_observations_pkey PRIMARY KEY (id)
);
CREATE INDEX api_observations_object_id_idx ON api_observations (object_id);
CREATE INDEX api_observations_event_id_idx ON api_observations (event_id);

CREATE TABLE facts (
    event_id TEXT NOT NULL,
    object_key TEXT NOT NULL,
    party TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_type TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    fact JSONB NOT NULL,
    archive TEXT DEFAULT '' NOT NULL,
    CONSTRAINT facts_pkey PRIMARY KEY (event_id, object_key)
);
CREATE INDEX facts_party_idx ON facts (party, archive);
CREATE INDEX facts_archived_idx ON facts (object_key, created_at) WHERE archive <> '';

CREATE TABLE memberships (
    object_key TEXT NOT NULL,
    party TEXT NOT NULL,
    archive TEXT DEFAULT '' NOT NULL,
    CONSTRAINT memberships_pkey PRIMARY KEY (object_key)
);
CREATE INDEX memberships_party_idx ON memberships (party, archive);
CREATE INDEX memberships_prefix_idx ON memberships (object_key text_pattern_ops);

CREATE TABLE parties (
    party TEXT NOT NULL,
    catalogue_version INTEGER NOT NULL,
    reader INTEGER DEFAULT 1 NOT NULL,
    due_at TIMESTAMPTZ,
    waiting BOOLEAN NOT NULL,
    unknown_prices TEXT[] NOT NULL,
    incomplete_summaries TEXT[] NOT NULL,
    incomplete_items TEXT[] DEFAULT '{}' NOT NULL,
    incomplete_lines TEXT[] DEFAULT '{}' NOT NULL,
    missing_subscriptions TEXT[] NOT NULL,
    undecided TEXT[] NOT NULL,
    awaiting_invoice TEXT[] DEFAULT '{}' NOT NULL,
    without_line_items TEXT[] DEFAULT '{}' NOT NULL,
    candidates JSONB DEFAULT '{}' NOT NULL,
    without_grant JSONB DEFAULT '{}' NOT NULL,
    archived_until TIMESTAMPTZ,
    dependencies JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT parties_pkey PRIMARY KEY (party)
) WITH (fillfactor = 80);
CREATE INDEX parties_reader_idx ON parties (reader);
CREATE INDEX parties_lacking_idx ON parties (party) WHERE waiting
    OR without_grant <> '{}' OR missing_subscriptions <> '{}' OR awaiting_invoice <> '{}'
    OR incomplete_summaries <> '{}' OR incomplete_items <> '{}' OR incomplete_lines <> '{}'
    OR without_line_items <> '{}';
CREATE INDEX parties_catalogue_version_idx ON parties (catalogue_version);
CREATE INDEX parties_due_at_idx ON parties (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE archive_keys (
    key TEXT NOT NULL,
    party TEXT NOT NULL,
    archive TEXT NOT NULL,
    CONSTRAINT archive_keys_pkey PRIMARY KEY (key, party, archive)
);
CREATE INDEX archive_keys_party_idx ON archive_keys (party, archive);

CREATE TABLE archive_notes (
    party TEXT NOT NULL,
    archive TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value JSONB,
    CONSTRAINT archive_notes_pkey PRIMARY KEY (party, archive, kind, name)
);

CREATE TABLE archive_updates (
    party TEXT NOT NULL,
    position TEXT DEFAULT '' NOT NULL,
    rounds INTEGER DEFAULT 0 NOT NULL,
    again BOOLEAN DEFAULT false NOT NULL,
    began_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    actor TEXT NOT NULL,
    origin TEXT NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    event_id TEXT,
    event_type TEXT,
    reason TEXT,
    CONSTRAINT archive_updates_pkey PRIMARY KEY (party)
);

CREATE TABLE catalogues (
    version INTEGER NOT NULL,
    document JSONB NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    applied_by TEXT NOT NULL,
    reason TEXT,
    CONSTRAINT catalogues_pkey PRIMARY KEY (version),
    CONSTRAINT catalogues_version_check CHECK (version > 0)
);

CREATE TABLE customers (
    realm TEXT NOT NULL,
    stripe_customer_id TEXT NOT NULL,
    user_id TEXT,
    party TEXT NOT NULL,
    CONSTRAINT customers_pkey PRIMARY KEY (realm, stripe_customer_id)
);
CREATE INDEX customers_party_idx ON customers (party);
CREATE INDEX customers_user_id_idx ON customers (user_id text_pattern_ops);

CREATE TABLE subscriptions (
    realm TEXT NOT NULL,
    stripe_subscription_id TEXT NOT NULL,
    stripe_customer_id TEXT,
    user_id TEXT,
    status TEXT NOT NULL,
    prices TEXT[] NOT NULL,
    current_period_end TIMESTAMPTZ,
    cancel_at_period_end BOOLEAN NOT NULL,
    as_of TIMESTAMPTZ NOT NULL,
    party TEXT NOT NULL,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (realm, stripe_subscription_id)
) WITH (fillfactor = 80);
CREATE INDEX subscriptions_party_idx ON subscriptions (party);
CREATE INDEX subscriptions_user_id_idx ON subscriptions (user_id);
CREATE INDEX subscriptions_status_idx
    ON subscriptions (status, realm, stripe_subscription_id);

CREATE TABLE purchases (
    realm TEXT NOT NULL,
    purchase_ref TEXT NOT NULL,
    line TEXT NOT NULL,
    user_id TEXT,
    plan_code TEXT,
    price TEXT,
    quantity BIGINT NOT NULL,
    status TEXT NOT NULL,
    ends_at TIMESTAMPTZ,
    payment_ref TEXT,
    party TEXT NOT NULL,
    archive TEXT DEFAULT '' NOT NULL,
    CONSTRAINT purchases_pkey PRIMARY KEY (realm, purchase_ref, line),
    CONSTRAINT purchases_status_check
        CHECK (status IN ('paid', 'pending', 'expired', 'failed'))
);
CREATE INDEX purchases_party_idx ON purchases (party, archive);
CREATE INDEX purchases_user_id_idx ON purchases (user_id);
CREATE INDEX purchases_status_idx ON purchases (status, realm, purchase_ref, line);

CREATE TABLE payments (
    realm TEXT NOT NULL,
    payment_ref TEXT NOT NULL,
    user_id TEXT,
    stripe_customer_id TEXT,
    amount_minor BIGINT NOT NULL,
    amount_refunded_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    dispute_status TEXT,
    invoice_id TEXT,
    plan_code TEXT,
    inferred BOOLEAN NOT NULL,
    provisional BOOLEAN NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    party TEXT NOT NULL,
    archive TEXT DEFAULT '' NOT NULL,
    CONSTRAINT payments_pkey PRIMARY KEY (realm, payment_ref),
    CONSTRAINT payments_status_check
        CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')),
    CONSTRAINT payments_amount_minor_check CHECK (amount_minor >= 0),
    CONSTRAINT payments_amount_refunded_minor_check CHECK (amount_refunded_minor >= 0)
) WITH (fillfactor = 80);
CREATE INDEX payments_party_idx ON payments (party, archive);
CREATE INDEX payments_user_id_idx ON payments (user_id, occurred_at, payment_ref, realm);
CREATE INDEX payments_customer_idx
    ON payments (stripe_customer_id, occurred_at, payment_ref, realm);
CREATE INDEX payments_status_idx ON payments (status, occurred_at, payment_ref, realm);
CREATE INDEX payments_returned_idx ON payments (occurred_at, payment_ref, realm)
    WHERE amount_refunded_minor > 0 OR dispute_status IS NOT NULL;

CREATE TABLE user_entitlements (
    user_id TEXT NOT NULL,
    source TEXT NOT NULL,
    plan_code TEXT NOT NULL,
    realm TEXT NOT NULL,
    entitlements JSONB NOT NULL,
    per_seat TEXT[] NOT NULL,
    active BOOLEAN NOT NULL,
    starts_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    event_id TEXT NOT NULL,
    because TEXT NOT NULL,
    guessed BOOLEAN NOT NULL,
    catalogue_version INTEGER NOT NULL,
    updated_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    party TEXT NOT NULL,
    archive TEXT DEFAULT '' NOT NULL,
    CONSTRAINT user_entitlements_pkey PRIMARY KEY (user_id, source, plan_code, realm)
) WITH (fillfactor = 80);
CREATE INDEX user_entitlements_expires_at_idx ON user_entitlements (expires_at)
    WHERE expires_at IS NOT NULL;
CREATE INDEX user_entitlements_party_idx ON user_entitlements (party, archive);
CREATE INDEX user_entitlements_plan_code_idx ON user_entitlements
    (plan_code, user_id, source, realm) INCLUDE (expires_at) WHERE active;
CREATE INDEX user_entitlements_given_idx ON user_entitlements
    (user_id, hashtextextended(entitlements::text, hash_array_extended(per_seat, 0)), expires_at)
    WHERE active;

CREATE TABLE user_versions (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT user_versions_pkey PRIMARY KEY (user_id)
) WITH (fillfactor = 80);
CREATE INDEX user_versions_prefix_idx ON user_versions (user_id text_pattern_ops);

CREATE TABLE payment_events (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id TEXT,
    event_type TEXT,
    kind TEXT NOT NULL,
    realm TEXT NOT NULL,
    payment_ref TEXT NOT NULL,
    user_id TEXT,
    plan_code TEXT,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT payment_events_pkey PRIMARY KEY (id),
    CONSTRAINT payment_events_kind_check
        CHECK (kind IN ('received', 'refunded', 'refund_reversed', 'moved')),
    CONSTRAINT payment_events_amount_minor_check CHECK (amount_minor <> 0)
);
CREATE INDEX payment_events_payment_ref_idx ON payment_events (payment_ref, realm);
CREATE INDEX payment_events_user_id_idx ON payment_events (user_id);

CREATE TABLE audit_logs (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    occurred_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    origin TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    event_id TEXT,
    user_id TEXT,
    before JSONB,
    after JSONB,
    reason TEXT,
    version BIGINT,
    CONSTRAINT audit_logs_pkey PRIMARY KEY (id),
    CONSTRAINT audit_logs_outcome_check
        CHECK (outcome IN ('done', 'refused', 'failed'))
);
CREATE INDEX audit_logs_event_id_idx ON audit_logs (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX audit_logs_target_idx ON audit_logs (target_type, target_id);
CREATE INDEX audit_logs_action_idx ON audit_logs (action, id);
CREATE INDEX audit_logs_people_idx ON audit_logs (actor, id)
    WHERE actor NOT IN ('stripe', 'clock');
CREATE INDEX audit_logs_user_id_idx ON audit_logs (user_id, id) WHERE user_id IS NOT NULL;

CREATE TABLE operator_statements (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    realm TEXT NOT NULL,
    user_id TEXT NOT NULL,
    target TEXT,
    says JSONB NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    made_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT operator_statements_pkey PRIMARY KEY (id),
    CONSTRAINT operator_statements_kind_check
        CHECK (kind IN ('grant', 'grant_ended', 'link', 'link_ended')),
    CONSTRAINT operator_statements_reason_check CHECK (reason ~ '[^[:space:]]'),
    CONSTRAINT operator_statements_actor_check CHECK (actor ~ '[^[:space:]]')
);
CREATE INDEX operator_statements_subject_idx ON operator_statements (subject text_pattern_ops);
CREATE INDEX operator_statements_target_idx ON operator_statements (target);
CREATE INDEX operator_statements_user_id_idx ON operator_statements (user_id);

CREATE TABLE dead_letters (
    event_id TEXT NOT NULL,
    type TEXT,
    payload TEXT NOT NULL,
    error_type TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    received_at TIMESTAMPTZ,
    first_failed_at TIMESTAMPTZ NOT NULL,
    last_failed_at TIMESTAMPTZ NOT NULL,
    state TEXT DEFAULT 'open' NOT NULL,
    resolved_at TIMESTAMPTZ,
    resolved_by TEXT,
    reason TEXT,
    history JSONB DEFAULT '[]'::jsonb NOT NULL,
    error_group TEXT GENERATED ALWAYS AS (
        md5(coalesce(type, '') || ' ' || error_type || ' '
            || regexp_replace(split_part(error, chr(10), 1), '\\w*\\d\\w*', '#', 'g'))
    ) STORED NOT NULL,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (event_id),
    CONSTRAINT dead_letters_state_check
        CHECK (state IN ('open', 'replayed', 'discarded'))
);
CREATE INDEX dead_letters_state_idx ON dead_letters (state, last_failed_at, event_id);
CREATE INDEX dead_letters_prefix_idx ON dead_letters (event_id text_pattern_ops);
CREATE INDEX dead_letters_group_idx
    ON dead_letters (state, error_group, last_failed_at, event_id);
CREATE INDEX dead_letters_first_failed_at_idx
    ON dead_letters (state, error_group, first_failed_at);

CREATE TABLE console_sessions (
    id TEXT NOT NULL,
    digest TEXT NOT NULL,
    person TEXT NOT NULL,
    role TEXT NOT NULL,
    how TEXT NOT NULL,
    credential TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    ended_by TEXT,
    CONSTRAINT console_sessions_pkey PRIMARY KEY (id),
    CONSTRAINT console_sessions_digest_key UNIQUE (digest),
    CONSTRAINT console_sessions_how_check CHECK (how IN ('token', 'oidc'))
) WITH (fillfactor = 80);
CREATE INDEX console_sessions_expires_at_idx ON console_sessions (expires_at);
CREATE INDEX console_sessions_person_idx ON console_sessions (person) WHERE ended_at IS NULL;

CREATE TABLE console_audit_windows (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    begins_at TIMESTAMPTZ NOT NULL,
    tries BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT console_audit_windows_pkey PRIMARY KEY (kind, subject, begins_at),
    CONSTRAINT console_audit_windows_kind_check CHECK (kind IN ('failed_login', 'look'))
);

CREATE TABLE search_terms (
    term TEXT NOT NULL,
    kind TEXT NOT NULL,
    object_key TEXT NOT NULL,
    party TEXT NOT NULL,
    CONSTRAINT search_terms_pkey PRIMARY KEY (term, kind, object_key),
    CONSTRAINT search_terms_kind_check
        CHECK (kind IN ('email', 'id', 'metadata', 'name', 'user'))
);
CREATE INDEX search_terms_party_idx ON search_terms (party);
CREATE INDEX search_terms_email_idx ON search_terms (term text_pattern_ops)
    WHERE kind = 'email';

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

CREATE TABLE database_epoch (
    one_row BOOLEAN DEFAULT true NOT NULL,
    epoch TEXT DEFAULT gen_random_uuid()::text NOT NULL,
    replaced_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    inbox_epoch TEXT,
    newest_accept BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT database_epoch_pkey PRIMARY KEY (one_row),
    CONSTRAINT database_epoch_one_row_check CHECK (one_row)
) WITH (fillfactor = 80);
INSERT INTO database_epoch DEFAULT VALUES;

CREATE TABLE schema_release (
    one_row BOOLEAN DEFAULT true NOT NULL,
    oldest_release TEXT NOT NULL,
    CONSTRAINT schema_release_pkey PRIMARY KEY (one_row),
    CONSTRAINT schema_release_one_row_check CHECK (one_row)
);
INSERT INTO schema_release (oldest_release) VALUES ('0.1.0');

CREATE TABLE data_losses (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    server TEXT NOT NULL,
    noticed_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    kept_until TIMESTAMPTZ,
    complete BOOLEAN NOT NULL,
    inbox_epoch TEXT,
    first_accept BIGINT,
    last_accept BIGINT,
    closed_at TIMESTAMPTZ,
    CONSTRAINT data_losses_pkey PRIMARY KEY (id),
    CONSTRAINT data_losses_inbox_epoch_key UNIQUE (inbox_epoch),
    CONSTRAINT data_losses_server_check CHECK (server IN ('postgresql', 'redis'))
);

CREATE TABLE lost_settlements (
    event_id TEXT NOT NULL,
    settlement BIGINT NOT NULL,
    loss_id BIGINT NOT NULL,
    settled_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT lost_settlements_pkey PRIMARY KEY (event_id, settlement)
);
CREATE INDEX lost_settlements_loss_id_idx ON lost_settlements (loss_id);

CREATE TABLE idempotency_keys (
    operation TEXT NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    result TEXT NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (operation, scope, key)
);
CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

CREATE TABLE bulk_plans (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    made_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    said JSONB NOT NULL,
    items BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    catalogue_version INTEGER,
    release TEXT NOT NULL,
    state TEXT DEFAULT 'planned' NOT NULL,
    state_reason TEXT,
    rate DOUBLE PRECISION,
    previewed BIGINT DEFAULT 0 NOT NULL,
    previewed_at TIMESTAMPTZ,
    preview_counts JSONB DEFAULT '{}'::jsonb NOT NULL,
    approved_by TEXT,
    approved_at TIMESTAMPTZ,
    bypassed_by TEXT,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    mark BIGINT,
    counts JSONB DEFAULT '{}'::jsonb NOT NULL,
    owner TEXT,
    heartbeat_at TIMESTAMPTZ,
    CONSTRAINT bulk_plans_pkey PRIMARY KEY (id),
    CONSTRAINT bulk_plans_action_check CHECK (action IN ('replay', 'discard')),
    CONSTRAINT bulk_plans_state_check CHECK (state IN
        ('planned', 'previewing', 'previewed', 'waiting', 'running', 'paused', 'cancelled', 'done'))
) WITH (fillfactor=80);
CREATE INDEX bulk_plans_leased_idx ON bulk_plans (id) WHERE state IN ('previewing', 'running');
CREATE INDEX bulk_plans_bypassed_idx ON bulk_plans (id) WHERE bypassed_by IS NOT NULL;

CREATE TABLE bulk_items (
    plan BIGINT NOT NULL,
    position BIGINT NOT NULL,
    key TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    letter_state TEXT,
    state TEXT DEFAULT 'waiting' NOT NULL,
    said TEXT,
    CONSTRAINT bulk_items_pkey PRIMARY KEY (plan, position),
    CONSTRAINT bulk_items_state_check CHECK (state IN ('waiting', 'done', 'skipped', 'failed'))
);
CREATE INDEX bulk_items_attention_idx ON bulk_items (plan, state, position)
    WHERE state IN ('skipped', 'failed');

CREATE TABLE bulk_users (
    plan BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    named_by TEXT NOT NULL,
    CONSTRAINT bulk_users_pkey PRIMARY KEY (plan, user_id)
);

CREATE TABLE bulk_differences (
    plan BIGINT NOT NULL,
    position BIGINT NOT NULL,
    party TEXT NOT NULL,
    kind TEXT NOT NULL,
    user_id TEXT,
    takes BOOLEAN NOT NULL,
    before JSONB,
    after JSONB,
    CONSTRAINT bulk_differences_pkey PRIMARY KEY (plan, position),
    CONSTRAINT bulk_differences_kind_check CHECK (kind IN ('entitlement', 'payment'))
);
CREATE INDEX bulk_differences_party_idx ON bulk_differences (plan, party);

CREATE TABLE stripe_runs (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    realm TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    said JSONB NOT NULL,
    state TEXT DEFAULT 'running' NOT NULL,
    state_reason TEXT,
    rate DOUBLE PRECISION NOT NULL,
    started_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    ended_at TIMESTAMPTZ,
    owner TEXT,
    heartbeat_at TIMESTAMPTZ,
    requests BIGINT DEFAULT 0 NOT NULL,
    counts JSONB DEFAULT '{}'::jsonb NOT NULL,
    result JSONB,
    CONSTRAINT stripe_runs_pkey PRIMARY KEY (id),
    CONSTRAINT stripe_runs_kind_check CHECK (kind IN ('backfill', 'reconcile')),
    CONSTRAINT stripe_runs_state_check
        CHECK (state IN ('running', 'done', 'failed', 'cancelled'))
) WITH (fillfactor=80);
CREATE INDEX stripe_runs_running_idx ON stripe_runs (id) WHERE state = 'running';
CREATE INDEX stripe_runs_kind_idx ON stripe_runs (kind, realm, id);

CREATE TABLE stripe_run_ranges (
    run BIGINT NOT NULL,
    list TEXT NOT NULL,
    position INTEGER NOT NULL,
    oldest TIMESTAMPTZ,
    newest TIMESTAMPTZ,
    cursor TEXT,
    pages BIGINT DEFAULT 0 NOT NULL,
    objects BIGINT DEFAULT 0 NOT NULL,
    done BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT stripe_run_ranges_pkey PRIMARY KEY (run, list, position)
) WITH (fillfactor=80);

CREATE TABLE stripe_run_objects (
    run BIGINT NOT NULL,
    holder TEXT NOT NULL,
    object_id TEXT NOT NULL,
    list TEXT NOT NULL,
    family TEXT NOT NULL,
    asked_at TIMESTAMPTZ NOT NULL,
    api_version TEXT,
    gone BOOLEAN NOT NULL,
    payload TEXT NOT NULL,
    CONSTRAINT stripe_run_objects_pkey PRIMARY KEY (run, holder, object_id)
);
CREATE INDEX stripe_run_objects_object_idx
    ON stripe_run_objects (run, object_id text_pattern_ops);

CREATE TABLE stripe_run_pages (
    run BIGINT NOT NULL,
    page BIGINT GENERATED ALWAYS AS IDENTITY,
    names TEXT[] NOT NULL,
    totals JSONB NOT NULL,
    CONSTRAINT stripe_run_pages_pkey PRIMARY KEY (run, page)
);

CREATE TABLE stripe_run_differences (
    run BIGINT NOT NULL,
    name TEXT NOT NULL,
    family TEXT NOT NULL,
    class TEXT NOT NULL,
    state TEXT NOT NULL,
    stripe_customer_id TEXT,
    user_id TEXT,
    ours JSONB,
    theirs JSONB,
    says TEXT NOT NULL,
    found_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    CONSTRAINT stripe_run_differences_pkey PRIMARY KEY (run, name),
    CONSTRAINT stripe_run_differences_state_check
        CHECK (state IN ('moving', 'stands', 'repaired', 'left')),
    CONSTRAINT stripe_run_differences_class_check
        CHECK (class IN ('paid_not_granted', 'granted_not_paid', 'amounts', 'missing_event',
            'missing_here', 'unknown_there', 'other_status', 'other_price', 'other_period',
            'other_user', 'stale_here'))
);
CREATE INDEX stripe_run_differences_class_idx ON stripe_run_differences (run, class, name);

CREATE TABLE reconciled_days (
    realm TEXT NOT NULL,
    day DATE NOT NULL,
    digest TEXT NOT NULL,
    events BIGINT NOT NULL,
    missing BIGINT NOT NULL,
    reads INTEGER DEFAULT 1 NOT NULL,
    read_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    closed_at TIMESTAMPTZ,
    CONSTRAINT reconciled_days_pkey PRIMARY KEY (realm, day)
);
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$
"""

# Ordering jsonb puts true over false and larger numbers first, so "or" and maximum are one
# ORDER BY. A sum of seats stops being true at the first expiry among its parts, a maximum only
# when the last row that reaches it ends. What Stripe says is in force is in force, so ``starts_at``
# is for people: a test clock may be years ahead of ours. NOT MATERIALIZED lets a user_id reach an
# index.
EFFECTIVE_ENTITLEMENTS = """
CREATE VIEW effective_entitlements AS
WITH in_force AS NOT MATERIALIZED (
    SELECT user_id, feature.key AS feature, feature.value, expires_at,
           feature.key = ANY (per_seat) AND jsonb_typeof(feature.value) = 'number' AS adds_up
    FROM user_entitlements CROSS JOIN LATERAL jsonb_each(entitlements) AS feature
    WHERE active AND (expires_at IS NULL OR expires_at > now())
), candidates AS (
    SELECT user_id, feature, value, expires_at FROM in_force WHERE NOT adds_up
    UNION ALL
    SELECT user_id, feature, to_jsonb(sum(value::numeric)), min(expires_at)
    FROM in_force WHERE adds_up GROUP BY user_id, feature
)
SELECT DISTINCT ON (user_id, feature) user_id, feature, value, expires_at
FROM candidates
ORDER BY user_id, feature, value DESC, expires_at DESC NULLS FIRST
"""

# In the writer's transaction and statement, whichever code writes: no way of changing an
# entitlement can forget it, and it costs no round trip.
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

ENTITLEMENT_CHANGES = """
CREATE VIEW entitlement_changes AS
SELECT numbered.cursor, log.user_id,
       coalesce(log.after, log.before) ->> 'source' AS source,
       coalesce(log.after, log.before) ->> 'plan_code' AS plan_code,
       split_part(log.action, '.', 2) AS change,
       log.before, log.after, log.event_id, log.reason, log.occurred_at, log.version,
       coalesce((SELECT epoch FROM database_epoch WHERE one_row), '') AS epoch
FROM numbered_changes AS numbered JOIN audit_logs AS log ON log.id = numbered.audit_id
"""

ENTITLEMENT_VERSIONS = """
CREATE VIEW entitlement_versions AS
SELECT user_id, version, changed_at,
       coalesce((SELECT epoch FROM database_epoch WHERE one_row), '') AS epoch
FROM user_versions
"""

# Always one row, so that a reader may compare the epoch before there is any change.
ENTITLEMENT_EPOCH = """
CREATE VIEW entitlement_epoch AS
SELECT coalesce((SELECT epoch FROM database_epoch WHERE one_row), '') AS epoch,
       (SELECT coalesce(max(cursor), 0) FROM numbered_changes) AS cursor
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(REFUSE_CHANGE)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(KEEP_CHANGES)
    op.execute(EFFECTIVE_ENTITLEMENTS)
    op.execute(ENTITLEMENT_CHANGES)
    op.execute(ENTITLEMENT_VERSIONS)
    op.execute(ENTITLEMENT_EPOCH)


def downgrade() -> None:
    op.execute(
        "DROP VIEW effective_entitlements, entitlement_changes, entitlement_versions,"
        " entitlement_epoch"
    )
    op.execute(
        "DROP TABLE user_entitlements, payments, purchases, subscriptions, customers,"
        " archive_keys, archive_notes, archive_updates, catalogues, parties, memberships, facts,"
        " api_observations, stripe_events, payment_events,"
        " audit_logs, operator_statements, dead_letters, waiting_changes, numbered_changes,"
        " database_epoch, schema_release, data_losses, lost_settlements, search_terms,"
        " idempotency_keys, user_versions, bulk_differences, bulk_users, bulk_items, bulk_plans,"
        " console_sessions, console_audit_windows,"
        " stripe_runs, stripe_run_ranges, stripe_run_objects, stripe_run_pages,"
        " stripe_run_differences,"
        " reconciled_days"
    )
    op.execute("DROP FUNCTION refuse_change(), keep_entitlement_changes()")
