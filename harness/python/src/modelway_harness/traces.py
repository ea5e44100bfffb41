"""This file is how tracebacks are shown to the model's owner: from the first frame of their own code on."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Iterator
from itertools import dropwhile, islice
from pathlib import Path
from types import AsyncGeneratorType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

TASKS_SHOWN = 20
AWAITS_SHOWN = 100
_HARNESS = str(Path(__file__).parent)
_LIBRARY = Path(os.__file__).parent
_LOOP = (f"{_LIBRARY / 'asyncio'}{os.sep}", str(_LIBRARY / "selectors.py"))  # the files of an event loop
_BEFORE_THEIRS = (_HARNESS, *_LOOP, "<frozen importlib")


def trace_of(error: BaseException) -> str:
    """The traceback as Python prints it, without the frames of the harness, the importer and asyncio before it."""
    return "".join(traceback.format_exception(type(error), error, _first_of_theirs(error.__traceback__)))


def line_in(path: Path, error: BaseException) -> int | None:
    """The innermost line of the file `path` that `error` passed through; None when it did not."""
    line = None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == str(path):
            line = step.tb_lineno
        step = step.tb_next
    return line


def stack_of(thread_id: int | None, loop: asyncio.AbstractEventLoop | None = None) -> str:
    """Where a thread of this process is right now, without the harness's frames; empty when it has ended.

    Where it does no more than wait in `loop`, its event loop, this is what the tasks of the loop wait for.
    """
    frame = sys._current_frames().get(thread_id) if thread_id is not None else None
    frames = _up_to_harness(frame)
    theirs = _from_first_of_theirs(frames)
    if not theirs and loop is not None:
        return stacks_of_tasks(loop) or _printed(frames)
    return _printed(theirs or frames)


def stacks_of_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Where each task is, from the user's first frame on; tasks without such a frame are left out. Raises nothing.

    For another thread than the loop's, which may go on meanwhile: what has just gone is not shown.
    """
    try:
        tasks = sys.modules["asyncio"].all_tasks(loop)
        named = sorted(((task.get_name(), task.get_coro()) for task in tasks), key=lambda each: (len(each[0]), each[0]))
        stacks = ((name, _printed(_from_first_of_theirs(list(_awaits(begun))))) for name, begun in named)
        told = list(islice(((name, stack) for name, stack in stacks if stack), TASKS_SHOWN))
    except Exception:
        return ""
    if len(told) <= 1:
        return "".join(stack for _, stack in told)
    more = "and more tasks\n" if len(told) == TASKS_SHOWN < len(named) else ""
    return "".join(f"{name}:\n{stack}" for name, stack in told) + more


def _awaits(begun: Any) -> Iterator[FrameType]:
    """The frames of a coroutine and of what it awaits, one inside the other. (A task's own `get_stack` has the first.)

    What awaits an async generator's next value tells of it only to the garbage collector.
    """
    step = begun
    for _ in range(AWAITS_SHOWN):
        frame = _either(step, "cr_frame", "ag_frame", "gi_frame")
        if frame is not None:
            yield frame
        inner = _either(step, "cr_await", "ag_await", "gi_yieldfrom")
        if frame is None and inner is None:
            inner = next((each for each in gc.get_referents(step) if isinstance(each, AsyncGeneratorType)), None)
        if inner is None:
            return
        step = inner


def _either(step: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(step, name, None)) is not None), None)


def _first_of_theirs(step: TracebackType | None) -> TracebackType | None:
    while step is not None and _is_before_theirs(step.tb_frame):
        step = step.tb_next
    return step


def _up_to_harness(innermost: FrameType | None) -> list[FrameType]:
    """The outermost first, up to where the harness called."""
    frames: list[FrameType] = []
    frame = innermost
    while frame is not None and not frame.f_code.co_filename.startswith(_HARNESS):
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _from_first_of_theirs(frames: list[FrameType]) -> list[FrameType]:
    return list(dropwhile(_is_before_theirs, frames))


def _is_before_theirs(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_BEFORE_THEIRS)


def _printed(frames: list[FrameType]) -> str:
    return "".join(traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames).format())
