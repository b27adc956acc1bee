"""jsonschema, which plotly and nbformat import, without its format of IRIs, which neither of them asks for.

The grammar of IRIs is compiled as it is imported, for more than a second in every notebook and report.
"""

import sys

_GRAMMAR = "rfc3987_syntax"

if _GRAMMAR not in sys.modules:
    sys.modules[_GRAMMAR] = None  # type: ignore[assignment]
    try:
        import jsonschema  # noqa: F401
    finally:
        del sys.modules[_GRAMMAR]
