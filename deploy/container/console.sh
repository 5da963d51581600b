#!/bin/sh
# Starts the console. Without tokens of its own it makes one, the first time, and shows it once.
set -eu
if [ -z "${STREAMS_CONSOLE_TOKENS:-}" ] && [ -z "${STREAMS_CONSOLE_TOKENS_FILE:-}" ]; then
    export STREAMS_CONSOLE_TOKENS_FILE="$STREAMS_DATA_DIR/console-tokens"
    if [ ! -s "$STREAMS_CONSOLE_TOKENS_FILE" ]; then
        made=$(python -m streams console token operator --scope read,act,emit)
        umask 077
        printf '%s\n' "$made" | tail -n 1 > "$STREAMS_CONSOLE_TOKENS_FILE"
        # Lost? Remove the file and start again, or add another: python -m streams console token NAME
        echo "sign in with this token, which is not shown again: $(printf '%s\n' "$made" | head -n 1)"
    fi
fi
exec python -m streams console --host 0.0.0.0
