"""The event loop of all that drives load or answers it; a module of its own, so that the null server starts fast."""

import asyncio


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where there is one, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
