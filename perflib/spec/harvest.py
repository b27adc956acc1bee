"""Ids in the answers of lists: ``GET /clients`` tells what ``/clients/{id}`` may be asked with."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from perflib.spec.openapi_document import PLACE, is_scalar
from perflib.spec.openapi_values import fits_url

_ODD = re.compile(r"[^a-z0-9]")
_IDS = ("id", "uuid", "guid", "pk", "key", "slug", "name", "code")
"""What tells one of many apart, the surest first."""
_DEEPEST, _MOST_ITEMS, _MOST_KEYS = 3, 3, 200

Values = Mapping[tuple[str, str], Any]


@dataclass(frozen=True)
class _Listed:
    """What a path answered."""

    values: tuple[Any, ...]
    """With these in its places, in their order."""
    items: tuple[Any, ...]


@dataclass
class Harvest:
    """What was seen so far, by the path that was asked for."""

    _by_path: dict[str, _Listed] = field(default_factory=dict)
    _by_key: dict[str, Any] = field(default_factory=dict)

    def learn(self, path: str, values: Values, body: object) -> None:
        """Keep the first items of a list that a path answered, and the values with which it did."""
        items = tuple(_items(body))
        in_path = [values[("path", name)] for name in PLACE.findall(path)]
        self._by_path[_form(path)] = _Listed(tuple(in_path), items)
        for item in items:
            for key, value in _scalars(item):
                if len(key) > len("id") and key.endswith("id"):
                    self._by_key.setdefault(key, value)

    def above(self, path: str) -> Values:
        """The values with which the longest path answered that this one goes on from."""
        known = [one for one in self._by_path if f"{_form(path)}/".startswith(f"{one}/")]
        values = self._by_path[max(known, key=len)].values if known else ()
        return {("path", name): value for name, value in zip(PLACE.findall(path), values, strict=False)}

    def choices(self, path: str, name: str) -> list[Any]:
        """Values for a place of a path or its query, the surest first; none where no name fits."""
        before, place, _ = path.partition(f"/{{{name}}}")
        listed = self._by_path.get(_form(before)) if place else None
        found = [self._of_item(item, name, before) for item in listed.items] if listed else []
        found += [self._by_key.get(_plain(name)), *self._of_kind(name)]
        return [value for value in found if value is not None and fits_url(value)]

    def _of_kind(self, name: str) -> Iterator[Any]:
        """``client_id`` is the id of an item of ``/clients``, wherever that is."""
        for path, listed in self._by_path.items():
            kind = _kind(path)
            if kind and _plain(name) == f"{kind}id":
                yield from (self._of_item(item, name, path) for item in listed.items)

    def _of_item(self, item: object, name: str, path: str) -> Any:
        if not isinstance(item, dict):
            return item if is_scalar(item) else None
        keys, plain, kind = dict(_scalars(item)), _plain(name), _kind(path)
        if plain in keys:
            return keys[plain]
        own = plain.removeprefix(kind) if kind else plain
        wanted = [one for one in (own, f"{kind}{own}") if one in keys] or [
            one for one in _IDS[:4] if plain.endswith("id") or plain in ("pk", kind)
        ]
        wanted += [one for one in _IDS[4:] if plain.endswith(one) or plain == kind]
        return next((keys[key] for key in wanted if key in keys), None)


def _form(path: str) -> str:
    """A path, whatever its places are called."""
    return PLACE.sub("{}", path).rstrip("/")


def _plain(name: object) -> str:
    return _ODD.sub("", str(name).lower())


def _kind(path: str) -> str:
    """What a list has items of, by the last word of its path that is no place.

    >>> _kind("/api/companies"), _kind("/clients/{id}/orders/"), _kind("/")
    ('company', 'order', '')
    """
    words = [word for word in path.split("/") if word and "{" not in word]
    last = _plain(words[-1]) if words else ""
    return f"{last.removesuffix('ies')}y" if last.endswith("ies") else last.removesuffix("s")


def _scalars(item: object) -> Iterator[tuple[str, Any]]:
    if isinstance(item, dict):
        for key, value in list(item.items())[:_MOST_KEYS]:
            if is_scalar(value) and not isinstance(value, bool | float):
                yield _plain(key), value


def _items(body: object) -> list[Any]:
    """The first items of the first list in an answer, the nearest to its top."""
    level: list[Any] = [body]
    for _ in range(_DEEPEST):
        for one in level:
            if isinstance(one, list) and one and (isinstance(one[0], dict) or is_scalar(one[0])):
                return one[:_MOST_ITEMS]
        level = [inner for one in level if isinstance(one, dict) for inner in list(one.values())[:_MOST_KEYS]]
    return []
