"""Run options: what a caller may change of a scenario, the same on the command line and in notebooks."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Self, TypedDict

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from perflib.spec.address import target_at
from perflib.spec.extras import require_extra
from perflib.spec.load import NOT_TAKEN, Load, Source
from perflib.spec.scenario import Scenario, scenario_names, scenario_of
from perflib.spec.scenario_table import Profile
from perflib.spec.secret import Variable
from perflib.spec.target import Host, Target, base_url_of
from perflib.spec.undriven import by_url
from perflib.spec.values import InputError, NonNegativeDuration, Text, must
from perflib.spec.workload import Open

_RUN_ID = re.compile(r"(\w[\w.-]*)?")
_LONGEST_RUN_ID_BYTES = 200
_NO_RUN_ID = "names a folder; write letters, digits, - _ . without a slash, at most 200 bytes, as in before-the-change"
OF_THE_TARGET = (
    *("target", "url", "token_env", "profile"),
    *("allow_hosts", "allow_plain_token", "max_requests", "keep_going"),
)
"""Options that another scenario takes as well."""
_OF_THE_SETUP = ("target", "url", "token_env", "endpoints", "workers", "engine", *Load.model_fields)


def _check_url(url: str) -> str:
    if undriven := by_url(url):
        raise ValueError(undriven)
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("not a URL; write http://host:port/path or https://host/path")
    return url


_ENV, _METRICS = "env", "/v1/metrics"


def _check_receiver(to: str) -> str:
    if not to:
        return to
    require_extra("otel", "--otlp")
    return to if to == _ENV else base_url_of(to, "--otlp")


def receiver_of(otlp: str, environment: Mapping[str, str]) -> str:
    """The URL that gets the metrics, by OpenTelemetry's rule for a base URL and its variables.

    >>> receiver_of("http://127.0.0.1:4318", {})
    'http://127.0.0.1:4318/v1/metrics'

    Raises:
        InputError: where the environment is to name it, and does not.
    """
    if otlp == _ENV and (whole := environment.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")):
        return whole
    base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "") if otlp == _ENV else otlp
    if not base:
        raise InputError("--otlp env: OTEL_EXPORTER_OTLP_ENDPOINT is not set; export it first, or give a URL")
    return base.rstrip("/").removesuffix(_METRICS) + _METRICS


def _is_run_id(text: str) -> bool:
    return bool(_RUN_ID.fullmatch(text)) and len(text.encode()) <= _LONGEST_RUN_ID_BYTES


_REPEATED = ("endpoints", "allow_hosts")


class IdleError(InputError):
    """A scenario that drives nothing of what the options choose."""


class Options(Load):
    """Run options. All have a default; durations are seconds or text such as "60s".

    >>> Options(users=20, duration="2min").duration
    120.0
    """

    target: str = ""
    """Target file (default: the only one in data/targets; where dashboard.toml is there, the sample dashboard)."""
    url: Annotated[str, AfterValidator(_check_url)] = ""
    """Measure this URL, which is one GET. With a target file: its base URL in place of the file's."""
    token_env: Variable | None = None
    """The environment variable of a bearer token, in place of the target's own authentication."""
    profile: Profile = "brief"
    """How long the scenario is: brief (as the brief asks) or quick (seconds)."""
    endpoints: tuple[Text, ...] = ()
    """Only this endpoint or page (may be given several times)."""
    workers: PositiveInt = 1
    """Processes that drive the load, each its share of the users or arrivals."""
    engine: str = "processes"
    """What drives the load; an installed package may bring another."""
    allow_hosts: tuple[Host, ...] = ()
    """A host besides this machine that may get load (may be given several times)."""
    allow_plain_token: bool = False
    """Send the token to another host over plain http."""
    max_requests: PositiveInt | None = None
    """Send at most so many requests (default: 1,000,000 to another host)."""
    keep_going: bool = False
    """Do not stop after 5 seconds in which every request failed."""
    no_samples: bool = False
    """Keep no samples of failed answers: their headers, and the first 512 bytes of their bodies."""
    revision: Annotated[Text, Field(max_length=200)] = ""
    """The version of the target that is measured, kept with the run (default: what the target file says)."""
    otlp: Annotated[str, AfterValidator(_check_receiver)] = ""
    """Send the metrics of each run to this OpenTelemetry receiver, such as http://127.0.0.1:4318, by OTLP over HTTP;
    env: to the one that OTEL_EXPORTER_OTLP_ENDPOINT names. Experiments (why, compare) send nothing."""
    pid: PositiveInt | None = None
    """The target's process, to watch its memory (default: the one that listens on its port)."""
    brief: Text = ""
    """The brief that this run belongs to, such as PS-5.1; kept with the run."""
    note: Text = ""
    """A note kept with the run."""
    lengthen: NonNegativeDuration | None = None
    """How much longer a quick run may go on so that each p99 is known (default: twice as long; with duration: 0s)."""
    seed: NonNegativeInt = 1
    """Seed of the random order of requests."""
    run_id: Annotated[str, must(_is_run_id, _NO_RUN_ID)] = ""
    """Name of the run; a stored run of this name is shown again in place of a new measurement."""

    @property
    def told_of_url(self) -> str:
        """How to measure more than a bare server's one GET, where these options ask for that; else empty."""
        if self.target or not self.url:
            return ""
        target = self.target_here()
        more = f"`perflib discover {target.base_url} -o data/targets/api.toml` finds its endpoints"
        return f"only GET / of {target.name} is measured; {more}" if target.endpoints[0].path == "/" else ""

    def target_here(self) -> Target:
        """The target that the URL of these options describes by itself; see `target_at`."""
        return self.replaced(url="").aimed(target_at(self.url))

    def aimed(self, target: Target) -> Target:
        """`target` with the URL, token and consent that these options give. Raises InputError for a bad URL."""
        target = target.at(self.url, "--url") if self.url else target
        caller = {"token_env": self.token_env, "auth": None} if self.token_env else {}
        said = caller | {
            "allow_hosts": tuple(dict.fromkeys((*target.allow_hosts, *self.allow_hosts))),
            "allow_plain_token": target.allow_plain_token or self.allow_plain_token,
            "max_requests": self.max_requests or target.max_requests,
            "keep_going": target.keep_going or self.keep_going,
            "samples": target.samples and not self.no_samples,
        }
        return target.replaced(**said)

    def scenario(self, name: str, target: Target, where: str = "target file") -> Scenario:
        """The scenario `name` for `target`, with these options applied; `where` names the target file in messages.

        Raises:
            InputError: for an unknown scenario, an endpoint the target lacks, or an option that does not fit.
        """
        if name not in scenario_names(target.scenarios):
            raise InputError(f"scenario {name!r}: unknown; {suggested(name, scenario_names(target.scenarios))}")
        for endpoint in self.endpoints:
            known = [item.name for item in target.items]
            if endpoint not in known:
                raise InputError(f"--endpoint {endpoint!r}: not in target {target.name!r}; it has {', '.join(known)}")
        asked = Source(Load.model_validate(self.said()), "--")
        chosen = scenario_of(name, self.profile, target.scenarios, asked, where, endpoints=self.endpoints)
        if not chosen.takes(target):
            mend = "give one a weight above 0, which is asked for by itself"
            raise IdleError(f"scenario {name}: drives none of the endpoints and pages of {target.name!r}; {mend}")
        self._check_workers(chosen)
        return chosen

    def lengthened(self, chosen: Scenario) -> Scenario:
        """A scenario of these options that may go on a little: of the quick profile, no duration having been said."""
        return chosen if self.profile != "quick" or self.duration else chosen.lengthened(self.lengthen)

    def _check_workers(self, chosen: Scenario) -> None:
        """Every worker needs a user, or a connection of its own."""
        workload = chosen.workload
        shares = self.max_connections or self.workers
        if not isinstance(workload, Open):
            shares = workload.most_users
        if self.workers > 1 and chosen.isolated:
            raise InputError(f"--workers: {chosen.name} measures each endpoint alone; leave it out")
        if self.workers > shares:
            raise InputError(f"--workers {self.workers}: more than the {shares} users or connections; use fewer")

    def not_taken(self, name: str, target: Target) -> tuple[str, ...]:
        """The options given here that scenario `name` cannot take, by its kind of workload."""
        plain = Options(profile=self.profile).scenario(name, target)
        refused = (*NOT_TAKEN[plain.workload.kind], *(("stages", "workers") if plain.isolated else ()))
        return tuple(option for option in refused if getattr(self, option) != Options.model_fields[option].default)

    def as_call(self) -> dict[str, Any]:
        """What these options say of the target and the load, as `as_said`: what another run of the setup needs."""
        said = self.as_said()
        return {name: said[name] for name in dict.fromkeys((*OF_THE_TARGET, *_OF_THE_SETUP)) if name in said}

    def without(self, names: Iterable[str]) -> Self:
        """The same, some options left as they are by default."""
        return self.replaced(**{name: Options.model_fields[name].default for name in names})

    def as_said(self) -> dict[str, Any]:
        """What these options say beyond the defaults, as JSON values that `options_of` reads."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return said | ({"stages": ", ".join(map(str, self.stages))} if self.stages else {})

    def asks_for_a_setup(self) -> bool:
        """Whether these options say anything of what is sent, beyond the name of a run."""
        return any(getattr(self, name) != Options.model_fields[name].default for name in _OF_THE_SETUP)


def in_words(said: Mapping[str, Any]) -> str:
    """Options that `Options.as_said` tells, as a command line has them.

    >>> in_words({"users": 5, "endpoints": ["GET /a", "/b"], "keep_going": True})
    "--users 5 --endpoint 'GET /a' --endpoint /b --keep-going"
    """
    words: list[str] = []
    for name, value in said.items():
        flag = f"--{option_of(name)}"
        many = value if isinstance(value, list) else [value]
        words += [flag] if value is True else [word for one in many for word in (flag, str(one))]
    return shlex.join(words)


def option_of(field: str) -> str:
    """How the command line calls a field: in the singular where it is given several times."""
    return (field.removesuffix("s") if field in _REPEATED else field).replace("_", "-")


def suggested(name: str, known: Sequence[str]) -> str:
    """How to mend a name that is not known."""
    near = get_close_matches(name, known, 1)
    return f"{f'did you mean {near[0]}? ' if near else ''}choose one of {', '.join(known)}"


class Said(TypedDict, total=False):
    """The same options as keywords of a call, as `perflib.run` takes them; each may be text, as on a command line."""

    target: str
    url: str
    token_env: str | None
    profile: str
    users: int | None
    rate: float | None
    arrivals: str | None
    max_connections: int | None
    think_time: float | str | None
    stages: str | Sequence[str]
    duration: float | str | None
    warmup: float | str | None
    timeout: float | str | None
    abort_on: str | None
    endpoints: Sequence[str]
    workers: int
    engine: str
    allow_hosts: Sequence[str]
    allow_plain_token: bool
    max_requests: int | None
    keep_going: bool
    no_samples: bool
    revision: str
    otlp: str
    pid: int | None
    brief: str
    note: str
    lengthen: float | str | None
    seed: int
    run_id: str


def options_of(said: Said | dict[str, Any]) -> Options:
    """Options from keywords; an empty value (None, "", 0, an empty list) leaves its option as it is by default."""
    kept = {
        name: value for name, value in said.items() if value or name in ("seed", "warmup", "think_time", "lengthen")
    }
    return Options.parse({name: value for name, value in kept.items() if value not in (None, "")}, "run options")
