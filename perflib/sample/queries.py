"""What the dashboard asks its database: SQL that yields JSON, so that SQLite works outside the GIL."""

import sqlite3
from collections import deque
from datetime import timedelta
from pathlib import Path

from perflib.sample import database
from perflib.sample.database import AS_OF

CLIENTS = """
SELECT json_group_array(json_object(
    'id', c.id, 'name', c.name, 'sector', c.sector, 'tier', c.tier, 'city', c.city, 'owner', c.owner,
    'contact', json_object('name', c.contact, 'email', c.email, 'phone', c.phone),
    'since', c.since, 'retainer', c.retainer, 'hourly_rate', c.hourly_rate,
    'projects', (SELECT count(*) FROM projects WHERE client_id = c.id),
    'active_projects', (SELECT count(*) FROM projects WHERE client_id = c.id AND status = 'active'),
    'open_tasks', (SELECT count(*) FROM projects p JOIN tasks t ON t.project_id = p.id
                   WHERE p.client_id = c.id AND t.completed IS NULL),
    'outstanding', (SELECT coalesce(sum(amount), 0) FROM invoices WHERE client_id = c.id AND paid IS NULL),
    'last_inbound_at', (SELECT max(sent_at) FROM communications WHERE client_id = c.id AND inbound = 1),
    'last_outbound_at', (SELECT max(sent_at) FROM communications WHERE client_id = c.id AND inbound = 0)))
FROM clients c
"""

SIGNALS = """
WITH recent AS MATERIALIZED (
    SELECT c.id AS client_id,
        avg(m.sentiment) FILTER (WHERE m.sent_at >= :month_ago) AS mood,
        avg(m.sentiment) FILTER (WHERE m.sent_at < :month_ago) AS usual_mood,
        avg(m.reply_minutes) FILTER (WHERE m.sent_at >= :month_ago) AS reply,
        avg(m.reply_minutes) FILTER (WHERE m.sent_at < :month_ago) AS usual_reply
    FROM clients c JOIN communications m ON m.client_id = c.id AND m.sent_at >= :quarter_ago GROUP BY c.id),
signals AS (
    SELECT * FROM (
        SELECT 'task_overdue' AS kind, p.client_id, t.title || ' (' || p.name || ')' AS subject,
            t.assignee AS owner, julianday(:as_of) - julianday(t.due) AS value, 0 AS threshold,
            'days late' AS unit, t.due AS since
        FROM tasks t JOIN projects p ON p.id = t.project_id
        WHERE t.completed IS NULL AND t.due < :as_of ORDER BY t.due LIMIT 118)
    UNION ALL
    SELECT 'invoice_overdue', i.client_id, i.number, c.owner,
        julianday(:as_of) - julianday(i.due), 0, 'days late', i.due
    FROM invoices i JOIN clients c ON c.id = i.client_id WHERE i.paid IS NULL AND i.due < :as_of
    UNION ALL
    SELECT 'client_silent', c.id, c.contact, c.owner,
        julianday(:as_of) - julianday(c.last), 21, 'days since the last message', c.last
    FROM (SELECT clients.*, (SELECT max(sent_at) FROM communications
                             WHERE client_id = clients.id AND inbound = 1) AS last FROM clients) c
    WHERE c.last < :silent_since
    UNION ALL
    SELECT 'mood_drop', r.client_id, c.contact, c.owner, r.mood - r.usual_mood, -0.05,
        'sentiment against 60 days before', :month_ago
    FROM recent r JOIN clients c ON c.id = r.client_id WHERE r.mood < r.usual_mood - 0.05
    UNION ALL
    SELECT 'slow_reply', r.client_id, c.contact, c.owner, r.reply / r.usual_reply, 1.2,
        'times the usual reply time', :month_ago
    FROM recent r JOIN clients c ON c.id = r.client_id WHERE r.reply > 1.2 * r.usual_reply
    UNION ALL
    SELECT 'budget_overrun', p.client_id, p.name, p.lead, h.hours * c.hourly_rate / p.budget, 1,
        'times the budget', p.started
    FROM projects p JOIN clients c ON c.id = p.client_id
    JOIN (SELECT project_id, sum(hours) AS hours FROM time_entries GROUP BY project_id) h
        ON h.project_id = p.id
    WHERE h.hours * c.hourly_rate > p.budget)
SELECT json_group_array(json_object(
    'kind', s.kind, 'client_id', c.id, 'client', c.name, 'tier', c.tier, 'sector', c.sector,
    'subject', s.subject, 'owner', s.owner,
    'value', round(s.value, 2), 'threshold', s.threshold, 'unit', s.unit, 'since', s.since,
    'severity', CASE c.tier WHEN 'gold' THEN 'high' WHEN 'silver' THEN 'medium' ELSE 'low' END))
FROM signals s JOIN clients c ON c.id = s.client_id
"""

PATTERNS = """
SELECT json_object(
    'messages_by_weekday_and_hour', (SELECT json_group_array(json_array(weekday, hour, messages)) FROM (
        SELECT weekday, hour, count(*) AS messages FROM communications GROUP BY weekday, hour)),
    'by_month', (SELECT json_group_array(json_object('month', month, 'messages', n, 'sentiment', mood)) FROM (
        SELECT month, count(*) AS n, round(avg(sentiment), 3) AS mood FROM communications GROUP BY month)),
    'tasks_by_person', (SELECT json_group_array(json_object('person', assignee, 'completed', completed,
            'cycle_days', cycle_days, 'estimate_h', estimate_h)) FROM (
        SELECT assignee, count(*) AS completed, round(avg(estimate_h), 1) AS estimate_h,
            round(avg(julianday(completed) - julianday(created)), 1) AS cycle_days
        FROM tasks WHERE completed IS NOT NULL GROUP BY assignee)),
    'payment_by_tier', (SELECT json_group_array(json_object('tier', tier, 'paid', paid, 'days', days)) FROM (
        SELECT c.tier, count(*) AS paid, round(avg(julianday(i.paid) - julianday(i.issued)), 1) AS days
        FROM invoices i JOIN clients c ON c.id = i.client_id WHERE i.paid IS NOT NULL GROUP BY c.tier)),
    'projects_by_lead', (SELECT json_group_array(json_object('lead', lead, 'status', status, 'projects', n,
            'budget', budget)) FROM (
        SELECT lead, status, count(*) AS n, sum(budget) AS budget FROM projects GROUP BY lead, status)),
    'hours_by_sector', (SELECT json_group_array(json_object('sector', sector, 'hours', hours, 'clients', n))
      FROM (
        SELECT c.sector, sum(h.hours) AS hours, count(*) AS n
        FROM (SELECT client_id, sum(hours) AS hours FROM time_entries GROUP BY client_id) h
        JOIN clients c ON c.id = h.client_id GROUP BY c.sector)))
"""

COST_TO_SERVE = """
WITH hours AS (SELECT client_id, sum(hours) AS hours FROM time_entries GROUP BY client_id),
invoiced AS (SELECT client_id, sum(amount) AS invoiced, sum(amount) FILTER (WHERE paid IS NOT NULL) AS paid
    FROM invoices GROUP BY client_id),
contact AS (SELECT client_id, count(*) AS messages, sum(minutes) / 60.0 AS contact_hours
    FROM communications GROUP BY client_id)
SELECT json_group_array(json_object(
    'client_id', c.id, 'client', c.name, 'tier', c.tier, 'hours', h.hours, 'messages', m.messages,
    'contact_hours', round(m.contact_hours, 1), 'invoiced', coalesce(i.invoiced, 0),
    'paid', coalesce(i.paid, 0), 'cost', round((coalesce(h.hours, 0) + m.contact_hours) * c.hourly_rate),
    'margin', round(coalesce(i.invoiced, 0) - (coalesce(h.hours, 0) + m.contact_hours) * c.hourly_rate)))
FROM clients c LEFT JOIN hours h ON h.client_id = c.id LEFT JOIN invoiced i ON i.client_id = c.id
LEFT JOIN contact m ON m.client_id = c.id
"""

PROJECTS = """
SELECT json_group_array(json_object(
    'id', p.id, 'client_id', p.client_id, 'name', p.name, 'lead', p.lead, 'status', p.status,
    'budget', p.budget, 'started', p.started, 'due', p.due,
    'tasks', (SELECT count(*) FROM tasks WHERE project_id = p.id),
    'done', (SELECT count(completed) FROM tasks WHERE project_id = p.id),
    'hours', (SELECT sum(hours) FROM time_entries WHERE project_id = p.id)))
FROM projects p
"""

TIMELINE = """
SELECT json_group_object(client_id, json(months)) FROM (
    SELECT client_id, json_group_array(json_array(month, messages, mood)) AS months FROM (
        SELECT client_id, month, count(*) AS messages, round(avg(sentiment), 2) AS mood FROM communications
        WHERE sent_at >= :year_ago GROUP BY client_id, month)
    GROUP BY client_id)
"""

REPLIES = """
SELECT json_group_array(json_object('client_id', client_id, 'gap_days', gap, 'reply_minutes', reply)) FROM (
    SELECT client_id, round(avg(gap), 2) AS gap,
        max(reply_minutes) FILTER (WHERE rank <= 0.5) AS reply
    FROM (SELECT client_id, reply_minutes,
            julianday(sent_at) - lag(julianday(sent_at)) OVER by_client AS gap,
            percent_rank() OVER (PARTITION BY client_id, inbound ORDER BY reply_minutes) AS rank
        FROM communications WINDOW by_client AS (PARTITION BY client_id ORDER BY sent_at))
    GROUP BY client_id)
"""

TOPICS = """
SELECT json_group_array(json_object('topic', topic, 'month', month, 'messages', n, 'sentiment', mood)) FROM (
    SELECT substr(subject, 1, instr(subject, ':') - 1) AS topic, month, count(*) AS n,
        round(avg(sentiment), 2) AS mood
    FROM communications GROUP BY topic, month)
"""

RECENT = """
SELECT json_group_array(json_object('id', id, 'client_id', client_id, 'sent_at', sent_at, 'channel', channel,
    'person', person, 'subject', subject, 'sentiment', sentiment)) FROM (
    SELECT * FROM communications ORDER BY sent_at DESC, id LIMIT 600)
"""

HOURS_OF_CLIENT = "SELECT sum(hours), count(DISTINCT person) FROM time_entries WHERE client_id = ?"

BY_ENDPOINT = {
    "GET /clients": CLIENTS,
    "GET /signals": SIGNALS,
    "GET /patterns": PATTERNS,
    "GET /cost-to-serve": COST_TO_SERVE,
}
OF_SNAPSHOT = {
    "clients": CLIENTS,
    "projects": PROJECTS,
    "signals": SIGNALS,
    "patterns": PATTERNS,
    "cost_to_serve": COST_TO_SERVE,
    "timeline": TIMELINE,
    "replies": REPLIES,
    "topics": TOPICS,
    "recent": RECENT,
}


MOMENTS = {"as_of": 0, "silent_since": 21, "month_ago": 30, "quarter_ago": 90, "year_ago": 365}
PARAMETERS = {name: (AS_OF - timedelta(days=days)).isoformat() for name, days in MOMENTS.items()}


class Reader:
    """Answers queries with JSON text, over as many read-only connections as are in use at once.

    They outlive the threads that use them: a thread that ends with its own connection would leave a file open behind,
    for SQLite keeps a closed connection's descriptor as long as another one of the process holds a lock.
    """

    def __init__(self, database: Path) -> None:
        self._uri = f"{database.absolute().as_uri()}?mode=ro"
        self._idle: deque[sqlite3.Connection] = deque()

    def json(self, query: str) -> bytes:
        connection = self._take()
        try:
            text: str = connection.execute(query, PARAMETERS).fetchone()[0]
        finally:
            self._idle.append(connection)
        return text.encode()

    def hours_client_by_client(self, clients: int) -> None:
        """Ask for each of so many clients by a query of its own, as code does that asks an ORM in a loop."""
        connection = self._take()
        try:
            for number in range(clients):
                connection.execute(HOURS_OF_CLIENT, [1 + number % database.CLIENTS]).fetchone()
        finally:
            self._idle.append(connection)

    def snapshot(self) -> bytes:
        parts = (b'"%s":%s' % (name.encode(), self.json(query)) for name, query in OF_SNAPSHOT.items())
        return b"{%s}" % b",".join(parts)

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return sqlite3.connect(self._uri, uri=True, check_same_thread=False)
