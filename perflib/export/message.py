"""The message: a tally and gauges as OpenTelemetry's metrics."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Gauge as GaugePoints
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from perflib.export.gauges import Gauge
from perflib.export.tally import FIRST, SCALE, Answered, Series, Tally, Times
from perflib.spec import Facts

_SINCE_BEGIN = AggregationTemporality.CUMULATIVE


@dataclass(frozen=True)
class Span:
    """From when to when a message counts, in nanoseconds since the epoch."""

    from_ns: int
    to_ns: int


def resource_of(facts: Facts) -> Resource:
    """Who measured what. The run is the instance: a receiver keeps the series of two runs apart by it."""
    about = {
        "service.name": "perflib",
        "service.version": version("perflib"),
        "service.instance.id": facts.run_id,
        "perflib.run_id": facts.run_id,
        "perflib.scenario": facts.scenario.name,
        "perflib.target": facts.target.name,
        "perflib.profile": facts.profile,
        "perflib.revision": facts.version,
    }
    return Resource.create({name: value for name, value in about.items() if value})


def message_of(resource: Resource, span: Span, tally: Tally, gauges: Sequence[Gauge]) -> MetricsData:
    """All that is known until now."""
    known = [_requests(span, tally), _times(span, tally), *_gauges(span, gauges)]
    metrics = [metric for metric in known if metric.data.data_points]
    scope = InstrumentationScope("perflib", version("perflib"))
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _requests(span: Span, tally: Tally) -> Metric:
    points = [NumberDataPoint(_about(*key), span.from_ns, span.to_ns, count) for key, count in tally.requests.items()]
    told = "Requests, page loads and journeys that ended, by how they ended"
    return Metric("perflib.requests", told, "{request}", Sum(points, _SINCE_BEGIN, is_monotonic=True))


def _times(span: Span, tally: Tally) -> Metric:
    points = [_histogram(_about(series), span, times) for series, times in tally.times.items()]
    told = "How long successes took, from the intended start to the last byte"
    return Metric("perflib.response_time", told, "s", ExponentialHistogram(points, _SINCE_BEGIN))


def _histogram(about: dict[str, Any], span: Span, times: Times) -> ExponentialHistogramDataPoint:
    filled = times.counts.nonzero()[0]
    first, last = int(filled[0]), int(filled[-1])
    return ExponentialHistogramDataPoint(
        attributes=about,
        start_time_unix_nano=span.from_ns,
        time_unix_nano=span.to_ns,
        count=int(times.counts.sum()),
        sum=times.sum_s,
        scale=SCALE,
        zero_count=0,
        positive=Buckets(FIRST + first, times.counts[first : last + 1].tolist()),
        negative=Buckets(0, []),
        flags=0,
        min=times.min_s,
        max=times.max_s,
    )


def _gauges(span: Span, gauges: Sequence[Gauge]) -> list[Metric]:
    points: defaultdict[tuple[str, str], list[NumberDataPoint]] = defaultdict(list)
    for one in gauges:
        points[one.name, one.unit].append(NumberDataPoint(one.attributes, span.from_ns, span.to_ns, one.value))
    return [Metric(name, "", unit, GaugePoints(same)) for (name, unit), same in points.items()]


def _about(series: Series, answered: Answered | None = None) -> dict[str, Any]:
    """The attributes of a series; what is empty is left out."""
    about: dict[str, Any] = {
        "perflib.endpoint": series.endpoint,
        "perflib.kind": series.kind,
        "perflib.page": series.page,
        "perflib.journey": series.journey,
        "perflib.phase": "measured" if series.counted else "warmup",
    }
    if answered:
        about |= {"http.response.status_code": answered.status, "error.type": answered.error}
    return {name: value for name, value in about.items() if value}
