"""Stand-in: what makes two runs alike."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflib.spec.baselines import machine_of

if TYPE_CHECKING:
    from perflib.spec.run import Facts


@dataclass(frozen=True)
class Setup:
    hash: str


def setup_of(facts: Facts) -> Setup:
    asked = (facts.target.model_copy(update={"base_url": ""}), facts.scenario, machine_of(facts.environment))
    text = json.dumps([facts.profile, *(one.model_dump(mode="json") for one in asked)], sort_keys=True)
    return Setup(hashlib.sha256(text.encode()).hexdigest()[:16])
