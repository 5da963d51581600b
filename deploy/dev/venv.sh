#!/usr/bin/env bash
# Makes .venv from the lock, from whatever state it is in; does nothing when it is up to date.
set -euo pipefail
cd "$(dirname "$0")/../.."

stamp=.venv/.locked
want=$(cat requirements.lock pyproject.toml | cksum)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] \
    && .venv/bin/python -c 'import streams' 2>/dev/null; then
    exit 0
fi

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# An environment that was interrupted while it was made has an interpreter, but no pip.
if ! { usable .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    python=
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        if command -v "$candidate" >/dev/null && usable "$candidate"; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "jobstreams needs Python 3.11 or later, and none was found on the path" >&2
        exit 1
    fi
    echo "making .venv with $($python --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

echo "installing what requirements.lock names"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
echo "$want" > "$stamp"
