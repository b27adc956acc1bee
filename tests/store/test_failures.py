"""Samples of failed answers on disk: those of all workers, however the run ended; an old run has none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import perflib
from perflib.spec import InputError
from perflib.store.runs import load_run
from perflib.store.spool import append_sample, failures_spool
from tests.store.test_runs import FACTS, recorded

if TYPE_CHECKING:
    from pathlib import Path

    from perflib.store.runs import RunFolder


def sample(t_ns: int, *, status: int = 500, body: str = "é") -> dict[str, object]:
    same = {"endpoint": "GET /a", "kind": "status", "reason": "", "content_type": "text/plain"}
    return same | {"status": status, "t_ns": t_ns, "headers": {"A": "b"}, "body": body}


def with_samples(tmp_path: Path) -> RunFolder:
    """A run under way whose two workers have kept 15 samples each, the second one's being the earlier ones."""
    folder = recorded(tmp_path, 60)
    for worker in (0, 1):
        for number in range(15):
            append_sample(failures_spool(folder.path, worker), sample(1000 * (1 - worker) + number))
    return folder


def test_the_earliest_samples_of_all_workers_are_kept_and_plain_pandas_reads_them(tmp_path: Path) -> None:
    folder = with_samples(tmp_path)
    under_way = folder.load().failures
    folder.seal(FACTS)
    kept = pd.read_parquet(folder.path / "failures.parquet")
    assert kept["t_ns"].tolist() == [*range(15), *range(1000, 1005)]
    assert set(kept["run_id"]) == {FACTS.run_id}
    assert set(kept["body"]) == {"é"}
    assert not list(folder.path.glob("*.spool"))
    again = load_run(tmp_path, FACTS.run_id).failures
    assert again["headers"].tolist() == [{"A": "b"}] * 20
    assert again.equals(under_way)


@pytest.mark.parametrize(
    "torn",
    [
        b'{"endpoint": "GET',
        b"[]\n",
        b"\xff\xfe\n",
        b"{}\n",
        b"null\n",
        b"[" * 9999 + b"\n",
        b'{"headers": 1}\n',
        b"null",
    ],
)
def test_a_torn_or_damaged_sample_is_left_out_and_the_others_are_kept(tmp_path: Path, torn: bytes) -> None:
    folder = with_samples(tmp_path)
    with failures_spool(folder.path).open("ab") as file:
        file.write(torn)
    folder.seal(FACTS)
    assert len(load_run(tmp_path, FACTS.run_id).failures) == 20


@pytest.mark.parametrize("key", sample(0))
def test_a_sample_that_lacks_a_value_loses_no_run(tmp_path: Path, key: str) -> None:
    folder = with_samples(tmp_path)
    append_sample(failures_spool(folder.path), sample(5) | {key: None})
    folder.seal(FACTS)
    assert len(load_run(tmp_path, FACTS.run_id).failures) == 20


def test_a_sample_of_text_that_no_table_can_hold_loses_no_run(tmp_path: Path) -> None:
    folder = with_samples(tmp_path)
    with failures_spool(folder.path).open("ab") as file:
        file.write(json.dumps(sample(5, body="\ud800")).encode() + b"\n")
    folder.seal(FACTS)
    run = load_run(tmp_path, FACTS.run_id)
    assert (len(run.requests), len(run.failures)) == (60, 20)


def test_a_run_of_before_has_none() -> None:
    run = perflib.load_run("sample-28-release-1.4")
    assert run.failures.empty
    assert "headers" in run.failures
    assert "There is no sample" in str(perflib.tables.samples(run))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no table"])
def test_a_damaged_table_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    folder = with_samples(tmp_path)
    folder.seal(FACTS)
    (folder.path / "failures.parquet").write_bytes(data)
    with pytest.raises(InputError, match=r"failures\.parquet: cannot be read"):
        load_run(tmp_path, FACTS.run_id)


def test_sealing_again_keeps_the_samples(tmp_path: Path) -> None:
    folder = with_samples(tmp_path)
    folder.seal(FACTS)
    folder.load()
    folder.seal(FACTS.replaced(note="sealed again"))
    assert len(pd.read_parquet(folder.path / "failures.parquet")) == 20
