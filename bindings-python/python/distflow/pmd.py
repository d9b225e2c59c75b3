"""A PMD within this process, and a client of any PMD."""

from __future__ import annotations

from _warnings import warn

from . import _distflow, _log, _options
from ._base import NoCopy, event, event_name, listen, one_of, peer
from .errors import InvalidArgumentError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any, List, Optional, Union

    from typing_extensions import Unpack

    from .options import PmdKeywords, PmdOptions
    from .types import OnPmdEvent, Peer, PeerJoin, PeerLeave


class Pmd(NoCopy):
    """A PMD within this process: the registry that nodes find each other by. Making one starts it.

    >>> with Pmd(port=0) as pmd:
    ...     pmd.nodes()
    []

    Options are the members of :class:`PmdOptions`, by keyword, or one such object.

    Errors: ``InvalidArgumentError``, ``TypeError``, ``InsecureError``, ``AddressInUseError``,
    ``IoError``.
    """

    def __init__(self, options: Optional[PmdOptions] = None, **named: Unpack[PmdKeywords]) -> None:
        text = _options.native("PmdOptions", _options.PMD, options, named)
        _log.connect()
        native = _distflow.NativePmd()
        native.start(text)
        self._native = native
        self._port = native.port

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def is_running(self) -> bool:
        """Whether it serves."""
        return self._native.is_running()

    def nodes(self) -> list[Peer]:
        """The registered nodes. Error: ``ClosedError`` when it does not serve."""
        return [peer(row) for row in self._native.nodes()]

    if TYPE_CHECKING:
        on: OnPmdEvent
    else:

        def on(self, event: str, handler: Callable[[Any], object]) -> Callable[[], None]:
            """Calls a function with every event of a kind, on the PMD's callback thread. Returns a
            function that ends that.

            ``event`` is a key of :data:`distflow.PMD_EVENTS`; the function gets an object of the
            class there, the same one as other handlers. What it raises goes to
            ``sys.unraisablehook``.
            """
            return listen(self, event_name(event, "PMD_EVENTS"), handler)

    def close(self) -> None:
        """Ends it: its nodes lose their PMD, and look for another. Safe to call twice."""
        native = getattr(self, "_native", None)
        if native is not None:
            native.stop()

    def __del__(self, _warn: Callable[..., None] = warn) -> None:
        if getattr(self, "_native", None) is not None and self.is_running:
            _warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<distflow.Pmd port={self._port}{'' if self.is_running else ', closed'}>"

    def __enter__(self) -> Pmd:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class PmdClient(NoCopy):
    """A connection to a PMD, for programs that only ask, or that register by themselves.

    Making one connects. ``timeout`` in seconds is for connecting and for each request. One request
    at a time: threads that share a client wait for each other.

    Errors: ``PmdUnavailableError``, ``NotPmdError``, ``TimeoutError``; those of requests are
    ``PmdUnavailableError`` and ``TimeoutError``, and what the PMD refuses.
    """

    def __init__(self, host: str = "localhost", port: int = 4369, timeout: float = 5.0) -> None:
        if not isinstance(host, str):
            raise TypeError(f"host must be a str, not {type(host).__name__}")
        self._place = f"{host}:{_options.checked('port', 'port', port)}"
        self._closed = False
        self._given_back: List[Union[PeerJoin, PeerLeave]] = []
        self._native = _distflow.NativePmdClient(host, port, timeout)

    def register(
        self,
        node_id: str,
        alias: Optional[str],
        host: str,
        port: int,
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Registers a node for as long as this connection lives.

        A second registration of the same id takes the place of the first. A name that somebody else
        has is refused after half a second, in which its owner may prove to be dead.

        Errors: ``AliasInUseError``, ``NodeIdInUseError``, ``InvalidArgumentError``.
        """
        if not _options.checked("port", "port", port):
            raise InvalidArgumentError("port must be 1 to 65535")
        checked = _options.checked("meta", "mapping or None", meta)
        text = None if checked is None else _options.json({"meta": checked})[len('{"meta":') : -1]
        self._native.register(node_id, alias or None, host, port, text)

    def unregister(self, node_id: str) -> None:
        """Ends a registration of this connection. Error: ``NodeNotFoundError``."""
        self._native.unregister(node_id)

    def heartbeat(self, node_id: str) -> None:
        """Tells that a node lives. Error: ``NodeNotFoundError``."""
        self._native.heartbeat(node_id)

    def resolve(self, name: str) -> Peer:
        """The node of an alias or id. Error: ``NodeNotFoundError``."""
        return peer(self._native.resolve(name))

    def list(self, prefix: Optional[str] = None) -> List[Peer]:
        """The registered nodes, or only those whose alias begins with ``prefix``."""
        return [peer(row) for row in self._native.list(prefix)]

    def watch(self) -> List[Peer]:
        """Begins to watch: the nodes of this moment; later changes come by :meth:`next_event`."""
        return [peer(row) for row in self._native.watch()]

    def next_event(self, timeout: Optional[float] = None) -> Union[PeerJoin, PeerLeave]:
        """The next change since :meth:`watch`.

        Error: ``TimeoutError`` after ``timeout`` seconds.
        """
        told: Optional[Union[PeerJoin, PeerLeave]] = one_of(
            self._given_back, self._native.next_event, event, timeout
        )
        if told is None:
            raise TimeoutError("nothing came in time")
        return told

    def close(self) -> None:
        """Ends the connection, what it registered, and every wait on it: those, and later requests,
        raise ``ClosedError``. Safe to call twice."""
        native = getattr(self, "_native", None)
        if native is not None:
            self._closed = True
            native.close()

    def __del__(self, _warn: Callable[..., None] = warn) -> None:
        if getattr(self, "_native", None) is not None and not self._closed:
            _warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<distflow.PmdClient {self._place}{', closed' if self._closed else ''}>"

    def __enter__(self) -> PmdClient:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()
