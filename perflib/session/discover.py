"""Discovering a target: what a server says of itself."""

import httpx

from perflib.spec import InputError, Target
from perflib.spec.openapi import target_of
from perflib.spec.target import base_url_of


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
