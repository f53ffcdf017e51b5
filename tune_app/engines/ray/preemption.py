"""Notices from the driver to workers on other machines, which read them before each epoch.

A notice says either that every trial is to be saved, since the session ends, or which machines are about to
be taken away: those that are being drained, as by ``ray drain-node`` when a cloud wants a spot machine back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import ray

from tune_app.engines.ray import private_api

_KEY = b"tune-app-notices"
_ALL = "*"
_CHECK_EVERY_S = 1.0
_ANSWER_WITHIN_S = 2.0


class NoticeBoard:
    """The driver's side: writes a notice when it has changed."""

    def __init__(self) -> None:
        self._written = ""
        self._checked_at = time.monotonic()

    def tick(self, saving: bool) -> None:
        """Called a few times a second; ``saving`` says whether all trials are to be saved."""
        now = time.monotonic()
        if (saving and self._written == _ALL) or not (saving or now - self._checked_at >= _CHECK_EVERY_S):
            return
        self._checked_at = now
        notice = _ALL if saving else self._draining()
        if notice != self._written:
            private_api.put(_KEY + _job(), notice.encode())
            self._written = notice

    def _draining(self) -> str:
        try:
            return " ".join(private_api.draining(_ANSWER_WITHIN_S))
        except ray.exceptions.RpcError:  # the head is busy, or on its way out: it is asked again
            return self._written


@dataclass(frozen=True)
class Notice:
    """Whether a trial is to be saved after its epoch, and whether it must leave its machine after that."""

    save: bool = False
    leave: bool = False


def read_notice() -> Notice:
    """The notice for this worker."""
    words = private_api.get(_KEY + _job()).decode().split()
    leave = bool(words) and ray.get_runtime_context().get_node_id() in words
    return Notice(save=leave or _ALL in words, leave=leave)


def _job() -> bytes:
    """Ray's name of the driver's process, the same in all of its workers."""
    return str(ray.get_runtime_context().get_job_id()).encode()
