"""Runs made up from a seed, in the form of stored ones: log-normal latencies, failures, cold answers, pages."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perflib.figures.spike import users_at
from perflib.spec import ERROR_KINDS, SCENARIOS, Environment, Facts, Page, Ramp, Run, Target
from perflib.spec.run import Generator, Part
from perflib.spec.stages import Stage

ROOT = Path(__file__).parent.parent
DASHBOARD = Target.from_document(tomllib.loads((ROOT / "data/targets/dashboard.toml").read_text()), "dashboard.toml")
Floats = np.ndarray[Any, np.dtype[np.float64]]
MEDIANS_MS = (2.0, 12.0, 20.0, 30.0, 45.0, 60.0, 80.0, 110.0)
"""Median latency of the first, second, ... endpoint or page; they repeat."""


def make_target(*names: str, target_ms: float | None = 100.0, page: str | None = None) -> Target:
    """A target with an endpoint of each name, and a page that loads them all if `page` names one."""
    endpoints = [{"path": f"/{number}", "name": name, "target_ms": target_ms} for number, name in enumerate(names)]
    pages = [{"name": page, "loads": list(names), "target_ms": target_ms}] if page else []
    document = {
        "target": {"name": "made-up", "base_url": "http://127.0.0.1:1"},
        "endpoint": endpoints,
        "page": pages,
    }
    return Target.from_document(document, "a test")


def make_run(
    target: Target = DASHBOARD,
    *,
    scenario: str = "light_load",
    seconds: float = 10.0,
    warmup_s: float = 1.0,
    per_s: float = 50.0,
    failures: float = 0.0,
    cold: float = 0.0,
    sigma: float = 0.4,
    seed: int = 1,
    endpoints: tuple[str, ...] = (),
    workload: Ramp | None = None,
    slowdown: Callable[[Floats], Floats] | None = None,
    lag_ms: float = 0.0,
    dropped: float = 0.0,
    **facts: Any,
) -> Run:
    """A run of `scenario` with about `per_s` requests a second and endpoint, all drawn from `seed`.

    `failures` is the share of failed requests on the wire; `cold` the share of cold answers, where the target can
    tell them (they take 20 times as long). An isolated scenario gets a part of this length an endpoint and page.
    `slowdown` gives the factor on a response time by seconds since the end of warm-up. `lag_ms` is how long before its
    actual start a request was due; `dropped` the share of requests that were never sent.
    """
    rng = np.random.default_rng(seed)
    chosen = SCENARIOS[scenario]["quick"].model_copy(
        update={"duration_s": seconds, "warmup_s": warmup_s, "endpoints": endpoints}
        | ({"workload": workload} if workload else {})
    )
    items = chosen.takes(target)
    names = [item.name for item in items]
    groups = [[name] for name in names] if chosen.isolated else [names]
    length_s = warmup_s + seconds
    parts, tables = [], []
    for number, group in enumerate(groups):
        begin_s = number * length_s
        parts.append(
            Part(
                items=tuple(group),
                measured_from_ns=int((begin_s + warmup_s) * 1e9),
                measured_to_ns=int((begin_s + length_s) * 1e9),
            )
        )
        for name in group:
            count = round(per_s * length_s)
            start_s = begin_s + np.sort(rng.uniform(0, length_s, count))
            tables.append(_item_rows(rng, target, name, start_s, failures, cold, sigma))
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    rows["warmup"] = _in_warmup(rows, parts, target, isolated=chosen.isolated)
    if slowdown is not None:
        answered, took_ns = rows["end_ns"] >= 0, rows["end_ns"] - rows["start_ns"]
        slower_ns = (took_ns * slowdown(rows["start_ns"].to_numpy() / 1e9 - warmup_s)).astype(np.int64)
        rows["end_ns"] = (rows["start_ns"] + slower_ns).where(answered, -1)
    rows["intended_ns"] = (rows["start_ns"] - round(lag_ms * 1e6)).clip(lower=0)
    never_sent = rng.random(len(rows)) < dropped
    rows.loc[never_sent, ["start_ns", "end_ns"]] = -1
    rows.loc[never_sent, "error"] = "dropped"
    values: dict[str, Any] = {
        "run_id": f"2026-01-01T00-00-00-{scenario}",
        "state": "finished",
        "scenario": chosen,
        "profile": "quick",
        "target": target,
        "seed": seed,
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:00:11+00:00",
        "environment": _ENVIRONMENT,
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "parts": tuple(parts),
        "generator": Generator(
            cpu_s=len(rows) * 20e-6, wall_s=length_s * len(groups), requests=len(rows), loop_lag_p99_ms=0.4
        ),
    }
    whole = Facts(**values | facts)
    return Run(whole, _as_stored(rows, whole))


def make_spike(
    recovers_after_s: float,
    *,
    stages_s: tuple[float, float, float, float] = (10.0, 5.0, 5.0, 20.0),
    slow: float = 4.0,
    target: Target = DASHBOARD,
    **others: Any,
) -> Run:
    """A spike from 5 to 100 users: response times grow with the users, and stay `slow` times as long after it.

    Known truth: they are themselves again `recovers_after_s` after the load went back.
    """
    levels = ((5, 5), (5, 100), (100, 100), (5, 5))
    stages = (Stage(start=a, end=b, duration_s=s) for (a, b), s in zip(levels, stages_s, strict=True))
    ramp, back_s = Ramp(stages=tuple(stages)), sum(stages_s[:3])

    def slowdown(at_s: Floats) -> Floats:
        still_slow = (at_s >= back_s) & (at_s < back_s + recovers_after_s)
        return np.where(still_slow, slow, users_at(ramp, at_s.clip(0)) / 5)

    return make_run(target, scenario="spike", seconds=ramp.duration_s, workload=ramp, slowdown=slowdown, **others)


def without_successes(run: Run) -> Run:
    """The same run with every request failed by time-out."""
    failed = pd.Categorical(["timeout"] * len(run.requests), categories=list(ERROR_KINDS))
    return Run(run.facts, run.requests.assign(error=failed, end_ns=-1, first_byte_ns=-1, status=0, cold=False))


def without_rows(run: Run) -> Run:
    """The same run, stopped before its first request."""
    return Run(run.facts, run.requests.iloc[:0])


_ENVIRONMENT = Environment(
    os="Linux 6.1",
    arch="x86_64",
    cpu="A made-up CPU",
    cores=2,
    ram_bytes=8 * 2**30,
    python="3.11.2",
    versions={"perflib": "0.1.0", "httptools": "0.7.1"},
)


def _item_rows(
    rng: np.random.Generator,
    target: Target,
    name: str,
    start_s: "np.ndarray[Any, Any]",
    failures: float,
    cold: float,
    sigma: float,
) -> pd.DataFrame:
    page = next((page for page in target.pages if page.name == name), None)
    if page is None:
        return _request_rows(rng, target, name, start_s, failures, cold, sigma)
    loads = [_request_rows(rng, target, part, start_s, failures, cold, sigma) for part in page.loads]
    return pd.concat([_page_rows(page, loads), *(part.assign(page=page.name) for part in loads)], ignore_index=True)


def _request_rows(
    rng: np.random.Generator,
    target: Target,
    name: str,
    start_s: "np.ndarray[Any, Any]",
    failures: float,
    cold: float,
    sigma: float,
) -> pd.DataFrame:
    number = [endpoint.name for endpoint in target.endpoints].index(name)
    took_ms = rng.lognormal(np.log(MEDIANS_MS[number % len(MEDIANS_MS)]), sigma, len(start_s))
    is_cold = (rng.random(len(start_s)) < cold) & (target.endpoints[number].cold is not None)
    failed = rng.random(len(start_s)) < failures
    timed_out = failed & (rng.random(len(start_s)) < 0.5)
    start_ns = np.round(start_s * 1e9).astype(np.int64)
    end_ns = start_ns + np.round(np.where(is_cold, 20, 1) * took_ms * 1e6).astype(np.int64)
    return pd.DataFrame(
        {
            "endpoint": name,
            "page": None,
            "kind": "request",
            "start_ns": start_ns,
            "end_ns": np.where(timed_out, -1, end_ns),
            "error": np.where(timed_out, "timeout", np.where(failed, "status", None)),
            "cold": is_cold & ~failed,
        }
    )


def _page_rows(page: Page, loads: list[pd.DataFrame]) -> pd.DataFrame:
    errors = pd.concat([part["error"] for part in loads], axis=1)
    ends = pd.concat([part["end_ns"] for part in loads], axis=1)
    return pd.DataFrame(
        {
            "endpoint": page.name,
            "page": None,
            "kind": "page",
            "start_ns": loads[0]["start_ns"],
            "end_ns": ends.max(axis=1).where((ends >= 0).all(axis=1), -1),
            "error": errors.bfill(axis=1).iloc[:, 0],
            "cold": pd.concat([part["cold"] for part in loads], axis=1).any(axis=1),
        }
    )


def _in_warmup(rows: pd.DataFrame, parts: list[Part], target: Target, isolated: bool) -> "pd.Series[bool]":
    warm_from = parts[0].measured_from_ns
    if not isolated:
        return rows["start_ns"] < warm_from
    item = rows["page"].where(rows["page"].notna(), rows["endpoint"])
    return rows["start_ns"] < item.map({part.items[0]: part.measured_from_ns for part in parts})


def _as_stored(rows: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    items = [item.name for item in (*facts.target.endpoints, *facts.target.pages)]
    answered = rows["end_ns"] >= 0
    stored = pd.DataFrame(
        {
            "run_id": pd.Categorical([facts.run_id] * len(rows)),
            "endpoint": pd.Categorical(rows["endpoint"], categories=items),
            "page": pd.Categorical(rows["page"], categories=items),
            "kind": pd.Categorical(rows["kind"], categories=["request", "page"]),
            "intended_ns": rows["intended_ns"],
            "start_ns": rows["start_ns"],
            "first_byte_ns": rows["end_ns"],
            "end_ns": rows["end_ns"],
            "status": np.where(answered, np.where(rows["error"] == "status", 500, 200), 0).astype(np.int16),
            "error": pd.Categorical(rows["error"], categories=list(ERROR_KINDS)),
            "bytes": np.where(answered, 1000, 0).astype(np.int64),
            "connect_ns": np.zeros(len(rows), np.int64),
            "tls_ns": np.zeros(len(rows), np.int64),
            "read_late_ns": np.zeros(len(rows), np.int64),
            "send_ns": np.zeros(len(rows), np.int64),
            "user": (np.arange(len(rows)) % 10).astype(np.int32),
            "row": np.full(len(rows), -1, np.int32),
            "journey": pd.Categorical([None] * len(rows), categories=[item.name for item in facts.target.items]),
            "warmup": rows["warmup"].to_numpy(dtype=bool),
            "cold": rows["cold"].to_numpy(dtype=bool),
            "retried": np.zeros(len(rows), dtype=bool),
            "counted": ~rows["warmup"].to_numpy(dtype=bool),
        }
    )
    return stored.sort_values("end_ns", kind="stable", ignore_index=True)


def sampled(run: Run, cpu_ms: float, waits: float = 0.02) -> Run:
    """The same run, its target's CPU per request and its wait for a core sampled by second."""
    at_s = np.arange(0.0, run.facts.parts[-1].measured_to_ns / 1e9 + 1.0)
    wire = run.requests[run.requests["kind"] == "request"]["end_ns"].sort_values().to_numpy() / 1e9
    ran_ns = np.searchsorted(wire, at_s) * cpu_ms * 1e6
    memory = pd.DataFrame({"t_ns": at_s * 1e9, "ran_ns": ran_ns, "waited_ns": ran_ns * waits}).astype(np.int64)
    constant = {"rss_bytes": 10**8, "uss_bytes": -1, "open_files": -1, "threads": -1, "pid": 1, "started_s": 1e9}
    return replace(run, memory=memory.assign(**constant, cpu_share=0.5))
