"""What can go wrong: one class for each kind, all of them a :class:`DistflowError`.

``code`` is a stable word, the same in every language of distflow. Where a standard exception fits,
it is a base class too, so that ``except TimeoutError`` works as anywhere else.
"""

from __future__ import annotations

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar


class DistflowError(Exception):
    """Base class of every error of this package.

    ``code`` is a stable word for the kind, ``causes`` the texts of what caused it, the nearest
    first.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str = "", causes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.causes: tuple[str, ...] = tuple(causes)


class InvalidArgumentError(DistflowError, ValueError):
    """An argument or option has a value that it can't have; the text names it."""

    code = "invalid_argument"


class InsecureError(DistflowError, ValueError):
    """Another address than loopback was asked for, but there is no authentication."""

    code = "insecure"


class InvalidHandleError(DistflowError):
    """Only in C: a handle that stands for nothing."""

    code = "invalid_handle"


class ReentrantCallError(DistflowError, RuntimeError):
    """A handler made a call that would wait for the handler itself."""

    code = "reentrant_call"


class AbiMismatchError(DistflowError):
    """Parts of different versions."""

    code = "abi_mismatch"


class NotStartedError(DistflowError, RuntimeError):
    """The node was not started yet. One that was closed raises :class:`ClosedError`."""

    code = "not_started"


class ClosedError(DistflowError):
    """The node, PMD, connection or document was closed, before or during the call."""

    code = "closed"


class AlreadyRunningError(DistflowError, RuntimeError):
    """This process has its one node of :func:`distflow.start` already; or a document's directory is
    open already."""

    code = "already_running"


class ForkedError(DistflowError, RuntimeError):
    """The object belongs to the process that forked this one; make a new one here."""

    code = "forked"


class PmdUnavailableError(DistflowError, ConnectionError):
    """No PMD answers."""

    code = "pmd_unavailable"


class NotPmdError(DistflowError, ConnectionError):
    """Something answers on the PMD's port that is no PMD."""

    code = "not_pmd"


class PmdLaunchFailedError(DistflowError, OSError):
    """A PMD could not be launched; the text says what was tried."""

    code = "pmd_launch_failed"


class TimeoutError(DistflowError, builtins.TimeoutError):
    """Something did not end in time; it may still happen."""

    code = "timeout"


class ResolveFailedError(DistflowError, LookupError):
    """Nobody has that alias or node id, or the PMD could not be asked."""

    code = "resolve_failed"


class NodeNotFoundError(DistflowError, LookupError):
    """The PMD does not know the node."""

    code = "node_not_found"


class AliasInUseError(DistflowError):
    """Another node has the alias."""

    code = "alias_in_use"


class NodeIdInUseError(DistflowError):
    """Another node has the id."""

    code = "node_id_in_use"


class RefusedError(DistflowError):
    """The PMD refused, for the reason in the text."""

    code = "refused"


class ConnectionFailedError(DistflowError, ConnectionError):
    """The peer can't be reached."""

    code = "connection_failed"


class BusyError(DistflowError):
    """A queue is full, or too many operations wait; try again later."""

    code = "busy"


class AddressInUseError(DistflowError, OSError):
    """Another program listens on the address."""

    code = "address_in_use"


class IoError(DistflowError, OSError):
    """The operating system refused something."""

    code = "io"


class InvalidFrameError(DistflowError, ValueError):
    """Bytes that are no frame."""

    code = "invalid_frame"


class TooLargeError(DistflowError, ValueError):
    """A message or operation is larger than the limit."""

    code = "too_large"


class InvalidJsonError(DistflowError, ValueError):
    """A value that JSON can't hold: NaN, infinity, nested too deep."""

    code = "invalid_json"


class InvalidMessageError(DistflowError, ValueError):
    """JSON or bytes that are no message, operation, batch or snapshot; or a document's files are
    damaged."""

    code = "invalid_message"


class SourceConflictError(DistflowError, RuntimeError):
    """Two histories of a shared document are written as one source."""

    code = "source_conflict"


class InternalError(DistflowError, RuntimeError):
    """A defect of distflow."""

    code = "internal"


class PanicError(InternalError):
    """A defect of distflow that would have ended the process."""

    code = "panic"


_BY_CODE: dict[str, type[DistflowError]] = {
    cls.code: cls
    for cls in list(globals().values())
    if isinstance(cls, type) and issubclass(cls, DistflowError) and cls is not DistflowError
}


def _make(code: str, message: str, causes: Sequence[str]) -> DistflowError:
    """The exception for an error of the native module."""
    return _BY_CODE.get(code, InternalError)(message, causes)
