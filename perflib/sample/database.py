"""The dashboard's database: an agency and its clients, built from a seed, the same on every machine."""

import random
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path

APPLICATION_ID = 0x50455246  # "PERF", in the file's header
SCHEMA_VERSION = 1
AS_OF = date(2026, 1, 5)
HISTORY_DAYS = 730
CLIENTS, PROJECTS, TASKS, INVOICES, COMMUNICATIONS = 150, 350, 3_500, 1_200, 40_000

PEOPLE = ("Ada", "Ben", "Carla", "Deniz", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Kira")
FOUNDERS = ("Alder", "Birch", "Calder", "Elmwood", "Fairfax", "Hawthorn", "Juniper", "Kestrel", "Maple")
TRADES = ("Analytics", "Bakery", "Clinics", "Energy", "Freight", "Hotels", "Insurance", "Optics", "Textiles")
FORMS = ("Group", "Ltd")
CITIES = ("Antwerp", "Bergen", "Cork", "Dresden", "Florence", "Ghent", "Helsinki", "Innsbruck", "Lyon")
SURNAMES = ("Abel", "Brandt", "Costa", "Duarte", "Fischer", "Grant", "Huber", "Janssen", "Kaya", "Lindqvist")
SECTORS = ("Energy", "Finance", "Health", "Hospitality", "Logistics", "Manufacturing", "Retail")
TIERS = ("gold", "silver", "bronze")
WORKS = ("Brand refresh", "Data platform", "Launch campaign", "Online shop", "Portal", "Reporting", "Website")
STEPS = ("Brief", "Build", "Design", "Draft", "Estimate", "Migrate", "Review", "Rework", "Test")
PARTS = ("checkout", "dashboards", "home page", "imports", "newsletter", "price list", "search", "sign-up")
TOPICS = ("Budget", "Change request", "Contract", "Deadline", "Feedback", "Invoice", "Minutes", "Status")
CHANNELS = ("email", "chat", "call", "meeting")

SCHEMA = """
CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT, sector TEXT, tier TEXT, city TEXT, owner TEXT,
    contact TEXT, email TEXT, phone TEXT, since TEXT, retainer INTEGER, hourly_rate INTEGER);
CREATE TABLE projects (id INTEGER PRIMARY KEY, client_id INTEGER REFERENCES clients, name TEXT, lead TEXT,
    status TEXT, budget INTEGER, started TEXT, due TEXT);
CREATE TABLE tasks (id INTEGER PRIMARY KEY, project_id INTEGER REFERENCES projects, title TEXT, assignee TEXT,
    estimate_h REAL, created TEXT, due TEXT, completed TEXT);
CREATE TABLE time_entries (id INTEGER PRIMARY KEY, client_id INTEGER REFERENCES clients,
    project_id INTEGER REFERENCES projects, task_id INTEGER REFERENCES tasks, person TEXT, day TEXT,
    hours REAL);
CREATE TABLE invoices (id INTEGER PRIMARY KEY, client_id INTEGER REFERENCES clients, number TEXT,
    amount INTEGER, issued TEXT, due TEXT, paid TEXT);
CREATE TABLE communications (id INTEGER PRIMARY KEY, client_id INTEGER REFERENCES clients, sent_at TEXT,
    month TEXT, weekday INTEGER, hour INTEGER, channel TEXT, inbound INTEGER, person TEXT, subject TEXT,
    sentiment REAL, minutes INTEGER, reply_minutes INTEGER);
"""
INDEXES = """
CREATE INDEX projects_of_client ON projects (client_id, status);
CREATE INDEX tasks_of_project ON tasks (project_id, completed, due);
CREATE INDEX tasks_open ON tasks (due) WHERE completed IS NULL;
CREATE INDEX tasks_of_person ON tasks (assignee, completed, created, estimate_h);
CREATE INDEX hours_of_client ON time_entries (client_id, hours);
CREATE INDEX hours_of_project ON time_entries (project_id, hours);
CREATE INDEX invoices_of_client ON invoices (client_id, paid, due, issued, amount);
CREATE INDEX communications_of_client ON communications (client_id, inbound, sent_at);
CREATE INDEX communications_by_time ON communications (sent_at);
CREATE INDEX communications_tone ON communications (client_id, sent_at, sentiment, reply_minutes);
CREATE INDEX communications_rhythm ON communications (weekday, hour);
CREATE INDEX communications_by_month ON communications (month, sentiment);
CREATE INDEX communications_effort ON communications (client_id, channel, minutes);
ANALYZE;
"""
Row = tuple[object, ...]


class ForeignFileError(ValueError):
    """The file is something else than a dashboard database; it must not be overwritten."""


@dataclass(frozen=True)
class Character:
    """How a client behaves, which is what the signals and patterns then find."""

    volume: float
    mood: float
    drift_per_year: float
    reply_minutes: float
    pays_after_days: float
    silent_days: int


def prepare(path: Path) -> None:
    """Build the database at `path` unless it is there; processes that start at once build a draft each.

    Raises ForeignFileError if the file is no dashboard database, OSError if it cannot be written.
    """
    if _is_current(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        draft.touch()
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            _build(connection)
        draft.replace(path)
    finally:
        for leftover in ("", "-wal", "-shm"):
            Path(f"{draft}{leftover}").unlink(missing_ok=True)


def _is_current(path: Path) -> bool:
    """By the header (https://www.sqlite.org/fileformat.html): opening it would leave files beside it."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return False
    if not header.startswith(b"SQLite format 3\0") or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise ForeignFileError(f"{path} is no dashboard database")
    return int.from_bytes(header[60:64], "big") == SCHEMA_VERSION


def _build(connection: sqlite3.Connection) -> None:
    rng = random.Random(51)
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA + "BEGIN;")
    characters = [_character(rng) for _ in range(CLIENTS)]
    projects = list(_projects(rng))
    tasks = list(_tasks(rng, projects))
    _insert(connection, "clients", _clients(rng))
    _insert(connection, "projects", iter(projects))
    _insert(connection, "tasks", iter(tasks))
    _insert(connection, "time_entries", _time_entries(rng, projects, tasks))
    _insert(connection, "invoices", _invoices(rng, characters))
    _insert(connection, "communications", _communications(rng, characters))
    connection.execute("COMMIT")
    connection.executescript(
        f"{INDEXES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        "PRAGMA journal_mode = WAL;"
    )


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[Row]) -> None:
    first = next(rows)
    statement = f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})"
    connection.execute(statement, first)
    connection.executemany(statement, rows)


def _day(days_ago: float) -> str:
    return (AS_OF - timedelta(days=int(days_ago))).isoformat()


def _character(rng: random.Random) -> Character:
    return Character(
        volume=rng.lognormvariate(0, 0.6),
        mood=rng.gauss(0.25, 0.2),
        drift_per_year=rng.gauss(0, 0.15),
        reply_minutes=rng.lognormvariate(5, 0.5),
        pays_after_days=rng.gauss(28, 9),
        silent_days=rng.randrange(22, 90) if rng.random() < 0.2 else 0,
    )


def _clients(rng: random.Random) -> Iterator[Row]:
    names = rng.sample([" ".join(words) for words in product(FOUNDERS, TRADES, FORMS)], CLIENTS)
    for number, name in enumerate(names, 1):
        first, last = rng.choice(PEOPLE), rng.choice(SURNAMES)
        email = f"{first}.{last}@{name.replace(' ', '-')}.example".lower()
        phone = f"+32 555 {rng.randrange(10**6):06}"
        place = (rng.choice(SECTORS), rng.choice(TIERS), rng.choice(CITIES), rng.choice(PEOPLE))
        money = (rng.randrange(5, 60) * 100, rng.randrange(70, 140, 5))
        yield number, name, *place, f"{first} {last}", email, phone, _day(rng.randrange(800, 4000)), *money


def _projects(rng: random.Random) -> Iterator[Row]:
    for number in range(1, PROJECTS + 1):
        client = number if number <= CLIENTS else rng.randrange(1, CLIENTS + 1)
        started = rng.randrange(40, HISTORY_DAYS)
        due = started - rng.randrange(60, 400)
        status = "active" if due < 0 or rng.random() < 0.2 else rng.choice(("done", "done", "done", "paused"))
        budget = rng.randrange(4, 60) * 1000
        yield number, client, rng.choice(WORKS), rng.choice(PEOPLE), status, budget, _day(started), _day(due)


def _tasks(rng: random.Random, projects: list[Row]) -> Iterator[Row]:
    for number in range(1, TASKS + 1):
        project = rng.choice(projects)
        age = rng.randrange(1, (AS_OF - date.fromisoformat(str(project[6]))).days)
        due = age - rng.randrange(3, 45)
        late = due > 0 and rng.random() < 0.06
        completed = None if due <= 0 or late else _day(min(age, max(0, due + rng.gauss(2, 6))))
        title = f"{rng.choice(STEPS)} {rng.choice(PARTS)}"
        estimate = rng.randrange(2, 40) / 2
        yield number, project[0], title, rng.choice(PEOPLE), estimate, _day(age), _day(due), completed


def _time_entries(rng: random.Random, projects: list[Row], tasks: list[Row]) -> Iterator[Row]:
    number = 0
    for task in tasks:
        client = projects[int(str(task[1])) - 1][1]
        age = (AS_OF - date.fromisoformat(str(task[5]))).days
        for _ in range(rng.randrange(1, 8)):
            number += 1
            day = _day(max(0, age - rng.randrange(0, 40)))
            yield number, client, task[1], task[0], task[3], day, rng.randrange(1, 17) / 4


def _invoices(rng: random.Random, characters: list[Character]) -> Iterator[Row]:
    for number in range(1, INVOICES + 1):
        client = rng.randrange(CLIENTS)
        age = int(HISTORY_DAYS * (1 - number / INVOICES))
        paid_age = age - max(1.0, rng.gauss(characters[client].pays_after_days, 6))
        paid = _day(paid_age) if paid_age > 0 and rng.random() > 0.03 else None
        amount = rng.randrange(8, 240) * 50
        yield number, client + 1, f"INV-{20_000 + number}", amount, _day(age), _day(age - 30), paid


def _communications(rng: random.Random, characters: list[Character]) -> Iterator[Row]:
    clients = rng.choices(range(CLIENTS), [character.volume for character in characters], k=COMMUNICATIONS)
    for number, client in enumerate(clients, 1):
        character = characters[client]
        age = character.silent_days + int((HISTORY_DAYS - character.silent_days) * rng.random() ** 1.2)
        day = AS_OF - timedelta(days=age + 1)
        hour = min(19, max(7, int(rng.gauss(12.5, 2.8))))
        sent_at = f"{day.isoformat()}T{hour:02}:{rng.randrange(60):02}"
        sentiment = character.mood + character.drift_per_year * (1 - age / 365) + rng.gauss(0, 0.3)
        subject = f"{rng.choice(TOPICS)}: {rng.choice(STEPS).lower()} {rng.choice(PARTS)}"
        when = (sent_at, sent_at[:7], day.weekday(), hour)
        what = (rng.choice(CHANNELS), int(rng.random() < 0.5), rng.choice(PEOPLE), subject)
        reply = int(rng.expovariate(1 / character.reply_minutes)) if what[1] else None
        tone = round(max(-1.0, min(1.0, sentiment)), 2)
        yield number, client + 1, *when, *what, tone, rng.randrange(2, 45), reply
