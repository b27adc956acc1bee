"""The fuzz tests for longer, by atheris, guided by coverage.

`python -m tests.long.fuzz --seconds 600`.

Without atheris (it is no dependency: `pip install atheris`), the properties of
tests/session/test_fuzz.py with many examples.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from hypothesis import settings

_BATCH = 100


def _properties() -> dict[str, Any]:
    """The properties of tests/session/test_fuzz.py by name. What decorates them takes the profile of this moment."""
    from tests import test_fuzz

    return {name: test for name, test in vars(test_fuzz).items() if hasattr(test, "hypothesis")}


def _by_hypothesis(seconds: float) -> None:
    """Every property in turn, `_BATCH` new examples at a time."""
    settings.register_profile("long", max_examples=_BATCH, derandomize=False)
    settings.load_profile("long")
    properties = _properties()
    examples = dict.fromkeys(properties, 0)
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        name = min(examples, key=examples.__getitem__)
        properties[name]()
        examples[name] += _BATCH
    sys.stdout.write("".join(f"{count:9,} examples  {name}\n" for name, count in examples.items()))
    sys.stdout.write("nothing broke\n")


def _by_atheris(seconds: float) -> None:
    """Ends this process by itself, with status 0 where nothing broke."""
    import atheris

    with atheris.instrument_imports(include=["perflib"]):
        properties = list(_properties().values())

    def one(data: bytes) -> None:
        if data:
            properties[data[0] % len(properties)].hypothesis.fuzz_one_input(data[1:])

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds:.0f}", "-max_len=4000", "-len_control=0"], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    arguments = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        sys.stdout.write("atheris is not installed: Hypothesis instead\n")
        _by_hypothesis(arguments.seconds)
    else:
        _by_atheris(arguments.seconds)


if __name__ == "__main__":
    main()
