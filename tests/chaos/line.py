"""A line between two programs that can be slowed, silenced and cut: a TCP proxy on a loopback port."""

import asyncio
import socket
import struct
import threading

from actors import free_port


class Line:
    """Listens on `port` and leads to another. What it does can be changed at any moment:

    `good` leads on; `delay` seconds are added to all that passes; `silent` takes connections and lets nothing pass; `cut`
    resets what is open, and refuses.
    """

    def __init__(self, to):
        self.to, self.port, self.delay, self._silent = to, free_port(), 0.0, False
        self._loop, self._server, self._open = asyncio.new_event_loop(), None, set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self.good()

    def good(self):
        self.delay, self._silent = 0.0, False
        self._run(self._listen())

    def slow(self, seconds):
        self.delay = seconds

    def silent(self):
        self._silent = True

    def cut(self):
        self._run(self._cut())

    def stop(self):
        self._run(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _cut(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            # Linger with a time of zero makes the kernel send a reset instead of an orderly end.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self, reader, writer):
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back}
        self._open |= ends
        try:
            await asyncio.gather(self._lead(reader, back), self._lead(there, writer))
        except OSError:
            pass
        finally:
            self._open -= ends
            for end in ends:
                end.close()

    async def _lead(self, reader, writer):
        while data := await reader.read(65536):
            if self.delay:
                await asyncio.sleep(self.delay)
            while self._silent:
                await asyncio.sleep(0.02)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
