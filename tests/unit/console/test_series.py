"""What has ended over time, for charts."""

from __future__ import annotations

from streams.console.series import curves, spark
from streams.projection.numbers import Ended

HOUR = 60 * 60 * 1000
NOW = 1_800_000_030_000


def _ended(at: int, state: str, number: int = 1, queue: str = "default") -> Ended:
    return Ended(at=at, queue=queue, name="mail", state=state, error=None, number=number)


def test_each_step_has_what_ended_in_it():
    # given an hour, in steps of a minute
    drawn = curves(
        [
            _ended(NOW - 61_000, "completed", 3),
            _ended(NOW - 61_000, "retrying", 2),
            _ended(NOW, "dead"),
            _ended(NOW - 2 * HOUR, "completed", 100),
            _ended(NOW, "cancelled", 9),
        ],
        NOW,
        HOUR,
        ["default", "bulk"],
    )

    # then
    assert drawn.step_ms == 60_000
    assert len(drawn.times) == len(drawn.all.completed) == 60
    assert drawn.times[-1] == NOW // 60_000 * 60
    assert drawn.all.completed[-2] == 3
    assert drawn.all.retried[-2] == 2
    assert drawn.all.dead[-1] == 1
    assert sum(drawn.all.completed) == 3
    assert drawn.of["default"].attempts == 6
    assert drawn.of["default"].failures == 3
    assert drawn.of["bulk"].attempts == 0


def test_the_rate_is_of_whole_steps():
    drawn = curves(
        [_ended(NOW - 60_000, "completed", 50), _ended(NOW, "completed", 1_000)],
        NOW,
        HOUR,
        ["default"],
    )

    assert drawn.rate("default") == 10  # 50 in five minutes; the step that goes on is left out
    assert drawn.rate("unknown") == 0


def test_a_queue_that_is_not_asked_for_is_counted_as_well():
    assert curves([_ended(NOW, "completed", queue="old")], NOW, HOUR, []).of["old"].attempts == 1


def test_a_small_line_fits_its_box():
    points = [tuple(map(float, point.split(","))) for point in spark([0, 5, 10]).split()]

    assert [x for x, _ in points] == [0, 60, 120]
    assert points[0][1] == 27
    assert points[2][1] == 1
    assert spark([]) == ""
    assert spark([0]) == "0.0,27.0"


def test_a_small_line_beside_another_one_has_its_scale():
    one, other = spark([0, 1], 10), spark([0, 10])
    assert one.endswith(",24.4")
    assert other.endswith(",1.0")
