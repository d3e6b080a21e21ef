#!/usr/bin/env bash
# Environment with the test dependencies, then lint, types and all fast tests. Arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
enter_environment test
cd "$ROOT"

ruff check .
ruff format --check .
mypy
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" python -m pytest -n 2 --dist worksteal "$@"
