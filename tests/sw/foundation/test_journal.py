"""Lines of progress, where no bars can be drawn."""

from pathlib import Path

from systolith.foundation import LOG, Journal, Progress, open_log


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_stage_has_lines_for_begin_epochs_and_end() -> None:
    lines: list[str] = []
    clock = Clock()
    journal = Journal(lines.append, clock)
    journal.stage_begins("train")
    journal.stage_reruns("train", ["source changed: mine.py"])
    for done in (0.5, 1.0, 1.5, 2.0):
        clock.seconds += 1
        journal.progress(Progress(task="train", done=done, total=4, text=f"loss {done}"))
    journal.stage_ends("train", 4.0, cached=False)
    assert lines == [
        "train: begins",
        "train: runs again: source changed: mine.py",
        "train: 1 of 4, loss 1.0, 0:00:06 left",
        "train: 2 of 4, loss 2.0, 0:00:04 left",
        "train: done in 4.0 s",
    ]


def test_many_units_have_a_line_a_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    journal = Journal(lines.append, clock)
    journal.stage_begins("simulate")
    for done in range(1, 151):
        clock.seconds += 1
        journal.progress(Progress(task="simulate", done=done, total=1000, text="1 images/s"))
    assert lines[1:] == [
        "simulate: 60 of 1000, 1 images/s, 0:15:40 left",
        "simulate: 120 of 1000, 1 images/s, 0:14:40 left",
    ]


def test_a_task_begins_when_it_is_first_heard_of() -> None:
    lines: list[str] = []
    journal = Journal(lines.append, Clock())
    for what, done in (("batch 0", 0), ("batch 0", 1), ("batch 1", 0)):
        journal.task(Progress(task=what, done=done, total=2))
    assert lines == ["batch 0: begins", "batch 0: 1 of 2, 0:00:00 left", "batch 1: begins"]


def test_a_log_grows_line_by_line(tmp_path: Path) -> None:
    write = open_log(tmp_path / "out")
    write("first")
    write("second")
    first, second = (tmp_path / "out" / LOG).read_text().splitlines()
    assert first.endswith(" first") and second.endswith(" second")


def test_a_silent_stage_has_a_line_a_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    journal = Journal(lines.append, clock)
    journal.stage_begins("build")
    for _ in range(5):
        clock.seconds += 30
        journal.beat()
    journal.progress(Progress(task="build", done=0, total=3, text="placing"))
    clock.seconds += 60
    journal.beat()
    journal.stage_ends("build", 210.0, cached=False)
    clock.seconds += 600
    journal.beat()
    assert lines == [
        "build: begins",
        "build: running for 0:01:00",
        "build: running for 0:02:00",
        "build: 0 of 3, placing",
        "build: done in 210.0 s",
    ]
