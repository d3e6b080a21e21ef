# Sourced by the other scripts: makes and enters a virtual environment with the requirements in it.
# Use: source ci/environment.sh [EXTRA]; PYTHON chooses the interpreter, VENV the folder.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${VENV:-$ROOT/.venv}"
EXTRA="${1:-}"

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python python3.13 python3.12 python3.11 python3.10; do
        [ -n "$candidate" ] || continue
        "$candidate" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
        echo "$candidate"
        return
    done
    echo "no Python 3.10 to 3.13 found; name one: PYTHON=/path/to/python3 bash $0" >&2
    return 1
}

install_requirements() {
    local wanted stamp="$VENV/.installed-${EXTRA:-base}"
    wanted="$(cat "$ROOT/requirements.txt" "$ROOT/pyproject.toml" | cksum) $ROOT"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    if [ ! -x "$VENV/bin/python" ]; then
        local python
        python="$(find_python)"
        echo "+ $python -m venv $VENV"
        "$python" -m venv "$VENV"
    fi
    echo "+ pip install -r requirements.txt${EXTRA:+ -e .[$EXTRA]}   (the first time this takes minutes)"
    (cd "$ROOT" && "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r requirements.txt ${EXTRA:+-e ".[$EXTRA]"})
    echo "$wanted" >"$stamp"
}

install_requirements
# shellcheck disable=SC1091
source "$VENV/bin/activate"
