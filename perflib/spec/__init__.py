"""What is measured, how, and what a measurement leaves: frozen, validated, without effects."""

from perflib.spec.options import Options
from perflib.spec.run import (
    ERROR_KINDS,
    Environment,
    Facts,
    Run,
    State,
)
from perflib.spec.scenario import SCENARIOS, Scenario
from perflib.spec.scenario_table import Profile
from perflib.spec.secret import Secret
from perflib.spec.stages import Stage
from perflib.spec.target import Cold, Endpoint, Expect, Page, Target
from perflib.spec.values import InputError, Spec, parse_duration_s
from perflib.spec.workload import Closed, Open, Ramp, Workload

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
