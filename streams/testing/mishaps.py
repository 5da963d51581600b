"""What goes wrong in a schedule, apart from the jobs themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streams.testing.faults import BOUNDARIES, Trap, WorkerProcess

if TYPE_CHECKING:
    from streams.testing.world import World

STEPS_MOST: Final = 150  # about as many as a worker takes for a burst of jobs
FREEZES_MS: Final = (5_500, 9_500, 40_000)  # within the lease, within the session, longer


class Mishaps:
    """Each happens to the world, or to one of the workers that run at that time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "crash": (1, self._to_one(self._crash)),
            "crash soon": (1, self._to_one(self._crash_soon)),
            "crash loop": (1, self._crash_again_and_again),
            "trap": (2, self._set_trap),
            "freeze": (1, self._to_one(self._freeze)),
            "freeze soon": (1, self._to_one(self._freeze_soon)),
            "refusals": (1, self._to_one(self._refuse)),
            "slow": (3, self._be_slow),
            "rebalance": (1, world.coordinator.rebalance),
            "join": (1, self._join),
            "leave": (1, self._to_one(self._leave)),
            "rewind": (1, self._to_one(self._rewind)),
            "clock": (1, self._to_one(self._step_clock)),
        }
        self._names = [name for name, (weight, _) in self._kinds.items() for _ in range(weight)]

    def draw(self) -> tuple[str, Callable[[], None]]:
        """One of them, by chance."""
        name = self._rng.choice(self._names)
        return name, self._kinds[name][1]

    def _to_one(self, what: Callable[[WorkerProcess], None]) -> Callable[[], None]:
        def act() -> None:
            if self._world.running:
                what(self._rng.choice(self._world.running))

        return act

    def _crash(self, process: WorkerProcess) -> None:
        self._world.crash(process, "of a fault")

    def _crash_soon(self, process: WorkerProcess) -> None:
        process.last_step = process.steps + self._rng.randint(1, STEPS_MOST)

    def _crash_again_and_again(self) -> None:
        """Whoever takes over dies as well, soon after it opened."""
        now = self._world.clock.now()
        for late in range(4):
            when = now + late * 12_000 + self._rng.randint(0, 6_000)
            self._world.clock.call_at(when, self._to_one(self._crash_soon))

    def _set_trap(self) -> None:
        label, phase = self._rng.choice(BOUNDARIES)
        most = 2 if phase == "torn" else 4
        self._world.traps.append(Trap(label, phase, self._rng.randint(1, most)))

    def _freeze(self, process: WorkerProcess) -> None:
        self._world.freeze(process, self._rng.randint(500, self._rng.choice(FREEZES_MS)))

    def _freeze_soon(self, process: WorkerProcess) -> None:
        process.last_step = process.steps + self._rng.randint(1, STEPS_MOST)
        process.freezes = True

    def _refuse(self, process: WorkerProcess) -> None:
        process.refusals = self._rng.randint(1, 4)

    def _be_slow(self) -> None:
        world, rng = self._world, self._rng
        world.note("the broker is slow")
        now = world.clock.now()
        world.slow_until = now + rng.randint(1_000, 8_000)
        if rng.random() < 0.7:  # what is on its way then meets the next owner
            world.clock.call_at(now + rng.randint(0, 3_000), world.coordinator.rebalance)

    def _join(self) -> None:
        world = self._world
        world.start(f"v{(world.clock.now() - world.began)}")

    def _leave(self, process: WorkerProcess) -> None:
        if len(self._world.processes) > 1:
            self._world.leave(process)

    def _rewind(self, process: WorkerProcess) -> None:
        for source in process.worker.sources:
            source.position = self._world.commits.get(source.place, 0)
            process.worker.fetch_soon(source)

    def _step_clock(self, process: WorkerProcess) -> None:
        ms = self._rng.choice((700, 5_000, 60_000))
        self._world.note(f"the clock of {process.name} steps by {ms} ms")
        process.clock.step(ms)
