#!/bin/sh
# Starts the console. Without tokens of its own it makes one, and says where it is kept: in the
# volume, for its owner alone, as the key of sessions is. So it outlives this container and its log.
set -eu
if [ -z "${STREAMS_CONSOLE_TOKENS:-}" ] && [ -z "${STREAMS_CONSOLE_TOKENS_FILE:-}" ]; then
    token="$STREAMS_DATA_DIR/console-token"
    entries="$STREAMS_DATA_DIR/console-tokens"
    if [ ! -s "$token" ] || [ ! -s "$entries" ]; then
        made=$(python -m streams console token operator --scope read,act,emit)
        (
            umask 077
            # Entries that somebody added stay; of a token that is lost, the entry goes.
            { [ ! -f "$entries" ] || grep -v '^operator:' "$entries" || :; } > "$entries.new"
            printf '%s\n' "$made" | tail -n 1 >> "$entries.new"
            printf '%s\n' "$made" | head -n 1 > "$token.new"
            mv "$entries.new" "$entries"
            mv "$token.new" "$token"
        )
    fi
    export STREAMS_CONSOLE_TOKENS_FILE="$entries"
    echo "the token to sign in with is in $token: docker compose exec console cat $token"
    echo "remove that file and start again to have another one"
fi
exec python -m streams console --host 0.0.0.0
