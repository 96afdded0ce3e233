"""Commands on this machine through the same protocol that nodes and pods use."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading


class LocalSession:
    def __init__(self, argv, stdin, env, workdir):
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=workdir,
            start_new_session=True,
        )
        self._pieces = queue.Queue()
        self._open = 2
        for number, stream in ((1, self._process.stdout), (2, self._process.stderr)):
            threading.Thread(target=self._pump, args=(number, stream), daemon=True).start()

    def _pump(self, number, stream):
        with stream:
            while data := stream.read1(65536):
                self._pieces.put((number, data))
        self._pieces.put(None)

    def read(self):
        while self._open:
            piece = self._pieces.get()
            if piece is not None:
                return piece
            self._open -= 1
        return None

    def write(self, data):
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def close_stdin(self):
        self._process.stdin.close()

    def status(self):
        return self._process.wait(10)

    def kill(self):
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self):
        if self._process.stdin:
            self._process.stdin.close()
        self.kill()
        self._process.wait(10)
        self._open = min(self._open, 1)
        self._pieces.put(None)


class LocalExecution:
    def start(self, argv, *, stdin=False, env=None, workdir=None):
        return LocalSession(argv, stdin, env, workdir)
