"""A target from a server's OpenAPI document: its GETs that need no parameter, expectations filled in. Pure."""

from typing import Any

from perflib.spec.target import Target
from perflib.spec.values import InputError

_TOKEN_ENV = "PERF_API_TOKEN"


def target_of(document: Any, base_url: str) -> Target:
    """The target that an OpenAPI 3 document describes.

    Raises:
        InputError: where it is none, or has no GET that can be asked without parameters.
    """
    where = f"{base_url}/openapi.json"
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        raise InputError(f"{where}: not an OpenAPI document (no paths); write a target file, see docs/target-file.md")
    found = [
        {"path": path, "expect": _expect(document, item["get"])}
        for path, item in paths.items()
        if isinstance(item, dict) and isinstance(item.get("get"), dict) and not _needs_parameters(document, path, item)
    ]
    if not found:
        raise InputError(f"{where}: has no GET without required parameters; write a target file by hand")
    name = str(document.get("info", {}).get("title") or "target").strip()
    head = {"name": name, "base_url": base_url, "endpoints": found}
    return Target.parse(head | ({"token_env": _TOKEN_ENV} if _wants_bearer(document) else {}), where)


def _needs_parameters(document: dict[str, Any], path: str, item: dict[str, Any]) -> bool:
    parameters = [*item.get("parameters", []), *item["get"].get("parameters", [])]
    return "{" in path or any(_resolved(document, parameter).get("required") for parameter in parameters)


def _wants_bearer(document: dict[str, Any]) -> bool:
    schemes = document.get("components", {}).get("securitySchemes", {})
    return any(str(scheme.get("scheme", "")).lower() == "bearer" for scheme in schemes.values())


def _expect(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    answer = _resolved(document, operation.get("responses", {}).get("200", {}))
    content = answer.get("content", {})
    if not content:
        return {"status": 200} if answer else {}
    kind = "application/json" if "application/json" in content else next(iter(content))
    required = _resolved(document, content[kind].get("schema", {})).get("required", [])
    return {"status": 200, "content_type": kind, "keys": required if kind == "application/json" else []}


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The node that a local `$ref` points to, or the node itself."""
    reference = node.get("$ref", "")
    if not reference.startswith("#/"):
        return node
    found: Any = document
    for key in reference[2:].split("/"):
        found = found.get(key.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}
