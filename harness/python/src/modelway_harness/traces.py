"""This file is how tracebacks are shown to the model's owner: from the first frame of their own code on."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import FrameType, TracebackType

_HARNESS = str(Path(__file__).parent)


def trace_of(error: BaseException) -> str:
    """The traceback as Python prints it, without the frames of the harness and the importer before it."""
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


def stack_of(thread_id: int | None) -> str:
    """Where a thread of this process is right now, without the harness's frames; empty when it has ended."""
    frame = sys._current_frames().get(thread_id) if thread_id is not None else None
    if frame is None:
        return ""
    kept = _from_first_of_theirs(frame)
    return "".join(traceback.StackSummary.extract(kept).format())


def _first_of_theirs(step: TracebackType | None) -> TracebackType | None:
    while step is not None and _is_ours(step.tb_frame):
        step = step.tb_next
    return step


def _from_first_of_theirs(innermost: FrameType) -> list[tuple[FrameType, int]]:
    frames: list[tuple[FrameType, int]] = []
    frame: FrameType | None = innermost
    while frame is not None and not _is_harness(frame):
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return frames[::-1]


def _is_ours(frame: FrameType) -> bool:
    return _is_harness(frame) or frame.f_code.co_filename.startswith("<frozen importlib")


def _is_harness(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_HARNESS)
