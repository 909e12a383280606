"""Make ``.venv`` and keep what is installed in it in step with the requirement files.

    python3 scripts/environment.py requirements-dev.txt

Costs a few milliseconds when there is nothing to do. A ``.venv`` made by hand, or by another tool
that left out pip, is used as it is and completed. Nothing but the standard library is imported.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)

# Seconds between two signs of life where no terminal shows a changing line.
_REPORT_SECONDS = 15


class EnvironmentProblem(Exception):
    """The virtual environment could not be made ready. The message says what to do."""


def prepare(requirements: str) -> None:
    """Have everything that ``requirements``, a file in the root, lists and includes.

    Raises ``EnvironmentProblem``.
    """
    with _one_at_a_time():
        _make_venv()
        stamp = _stamp(requirements)
        if stamp.is_file() and stamp.read_text() == _fingerprint(requirements):
            return
        # An interrupted installation must not pass for the one before it.
        stamp.unlink(missing_ok=True)
        _make_pip()
        _install(requirements)
        for name in _with_included(requirements):
            _stamp(name).write_text(_fingerprint(name))


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two commands started together on a fresh clone take turns."""
    directory = os.open(ROOT / "scripts", os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _make_venv() -> None:
    version = _venv_version()
    if version is not None and version < OLDEST:
        raise EnvironmentProblem(
            f".venv has Python {version[0]}.{version[1]}, and 3.11 or newer is needed. "
            "Remove .venv and start again."
        )
    if version is None:
        _create()


def _make_pip() -> None:
    if _has_pip():
        return
    subprocess.run([PYTHON, "-m", "ensurepip", "--upgrade"], check=False, capture_output=True)
    if not _has_pip():
        _create()


def _venv_version() -> tuple[int, int] | None:
    """``None`` when there is no ``.venv``, or one that does not run."""
    say = "import sys; print(*sys.version_info[:2]) if sys.prefix != sys.base_prefix else None"
    try:
        run = subprocess.run([PYTHON, "-c", say], capture_output=True, text=True, check=False)
    except OSError:
        return None
    numbers = run.stdout.split()
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None


def _has_pip() -> bool:
    run = subprocess.run([PYTHON, "-m", "pip", "--version"], check=False, capture_output=True)
    return run.returncode == 0


def _create() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise EnvironmentProblem(
            "This Python cannot make virtual environments. On Debian and Ubuntu: "
            f"apt-get install python{version}-venv (or python3-venv). Then start again."
        )
    if VENV.exists():
        _say("Making .venv again: the one that is here does not work ...")
    else:
        _say("Making a virtual environment in .venv ...")
    base = getattr(sys, "_base_executable", sys.executable)
    run = subprocess.run(
        [base, "-m", "venv", "--clear", VENV], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise EnvironmentProblem(f"Making .venv failed:\n{run.stdout}{run.stderr}".rstrip())


def _install(requirements: str) -> None:
    _say(f"Installing {requirements} into .venv (a minute or so the first time) ...")
    started = time.monotonic()
    process = subprocess.Popen(
        [PYTHON, "-m", "pip", "install", "--requirement", requirements],
        cwd=ROOT,
        # PIP_USER, which some machines set for everybody, contradicts a virtual environment.
        env=os.environ
        | {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    last = _follow(process, started)
    if process.wait() != 0:
        raise EnvironmentProblem(
            "\n".join([*last, f"Installing {requirements} failed; pip's last words are above."])
        )
    _say(f"Installed in {time.monotonic() - started:.0f} s.")


def _follow(process: "subprocess.Popen[str]", started: float) -> deque[str]:
    """Show that pip is at work; return the last lines of what it said."""
    last: deque[str] = deque(maxlen=15)
    on_terminal = sys.stderr.isatty()
    reported = started
    for line in process.stdout or ():
        last.append(line.rstrip())
        if not line.startswith(("Collecting", "Downloading", "Installing")):
            continue
        doing = " ".join(line.split()[:2])[:70]
        if on_terminal:
            print(f"\r\033[K  {doing}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            _say(f"  {reported - started:.0f} s: {doing}")
    if on_terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return last


def _with_included(requirements: str) -> list[str]:
    """The file and those it takes in with ``-r``."""
    found = re.findall(r"^-r\s+(\S+)", (ROOT / requirements).read_text(), flags=re.MULTILINE)
    return [requirements, *(name for each in found for name in _with_included(each))]


def _fingerprint(requirements: str) -> str:
    digest = hashlib.sha256()
    for name in _with_included(requirements):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _stamp(requirements: str) -> Path:
    """Inside ``.venv``, so that it goes when that goes."""
    return VENV / f".installed-{requirements}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    try:
        prepare(sys.argv[1])
    except EnvironmentProblem as problem:
        _say(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
