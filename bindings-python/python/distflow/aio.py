"""The node for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import warnings
import weakref
from _thread import get_ident
from collections import deque
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Callable,
    Coroutine,
    Deque,
    Dict,
    Generator,
    Optional,
    Set,
)

from . import _distflow, types
from ._base import (
    NodeBase,
    checked_handler,
    checked_timeout,
    concurrency,
    event_name,
    native_options,
)
from ._distflow import Message
from .errors import ClosedError, NotStartedError, TimeoutError
from .types import (
    End,
    OnNodeEvent,
    Payload,
    Peer,
    Stats,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import NodeKeywords, NodeOptions

_BATCH = 256

# Closes of nodes whose start was given up.
_ENDING: Set[asyncio.Future[Any]] = set()

# Sends that end at once do not let others run by themselves; after so many they do.
_SENDS_BETWEEN_TURNS = 1_024


class Node(NodeBase):
    """A node of an event loop: like :class:`distflow.Node`, but nothing blocks.

    .. code-block:: python

        async with distflow.aio.Node(alias="greeter") as node:
            await node.send("greeter", {"hello": "world"})
            async for message in node:
                print(message.sender, message.payload)
                break

    ``await Node(…)`` starts one too; then :meth:`close` it. It belongs to the loop that starts it,
    and its methods to that loop's thread. Options are those of :class:`distflow.NodeOptions`.

    Any loop will do that has ``add_reader``. What arrives wakes it by a descriptor, so no other
    thread needs the interpreter for that, and a loop that is closed is not an error.
    """

    def __init__(
        self, options: Optional[NodeOptions] = None, **named: Unpack[NodeKeywords]
    ) -> None:
        self._options = native_options(options, named, exclusive=False)
        self._concurrency = concurrency(options, named)
        self._native = _distflow.NativeNode()
        self._hub = _distflow.Hub()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._starting: Optional[asyncio.Future[Any]] = None
        self._closing: Optional[asyncio.Future[Any]] = None
        self._calls: Dict[int, asyncio.Future[Any]] = {}
        self._last_call = 0
        self._handlers: list[_Handler] = []
        self._event_handlers: Dict[str, list[_Handler]] = {}
        self._tasks: Set[asyncio.Future[Any]] = set()
        # Messages that handlers are at, and whether such a handler has to be awaited at all.
        self._handling = 0
        self._awaits = False
        self._waiting: Deque[asyncio.Future[Message]] = deque()
        self._taken: Deque[Message] = deque()
        self._messages_fd = -1
        self._reading = False
        self._sending = False
        self._holding = False
        self._sends = 0
        self._ended = False
        self._thread = get_ident()
        self._starters = 0
        self._abandoned = False

    # ------------------------------------------------------------------ start and end

    async def start(self) -> Node:
        """Starts the node; waits until the PMD knows it. Safe to call twice.

        When every call that waits for it is cancelled, the node is closed.

        Errors: those of :class:`distflow.Node`; ``ClosedError`` when it was closed.
        """
        if self._closing is not None or self._abandoned:
            raise ClosedError("the node was closed")
        if self._starting is None:
            if self._ended:
                raise ClosedError("the node was closed")
            loop = asyncio.get_running_loop()
            self._loop, self._thread = loop, get_ident()
            loop.add_reader(self._hub.fd, _weakly(self, self._hub, self._hub.fd, Node._on_hub))
            call, self._starting = self._call()
            try:
                self._native.begin_start(self._options, self._hub, call)
            except BaseException as error:
                self._calls.pop(call, None)
                self._starting.set_exception(error)
        self._here()
        self._starters += 1
        try:
            await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            if self._starters == 1 and self._messages_fd < 0:
                self._abandon()
            raise
        except BaseException:
            self._finish()
            raise
        finally:
            self._starters -= 1
        if self._messages_fd < 0:
            self._messages_fd = self._native.messages_fd()
            self._flow()
        return self

    def _abandon(self) -> None:
        """Nobody waits for the start any more: what it has begun is taken back."""
        self._abandoned = True
        ending = asyncio.ensure_future(self.close())
        _ENDING.add(ending)
        ending.add_done_callback(_ENDING.discard)

    async def close(self) -> None:
        """Flushes what was sent, unregisters and closes every connection; about 3 s at most when a
        peer does not respond. Afterwards no handler is called; coroutines of handlers that were
        begun go on. Safe to call twice."""
        self._here()
        if self._starting is None or self._ended:
            self._finish()
            return
        if self._closing is None:
            try:
                await asyncio.shield(self._starting)
            except asyncio.CancelledError:
                raise
            except BaseException:
                self._finish()
                return
        if self._closing is None:
            call, self._closing = self._call()
            self._native.begin_close(self._hub, call)
        try:
            await asyncio.shield(self._closing)
        finally:
            if self._closing.done():
                self._finish()

    def _finish(self) -> None:
        if self._ended:
            return
        self._ended = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            self._on_events()
            loop.remove_reader(self._hub.fd)
            if self._reading:
                loop.remove_reader(self._messages_fd)
            for future in [*self._calls.values(), *self._waiting]:
                if not future.done():
                    future.set_exception(ClosedError("the node was closed"))
        self._reading = False
        self._calls.clear()
        self._waiting.clear()
        self._handlers.clear()

    def __await__(self) -> Generator[Any, None, Node]:
        return self.start().__await__()

    async def __aenter__(self) -> Node:
        return await self.start()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        loop = getattr(self, "_loop", None)
        if loop is None or self._ended or self._native.has_ended():
            return
        _warn(f"unclosed {self!r}", ResourceWarning, source=self)
        # The loop still listens to descriptors that must not be closed before it lets them go.
        if not loop.is_closed():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_let_go, loop, self._hub, self._native)

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._ended or self._abandoned or self._native.has_ended()

    # ------------------------------------------------------------------ calls

    def _call(self) -> tuple[int, asyncio.Future[Any]]:
        assert self._loop is not None
        self._last_call += 1
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls[self._last_call] = future
        return self._last_call, future

    def _here(self) -> None:
        """Error: ``RuntimeError`` on another thread, and in another loop."""
        if self._loop is None:
            return
        if get_ident() != self._thread:
            raise RuntimeError("this node belongs to the thread of another event loop")
        running = asyncio._get_running_loop()
        if running is not None and running is not self._loop:
            raise RuntimeError("this node belongs to another event loop")

    def _running(self) -> None:
        self._here()
        if self.closed or self._closing is not None:
            raise ClosedError("Node not started")
        if self._messages_fd < 0:
            raise NotStartedError("Node not started")

    def _receiving(self) -> None:
        self._here()
        if self.closed or self._closing is not None:
            raise ClosedError("the node was closed")
        if self._messages_fd < 0:
            raise NotStartedError("Node not started")

    def _on_hub(self) -> None:
        # Results after events: what came before an end is told before it.
        results = self._hub.take()
        self._on_events()
        for call, error, value in results:
            future = self._calls.pop(call, None)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
                # Whoever waited may have given up.
                future.exception()

    def _on_events(self) -> None:
        while True:
            rows = self._native.take_events(self._event_handlers)
            for row in rows:
                event = types.event(row)
                for handler in [*self._event_handlers[row[0]]]:
                    self._invoke(handler, event)
            if len(rows) < _BATCH:
                return

    def _invoke(self, handler: _Handler, argument: object) -> Optional[asyncio.Future[Any]]:
        """Calls a handler, unless it was ended; its task, if it has one."""
        if handler.has_ended:
            return None
        try:
            result = handler.function(argument)
            if inspect.isawaitable(result):
                task: asyncio.Future[Any] = asyncio.ensure_future(result)
                self._tasks.add(task)
                task.add_done_callback(self._task_ended)
                return task
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # Also a CancelledError, which is nobody's here.
            self._report(error, handler.function)
        return None

    def _handle(self, message: Message) -> None:
        """Gives a message to every handler. It is being handled until all of them are done."""
        running = 0

        def done(_: object) -> None:
            nonlocal running
            running -= 1
            if running == 0:
                self._handling -= 1
                if not self._reading and self._loop is not None and not self._ended:
                    self._loop.call_soon(self._on_messages)

        # Counted before the first one, which may end the loop.
        for handler in [*self._handlers]:
            task = self._invoke(handler, message)
            if task is not None:
                if running == 0:
                    self._handling += 1
                    self._awaits = True
                running += 1
                task.add_done_callback(done)

    def _is_full(self) -> bool:
        return self._handling >= self._concurrency

    def _task_ended(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self._report(error, task)

    def _report(self, error: BaseException, source: object) -> None:
        assert self._loop is not None
        message = "exception in a handler of a distflow node"
        context = {"message": message, "exception": error, "source": source, "node": self}
        self._loop.call_exception_handler(context)

    # ------------------------------------------------------------------ sending

    async def send(self, target: str, payload: Payload, timeout: Optional[float] = None) -> None:
        """Like :meth:`distflow.Node.send`. As a rule there is nothing to wait for.

        The first message of a turn of the loop is written at once, further ones together.
        """
        self._running()
        checked_timeout(timeout)
        if self._sending:
            self._holding = True
        else:
            self._sending = True
            assert self._loop is not None
            self._loop.call_soon(self._flush)
        call = self._last_call + 1
        if not self._native.begin_send(target, payload, self._holding, self._hub, call):
            self._sends += 1
            if self._sends >= _SENDS_BETWEEN_TURNS:
                self._sends = 0
                await asyncio.sleep(0)
            return
        _, future = self._call()
        await self._bounded(future, timeout, "the send did not end in time")

    def _flush(self) -> None:
        holding = self._holding
        self._sending = self._holding = False
        if holding:
            self._native.flush()

    async def _bounded(
        self, future: asyncio.Future[Any], timeout: Optional[float], text: str
    ) -> Any:
        if timeout is None:
            return await future
        try:
            return await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError as error:
            if isinstance(error, TimeoutError):
                raise
            raise TimeoutError(text) from None

    # ------------------------------------------------------------------ receiving

    def on_message(
        self, handler: Callable[[Message], Optional[Coroutine[Any, Any, object]]]
    ) -> End:
        """Calls a function, or a coroutine function as a task, with every message. Returns a
        function that ends that.

        A message is being handled until the coroutines of all its handlers are done, and
        ``concurrency`` messages are at a time, by default one: so they are handled in order, the
        next ones wait in the mailbox, and when that is full, senders wait. A handler that awaits
        the answer to a message of its own needs a ``concurrency`` of more than 1.

        Several handlers each get every message, in the order in which they were added. Beside
        them receivers still work, and compete with them: a message goes either to the handlers or
        to one receiver. When the last handler is ended, messages wait for receivers again.

        What it raises goes to the loop's exception handler, and the next message still comes.
        """
        checked_handler(handler, awaits=True)
        self._open()
        entry = _Handler(handler)
        self._awaits = self._awaits or inspect.iscoroutinefunction(handler)
        self._handlers.append(entry)
        if self._reading:
            self._native.attend(True)
        self._flow()
        self._hand_to_handlers()
        return _ending(self, self._handlers, entry)

    if TYPE_CHECKING:
        on: OnNodeEvent
    else:

        def on(self, event: str, handler: Callable[[Any], object]) -> End:
            """Calls a function, or a coroutine function as a task, with every event of a kind from
            now on. Returns a function that ends that. ``event`` is a key of
            :data:`distflow.NODE_EVENTS`, such as ``peer_leave``."""
            name = event_name(event, "NODE_EVENTS")
            checked_handler(handler, awaits=True)
            self._open()
            entry = _Handler(handler)
            handlers = self._event_handlers.setdefault(name, [])
            handlers.append(entry)
            return _ending(self, handlers, entry)

    def _open(self) -> None:
        self._here()
        if self.closed or self._closing is not None:
            raise ClosedError("the node was closed")

    async def recv(self, timeout: Optional[float] = None) -> Message:
        """The next message. Several receivers compete. One that is cancelled takes none.

        Errors: ``TimeoutError`` after ``timeout`` seconds, ``ClosedError`` when the node has ended.
        """
        checked_timeout(timeout)
        if not self._taken:
            self._receiving()
            self._native.take(self._taken, 1 if self._handlers else _BATCH)
            if self._taken:
                # As long as there are messages, others get a turn once a batch.
                await asyncio.sleep(0)
        if self._taken:
            return self._taken.popleft()
        self._receiving()
        assert self._loop is not None
        future: asyncio.Future[Message] = self._loop.create_future()
        self._waiting.append(future)
        self._flow()
        try:
            message: Message = await self._bounded(future, timeout, "nothing came in time")
            return message
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                # It came together with the end of the wait: it is the next one's.
                self._taken.appendleft(future.result())
                self._hand_out()
            elif future in self._waiting:
                self._waiting.remove(future)
            # It may have been the last one.
            self._flow()
            self._hand_to_handlers()
            raise

    def _hand_to_handlers(self) -> None:
        """Handlers get what was taken for a receiver that has not come for it."""
        if self._taken and self._handlers and self._loop is not None:
            self._loop.call_soon(self._on_messages)

    def _last_handler_ended(self) -> None:
        if self._loop is not None and not self.closed:
            self._native.attend(False)
            self._flow()

    def _hand_out(self) -> None:
        while self._taken and self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                # Taken and given in one: a signal handler that raises comes in between calls.
                message = self._taken[0]
                del self._taken[0]
                future.set_result(message)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """The messages from now on, until the node is closed."""
        while True:
            try:
                message = await self.recv()
            except (ClosedError, NotStartedError):
                if self._messages_fd < 0:
                    raise
                return
            yield message

    def _flow(self) -> None:
        """Has the loop listen for messages while somebody wants one."""
        if self._loop is None or self._messages_fd < 0 or self._ended:
            return
        wanted = bool(self._handlers or self._waiting)
        if wanted and not self._reading and not self._must_wait():
            self._reading = True
            self._native.attend(bool(self._handlers))
            fd = self._messages_fd
            self._loop.add_reader(fd, _weakly(self, self._native, fd, Node._on_messages))
        elif not wanted and self._reading:
            self._stop_reading()

    def _stop_reading(self) -> None:
        assert self._loop is not None
        self._reading = False
        self._loop.remove_reader(self._messages_fd)

    def _must_wait(self) -> bool:
        """Whether nobody can take a message before a handler is done with another."""
        return not self._waiting and bool(self._handlers) and self._is_full()

    def _on_messages(self) -> None:
        if self._ended or self._messages_fd < 0:
            return
        if self._must_wait():
            # Only now: as a rule there is nothing to be read, and the loop is left as it is.
            if self._reading:
                self._stop_reading()
        elif self._handlers:
            if not self._taken:
                # No more than can be handled: the rest counts in the mailbox.
                free = self._concurrency - self._handling + len(self._waiting)
                self._native.take(self._taken, min(free, _BATCH) if self._awaits else _BATCH)
            try:
                self._hand_out()
                while self._taken and self._handlers and not self._is_full():
                    message = self._taken[0]
                    del self._taken[0]
                    self._handle(message)
            except BaseException:
                # It ends the loop, which may go on later.
                if self._loop is not None:
                    self._loop.call_soon(self._on_messages)
                raise
        else:
            self._native.take(self._taken, max(len(self._waiting), 1))
            self._hand_out()
        if self._native.has_ended():
            # The descriptor stays readable from here on.
            self._handlers.clear()
            for future in self._waiting:
                if not future.done():
                    future.set_exception(ClosedError("the node has ended"))
            self._waiting.clear()
        self._flow()

    # ------------------------------------------------------------------ asking

    async def discover(
        self, prefix: Optional[str] = None, timeout: Optional[float] = None
    ) -> list[Peer]:
        """Like :meth:`distflow.Node.discover`."""
        self._running()
        checked_timeout(timeout)
        call, future = self._call()
        self._native.begin_discover(prefix, self._hub, call)
        rows = await self._bounded(future, timeout, "the discovery did not end in time")
        return [types.peer(row) for row in rows]

    def stats(self) -> Stats:
        """The counters."""
        stats = super().stats()
        taken = len(self._taken)
        return dataclasses.replace(
            stats, delivered=stats.delivered - taken, waiting=stats.waiting + taken
        )

    def __repr__(self) -> str:
        if self.closed:
            return "<distflow.aio.Node, closed>"
        if self._messages_fd < 0:
            return "<distflow.aio.Node, not started>"
        return f"<distflow.aio.Node {self.node_id} alias={self.alias!r}>"


class _Handler:
    """A function that is called with what comes, until it is ended."""

    __slots__ = ("function", "has_ended")

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function
        self.has_ended = False


def _ending(node: Node, handlers: list[_Handler], entry: _Handler) -> End:
    """A function that ends a handler, and does not keep the node alive."""
    reference = weakref.ref(node)

    def end() -> None:
        entry.has_ended = True
        if entry in handlers:
            handlers.remove(entry)
            node = reference()
            if node is not None and not node._handlers:
                node._last_handler_ended()

    return end


def _weakly(
    node: Node, owner: object, fd: int, method: Callable[[Node], None]
) -> Callable[[], None]:
    """A callback that does not keep the node alive: a loop would otherwise hold it for ever.

    It keeps the owner of the descriptor, so that its number means nothing else meanwhile.
    """
    reference = weakref.ref(node)

    def call(_owner: object = owner) -> None:
        alive = reference()
        if alive is not None:
            method(alive)
        else:
            asyncio.get_running_loop().remove_reader(fd)

    return call


def _let_go(
    loop: asyncio.AbstractEventLoop, hub: _distflow.Hub, native: _distflow.NativeNode
) -> None:
    """What is left of a node that was forgotten: it ends when the last of these is dropped."""
    loop.remove_reader(hub.fd)
    with contextlib.suppress(NotStartedError):
        loop.remove_reader(native.messages_fd())


_node: Optional[Node] = None


async def start(options: Optional[NodeOptions] = None, **named: Unpack[NodeKeywords]) -> Node:
    """The node of this process, like :func:`distflow.start`. Concurrent calls share one start."""
    global _node
    if _node is None or _node.closed:
        node = Node.__new__(Node)
        node.__init__()  # type: ignore[misc]
        node._options = native_options(options, named, exclusive=True)
        node._concurrency = concurrency(options, named)
        _node = node
    node = _node
    try:
        return await node.start()
    except BaseException:
        if _node is node and node._ended:
            _node = None
        raise
