"""Which answers come from a cache, by their headers, and which are all the same."""

import pytest

from perflib.load.exchange import Exchange
from perflib.load.repeats import Counter
from perflib.spec.run import Repeats

HITS = {
    "Age": "17",
    "X-Cache": "HIT",
    "x-cache": "Hit from cloudfront",
    "X-CACHE": "MISS, HIT",
    "X-Cache ": "RefreshHit from cloudfront",
    "X-Cache-Lookup": "HIT from squid.internal:3128",
    "X-Cache-Status": "STALE",
    "CF-Cache-Status": "HIT",
    "cf-cache-status": "REVALIDATED",
    "X-Proxy-Cache": "UPDATING",
    "X-Drupal-Dynamic-Cache": "hit",
    "X-Squid-Cache": "TCP_MEM_HIT",
    "Cache-Status": '"Edge, 1"; fwd=miss, Origin; hit; ttl=1100',
    "cache-status": "ExampleCache;hit",
}
MISSES = {
    "Age": "0",
    "age": "old",
    "X-Cache": "MISS",
    "x-cache": "Miss from cloudfront",
    "CF-Cache-Status": "DYNAMIC",
    "Cache-Status": "ExampleCache; fwd=stale; fwd-status=304",
    "cache-status": "hit-parade; fwd=uri-miss",
    "CACHE-STATUS": "A; hit=?0",
    "Cache-Control": "stale-while-revalidate=60, hit",
    "X-Cache-Key": "/hit",
    "X-Cache-Hits": "0, 0",
    "X-Hit": "HIT",
    "X-Page": "a hit",
}


def counted(*answers: tuple[dict[str, str], bytes]) -> Repeats:
    counter = Counter()
    for headers, body in answers:
        spelled = {name.strip().encode(): value.encode() for name, value in headers.items()}
        counter.add(Exchange(0, 1, 2, status=200, headers=spelled, body=[body[:3], body[3:]]))
    return counter.of("GET /a")


@pytest.mark.parametrize(("name", "value"), HITS.items(), ids=[": ".join(one) for one in HITS.items()])
def test_a_cache_says_that_it_answered(name: str, value: str) -> None:
    found = counted(({"Server": "x", name: value}, b"{}"), ({"Server": "x"}, b"{}"))
    assert (found.answers, found.cached) == (2, 1)
    assert found.cache.startswith(f"{name.strip()}: ")


@pytest.mark.parametrize(("name", "value"), MISSES.items(), ids=[": ".join(one) for one in MISSES.items()])
def test_what_is_no_hit_is_none(name: str, value: str) -> None:
    assert counted(({name: value}, b"{}")).cached == 0


def test_no_more_of_a_header_is_kept_than_the_word_that_says_so() -> None:
    assert counted(({"X-Cache": "HIT from s3cret.internal"}, b"")).cache == "X-Cache: HIT"
    assert counted(({"Age": "17"}, b"")).cache == "Age: above 0"


@pytest.mark.parametrize(
    ("bodies", "same"), [([b"abcd"] * 9, 8), ([b"", b""], 2), ([b"abcd", b"abce", b"abcd", b"abcd"], 1)]
)
def test_the_same_again_has_the_bytes_of_the_one_before(bodies: list[bytes], same: int) -> None:
    found = counted(*(({}, body) for body in bodies))
    assert (found.answers, found.same, found.body_bytes) == (len(bodies), same, len(bodies[-1]))


def test_a_cache_that_is_filled_late_or_anew_still_shows() -> None:
    bodies = [b"%d" % number for number in range(50)] + [b"%06d" % (number // 1000) for number in range(5000)]
    found = counted(*(({}, body) for body in bodies))
    assert found.same == found.answers - 55


def test_of_many_answers_every_seventh_is_looked_at_whoever_gives_them_by_turns() -> None:
    turns = [({"X-Cache": word}, word.encode()) for word in ("HIT", "MISS")] * 500
    found = counted(*turns)
    assert found.answers == 100 + 900 // 7
    assert found.cached == pytest.approx(found.answers / 2, abs=1)
