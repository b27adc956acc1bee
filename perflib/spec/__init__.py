"""What is measured, how, and what a measurement leaves: frozen, validated, without effects."""

from perflib.spec.endpoint import Cold as Cold
from perflib.spec.endpoint import Endpoint as Endpoint
from perflib.spec.expect import Expect as Expect
from perflib.spec.options import Options as Options
from perflib.spec.run import ERROR_KINDS as ERROR_KINDS
from perflib.spec.run import Environment as Environment
from perflib.spec.run import Facts as Facts
from perflib.spec.run import Run as Run
from perflib.spec.scenario import SCENARIOS as SCENARIOS
from perflib.spec.scenario import Scenario as Scenario
from perflib.spec.scenario_table import Profile as Profile
from perflib.spec.stages import Stage as Stage
from perflib.spec.target import Target as Target
from perflib.spec.values import InputError as InputError
from perflib.spec.values import Spec as Spec
from perflib.spec.values import parse_duration_s as parse_duration_s
from perflib.spec.whole import Page as Page
from perflib.spec.workload import Blocks as Blocks
from perflib.spec.workload import Closed as Closed
from perflib.spec.workload import Open as Open
from perflib.spec.workload import Ramp as Ramp
from perflib.spec.workload import Workload as Workload
