# Sourced by the other scripts: `enter_environment [EXTRA]` makes and enters a virtual environment with the requirements
# in it. PYTHON chooses the interpreter, VENV the folder.

unset CDPATH
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${VENV:-$ROOT/.venv}"
case "$VENV" in /*) ;; *) VENV="$PWD/$VENV" ;; esac

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python python3.13 python3.12 python3.11 python3.10; do
        [ -n "$candidate" ] || continue
        "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
        if ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate cannot make virtual environments, as it comes without venv or ensurepip" \
                "(Debian, Ubuntu: apt-get install python3-venv)" >&2
            continue
        fi
        echo "$candidate"
        return
    done
    echo "no Python 3.10 to 3.13 found; name one: PYTHON=/path/to/python3 bash $0" >&2
    return 1
}

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

enter_environment() {
    local extra="${1:-}" stamp wanted python
    stamp="$VENV/.installed-${extra:-base}"
    wanted="$(cat "$ROOT/requirements.txt" "$ROOT/pyproject.toml" | cksum) $ROOT"
    if [ -n "${PYTHON:-}" ] && [ -x "$VENV/bin/python" ] && [ "$(version "$PYTHON")" != "$(version "$VENV/bin/python")" ]; then
        echo "$VENV has Python $(version "$VENV/bin/python"), PYTHON is $(version "$PYTHON"): delete it, or name another VENV" >&2
        return 1
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        # An interrupted run may have left an environment without pip: then it is made anew.
        if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
            python="$(find_python)"
            echo "+ $python -m venv $VENV"
            "$python" -m venv --clear "$VENV"
        fi
        echo "+ pip install -r requirements.txt${extra:+ -e .[$extra]}   (the first time this takes minutes)"
        (cd "$ROOT" && "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
            -r requirements.txt ${extra:+-e ".[$extra]"})
        echo "$wanted" >"$stamp"
    fi
    # what `activate` does, which does not survive a move of the folder
    export VIRTUAL_ENV="$VENV" PATH="$VENV/bin:$PATH"
    unset PYTHONHOME
}
