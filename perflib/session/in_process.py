"""A quick look: a run driven in this very process, whose other work may then show in the figures."""

import asyncio
from time import perf_counter_ns
from typing import Unpack

from perflib.load.event_loop import new_event_loop
from perflib.load.worker import Outcome, Worker
from perflib.session.drive import Watch, aimed, prepare, require_secrets, require_transport, sealed, unwatched
from perflib.session.floor import Floor, floor
from perflib.session.sending import sent_too
from perflib.spec import Facts, Run
from perflib.spec.options import Said, options_of
from perflib.store.folders import Workbook
from perflib.store.runs import RunFolder
from perflib.store.spool import GENERATOR_ROW, Spool, failures_spool, generator_spool, requests_spool
from perflib.watch import sampler
from perflib.watch.sampler import Found


async def run_async(scenario: str, **said: Unpack[Said]) -> Run:
    """`perflib.run` awaited in this process; it takes the same options. Nothing but the end is sent to `otlp`."""
    workbook, asked = Workbook.find(), options_of(said).replaced(workers=1)
    watch = sent_too(unwatched, asked.otlp)
    with aimed(asked, workbook) as options:
        facts = prepare(scenario, options, workbook)
        require_secrets(facts.target)
        require_transport(facts.target)
        found = sampler.find(facts.target, options.pid)
        least = await asyncio.to_thread(floor)
        return await _driven_here(facts.replaced(memory=found.about), found, least, workbook, watch)


async def _driven_here(facts: Facts, found: Found, least: Floor, workbook: Workbook, watch: Watch) -> Run:
    with RunFolder.create(workbook.runs, facts) as folder:
        sampling = sampler.Sampler(found.source, folder.path)
        with (
            Spool(requests_spool(folder.path)) as spool,
            Spool(generator_spool(folder.path), GENERATOR_ROW) as health,
        ):
            worker = Worker(facts, spool, health, samples=failures_spool(folder.path))
            origin_ns = perf_counter_ns()
            sampling.begin(origin_ns)
            try:
                outcome: Outcome | None = await worker.drive(origin_ns)
            except asyncio.CancelledError:
                outcome = None
        with watch(folder) as watching:  # not before: whoever sends would be measured
            return watching.ended(sealed(folder, facts, outcome, least, sampling))


def run_in_process(scenario: str, **said: Unpack[Said]) -> Run:
    """`run_async` as a plain call, also where an event loop already runs, as in a notebook's cell."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(run_async(scenario, **said))
    import nest_asyncio

    nest_asyncio.apply()
    finished: Run = asyncio.get_event_loop().run_until_complete(run_async(scenario, **said))
    return finished
