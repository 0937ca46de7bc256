#!/bin/sh
# Start Redis with a user who can do what Paidup does and nothing that destroys an inbox, and, if
# it has a password, one for applications who can read the stream of entitlement changes and keep
# their place in it. The passwords come from the environment, so that no committed file holds one.
set -eu
: "${REDIS_PASSWORD:?set REDIS_PASSWORD}"
here=$(dirname "$0")
users=${REDIS_RUN_DIR:-/run/redis}/users.acl
umask 077
{
    echo "user default off"
    printf 'user paidup on >%s ~paidup:* &* +@all -@dangerous -@admin +info +config|get\n' "$REDIS_PASSWORD"
    if [ -n "${REDIS_READER_PASSWORD:-}" ]; then
        printf 'user paidup_reader on >%s ~paidup:entitlement_changes -@all' "$REDIS_READER_PASSWORD"
        printf ' +hello +ping +select +client|setinfo +client|setname'
        printf ' +xread +xrange +xrevrange +xlen +xinfo'
        printf ' +xgroup|create +xreadgroup +xack +xpending +xclaim +xautoclaim\n'
    fi
} > "$users"
exec redis-server "$here/redis.conf" --aclfile "$users" --dir "${REDIS_DATA_DIR:-/data}" "$@"
