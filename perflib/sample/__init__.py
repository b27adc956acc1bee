"""The sample dashboard: a FastAPI server over SQLite, the target of a workbook that has no other yet.

`python -m perflib.sample` serves it. A sibling of the rest: it imports nothing of perflib, and is only ever
started as a process, so that its work never lands in the measuring one.
"""
