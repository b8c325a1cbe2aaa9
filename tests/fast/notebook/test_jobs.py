"""Jobs from Python: how a script can use long operations."""

from __future__ import annotations

import threading

import pytest

from branchpoint import progress
from branchpoint.background import Jobs
from branchpoint.errors import BranchpointError


class Work:
    """A long operation that continues when it is told to."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self.steps = 0

    def __call__(self) -> str:
        with progress.task("working", 2, "steps") as task:
            self.began.set()
            assert self.go.wait(20)
            for self.steps in (1, 2):
                task.update(self.steps)
        return "finished"


@pytest.fixture
def work() -> Work:
    return Work()


def test_a_job_runs_in_the_background_and_gives_its_result(work: Work) -> None:
    jobs = Jobs()
    job = jobs.start(work, "the work")
    assert work.began.wait(20) and job.running
    assert job.task is not None and job.task.title == "working"
    work.go.set()
    assert jobs.attach(job.number) == "finished"
    assert (job.state, job.task, repr(job)) == ("done", None, "Job(1, 'the work')")
    assert jobs.attach() == "finished"  # again, and the newest job without its number


def test_a_cancelled_job_ends_at_its_next_step(work: Work) -> None:
    jobs = Jobs()
    job = jobs.start(work)
    assert work.began.wait(20)
    jobs.cancel()
    work.go.set()
    assert job.wait(20)
    assert (job.state, work.steps) == ("stopped", 1)
    with pytest.raises(BranchpointError, match="was stopped"):
        jobs.attach(job.number)


def test_what_a_cancelled_job_had_is_its_result(work: Work) -> None:
    """Like the one of ``run.likelihood``, whose partial curve is the value."""
    jobs = Jobs()

    def half() -> str:
        try:
            return work()
        except KeyboardInterrupt:
            return "half of it"

    job = jobs.start(half)
    assert work.began.wait(20)
    jobs.cancel()
    work.go.set()
    assert jobs.attach(job.number) == "half of it"
    assert job.state == "stopped"


def test_cancelling_one_job_leaves_the_others_alone(work: Work) -> None:
    jobs, other = Jobs(), Work()
    kept, ended = jobs.start(work), jobs.start(other)
    jobs.cancel(ended.number)
    work.go.set()
    other.go.set()
    assert jobs.attach(kept.number) == "finished"
    assert ended.wait(20) and ended.state == "stopped"


def test_the_error_of_a_job_reaches_who_attaches() -> None:
    jobs = Jobs()
    job = jobs.start(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        jobs.attach(job.number)
    assert job.state == "failed"


def test_only_so_many_ended_jobs_are_kept() -> None:
    jobs = Jobs()
    for number in range(1, 31):
        assert jobs.start(lambda: None).wait(20)
        assert jobs[None].number == number
    assert 20 <= len(jobs) <= 21
    with pytest.raises(BranchpointError, match="there is no job 1"):
        jobs.attach(1)


def test_lists_show_the_state_and_nothing_of_the_name_is_markup(work: Work) -> None:
    jobs = Jobs()
    assert repr(jobs) == "no jobs"
    job = jobs.start(work, "<b>bold</b>")
    assert work.began.wait(20)
    assert "working" in repr(jobs) and "<b>bold</b>" in repr(jobs)
    assert "&lt;b&gt;bold" in jobs._repr_html_() and "<b>" not in jobs._repr_html_()
    work.go.set()
    job.wait(20)
    assert "done" in repr(jobs)


@pytest.mark.parametrize("call", [lambda jobs: jobs.attach(), lambda jobs: jobs.cancel()])
def test_without_jobs_the_error_says_so(call: object) -> None:
    with pytest.raises(BranchpointError, match="no job"):
        call(Jobs())  # type: ignore[operator]


def test_what_cannot_be_called_is_refused_with_an_example() -> None:
    with pytest.raises(BranchpointError, match="lambda"):
        Jobs().start(42)  # type: ignore[arg-type]
