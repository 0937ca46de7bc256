#!/bin/sh
# Start Alertmanager with the receivers' URLs from the environment, because they often hold a token, and
# no committed file holds one. A receiver without a URL keeps what alertmanager.yml says of it.
set -eu
here=$(dirname "$0")
configuration=${ALERTMANAGER_RUN_DIR:-/run/alertmanager}/alertmanager.yml
umask 077
awk '
    { print }
    $1 == "-" && $2 == "name:" {
        variable = "PAIDUP_ALERT_" toupper($3) "_URL"
        url = ENVIRON[variable]
        gsub(/\047/, "\047\047", url)  # as YAML spells a quote between quotes
        if (url != "") {
            printf "    webhook_configs:\n      - url: \047%s\047\n", url
        }
    }
' "$here/alertmanager.yml" > "$configuration"
if ! grep -q "_configs:" "$configuration"; then
    echo "alertmanager: alerts notify no one: set PAIDUP_ALERT_PAGE_URL in .env" >&2
fi
exec "${ALERTMANAGER:-alertmanager}" --config.file="$configuration" --cluster.listen-address= "$@"
