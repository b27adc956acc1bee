"""Discovering a target: what a server says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from perflib.spec import InputError
from perflib.spec.openapi import target_of
from perflib.spec.target import base_url_of

if TYPE_CHECKING:
    from perflib.spec import Target


def discover(base_url: str) -> Target:
    """The target that a server's /openapi.json describes.

    Raises:
        InputError: where there is no such document.
    """
    url = base_url_of(base_url, "discover") + "/openapi.json"
    try:
        answer = httpx.get(url, timeout=10)
        document = answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise InputError(f"{url}: no OpenAPI document there ({error}); write a target file by hand") from None
    return target_of(document, base_url)
