"""What `streams queues` says of a job's name that it does not know."""

from __future__ import annotations

from streams import JobPayload, job
from streams.cli.queues import doubt
from streams.jobs.discovery import handlers_among


class Report(JobPayload, name="reports.send", queue="bulk"):
    account: int


@job
async def send_report(report: Report) -> None: ...


def test_a_name_that_no_handler_has_is_doubted() -> None:
    known = handlers_among([send_report])
    assert doubt(known, "bulk", "reports.send") is None
    assert doubt(known, "bulk", "") is None
    assert doubt([], "bulk", "reports.send") is None  # not here; perhaps elsewhere
    assert doubt(known, "bulk", "report.send") == (
        "no handler here takes jobs named 'report.send'; did you mean reports.send?"
    )
    assert doubt(known, "bulk", "charge") == (
        "no handler here takes jobs named 'charge'; names are: reports.send"
    )
    assert doubt(known, "default", "reports.send") == (
        "jobs named 'reports.send' go to queue bulk, unless their sender says otherwise"
    )
