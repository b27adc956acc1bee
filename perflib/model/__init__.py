"""What is measured, how, and what a measurement leaves: frozen, validated, without effects."""

from perflib.model.options import Options
from perflib.model.run import (
    ERROR_KINDS,
    Environment,
    Facts,
    Run,
    State,
)
from perflib.model.scenario import SCENARIOS, Closed, Open, Profile, Ramp, Scenario, Stage, Workload
from perflib.model.spec import InputError, Spec, parse_duration_s
from perflib.model.target import Cold, Endpoint, Expect, Page, Secret, Target

__all__ = [
    "ERROR_KINDS",
    "SCENARIOS",
    "Closed",
    "Cold",
    "Endpoint",
    "Environment",
    "Expect",
    "Facts",
    "InputError",
    "Open",
    "Options",
    "Page",
    "Profile",
    "Ramp",
    "Run",
    "Scenario",
    "Secret",
    "Spec",
    "Stage",
    "State",
    "Target",
    "Workload",
    "parse_duration_s",
]
