# Sourced by the commands in this directory, from the project's root. POSIX sh.

# Set $python to an interpreter that is new enough: the project's own first, so that a .venv made
# by hand from a Python outside PATH does as well.
find_python() {
    for python in .venv/bin/python "${PYTHON:-}" python3 \
        python3.14 python3.13 python3.12 python3.11 python; do
        if [ -n "$python" ] && command -v "$python" >/dev/null 2>&1 &&
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return
        fi
    done
    echo "Python 3.11 or newer is needed, and none was found." >&2
    echo "Install one, or name it: PYTHON=/path/to/python3 $0" >&2
    exit 2
}
