#!/bin/sh
# Start Redis with one user, who can do what Paidup does and nothing that destroys an inbox. Its
# password comes from the environment, so that no committed file holds one.
set -eu
: "${REDIS_PASSWORD:?set REDIS_PASSWORD}"
here=$(dirname "$0")
users=${REDIS_RUN_DIR:-/run/redis}/users.acl
umask 077
{
    echo "user default off"
    printf 'user paidup on >%s ~paidup:* &* +@all -@dangerous -@admin +info +config|get\n' "$REDIS_PASSWORD"
} > "$users"
exec redis-server "$here/redis.conf" --aclfile "$users" --dir "${REDIS_DATA_DIR:-/data}" "$@"
