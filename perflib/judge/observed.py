"""Why a target was slow, by a stored run alone: what its rows tell, without an experiment. Pure."""

from perflib.figures.held_up import HeldUp
from perflib.figures.slow import slowest
from perflib.figures.spent import is_full
from perflib.judge.symptoms import Symptoms
from perflib.judge.views import Times, View
from perflib.spec import Blocks, Open, Run
from perflib.spec.diagnosis import MOST_FINDINGS, Anatomy, Diagnosis, Interference, Interval, Stall


def observed(run: Run) -> Diagnosis:
    """The diagnosis of a stored run: findings by association, each with what would settle it. Seeded; needs no file.

    >>> import perflib
    >>> observed(perflib.load_run("sample-28-release-1.4")).live
    False
    """
    view = View(run)
    symptoms = Symptoms(view)
    return Diagnosis(
        diagnosis_id=run.facts.run_id,
        target=run.facts.target.name,
        run_ids=(run.facts.run_id,),
        live=False,
        budget_s=None,
        valid=run.facts.valid,
        invalid_reasons=run.facts.invalid_reasons,
        findings=symptoms.findings()[:MOST_FINDINGS],
        endpoints=tuple(_anatomy(view, times) for times in view.times),
        interference=tuple(_interference(one) for one in view.held_up if one.victim != one.aggressor),
        stalls=tuple(Stall(at_s=one.at_ns / 1e9, lasted_s=one.lasted_ns / 1e9) for one in symptoms.stalls),
        span_s=max((part.measured_to_ns for part in run.facts.parts), default=0) / 1e9,
        slowest=slowest(run),
        notes=_notes(view),
    )


def _anatomy(view: View, times: Times) -> Anatomy:
    """Under one user it is the endpoint alone; else it is the crowd of the run."""
    users = view.users_of(times.endpoint)
    low, high = times.interval_ms
    cpu = view.spent_by(times.endpoint)
    phases = {phase: times.median_ms(phase) for phase in ("waiting", "receiving")}
    shared: dict[str, object] = {"endpoint": times.endpoint, "requests": times.requests, "users": users}
    connect = {"connect_ms": times.median_ms("connecting")}
    if users == 1:
        own = {f"{phase}_ms": value for phase, value in phases.items()}
        alone = {"alone_p50_ms": times.p50_ms, "alone_interval_ms": Interval(low=low, high=high)}
        cpu_ms = {} if cpu is None else {"cpu_ms": cpu.per_request_ms}
        return Anatomy.model_validate(shared | {"users": 0} | own | connect | alone | cpu_ms)
    crowd = {f"crowd_{phase}_ms": value for phase, value in phases.items()}
    return Anatomy.model_validate(shared | crowd | connect | {"crowd_p50_ms": times.p50_ms})


def _interference(one: HeldUp) -> Interference:
    """The victim's time with one of the aggressor under way, over its time with none."""
    low, ratio, high = (1 + added_ms / one.victim_ms for added_ms in (one.low_ms, one.added_ms, one.high_ms))
    return Interference(
        victim=one.victim,
        aggressor=one.aggressor,
        ratio=max(0.0, ratio),
        interval=(max(0.0, low), high),
        added_ms=one.added_ms,
    )


def _notes(view: View) -> tuple[str, ...]:
    facts = view.run.facts
    told = [
        f"A stored run shows what happened at the same time, not what caused it. {facts.again('why')} makes experiments"
    ]
    if not isinstance(facts.scenario.workload, Open | Blocks) and len(view.times) > 1:
        told.append(
            "Which endpoint holds up which is not known: under a fixed number of users the endpoints under way depend "
            f"on each other; {facts.again('run', 'steady_rate')} asks for them independently"
        )
    elif isinstance(facts.scenario.workload, Open) and len(view.times) > 1 and not view.held_up:
        told.append(
            "Which endpoint holds up which is not known: too few requests were answered; "
            f"{facts.again('run')} with a longer --duration finds more"
        )
    if is_full(view.run):
        told.append(
            "The cores of this machine were all in use: changes during the run, and waits without computing, are not "
            "reported, because the machine may have caused them"
        )
    if view.run.memory is None:
        told.append(f"The target's CPU is not known: {facts.memory.told}")
    return tuple(told)
